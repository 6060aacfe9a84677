"""One data folder with one organization, loaded by the commands themselves."""

from datetime import date

import pytest
from shell import KEY, ForkedShell

from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer

FIRST, END = date(2026, 11, 1), date(2026, 11, 6)


@pytest.fixture(scope="module")
def simulator():
    simulated = Simulator(seed=3)
    simulated.add_account(KEY, OpenAIWorld(3, end_day=END, days=(END - FIRST).days, rows_per_day=10))
    with SimulatorServer(simulated) as server:
        yield server


@pytest.fixture(scope="module")
def truth(simulator):
    return simulator.simulator.truth(KEY)


@pytest.fixture(scope="module")
def shell(tmp_path_factory, simulator):
    return ForkedShell(DATA_DIR=str(tmp_path_factory.mktemp("data")), OPENAI_BASE_URL=simulator.base_urls["openai"])


@pytest.fixture(scope="module")
def loaded(shell):
    """A shell whose data folder holds one organization with five days loaded."""
    assert shell("bootstrap").returncode == 0
    assert (
        shell("org", "onboard", "acme", "--company", "Acme", "--email", "a@example.com", "--plan", "SCALE").returncode
        == 0
    )
    done = shell("integration", "setup", "acme", "openai", "--credential-env", "OPENAI_ADMIN", OPENAI_ADMIN=KEY)
    assert done.returncode == 0, done.stderr
    done = shell("run", "acme", "openai/usage_cost", "--from", "2026-11-01", "--to", "2026-11-05")
    assert done.returncode == 0, done.stdout + done.stderr
    return shell
