"""What every test runs under."""

import pytest
from hypothesis import HealthCheck, settings

# The same examples each time, and no verdict by the clock: two processes share two cores.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first, so that nothing waits for them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
