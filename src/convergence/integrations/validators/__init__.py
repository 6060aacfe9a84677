"""How a provider is asked whether it accepts a credential: one module per provider, found by the provider's folder.

Adding a provider is adding a module with `check`.
"""

from __future__ import annotations

import importlib
import importlib.util
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, cast

from convergence.errors import UnsupportedError
from convergence.integrations.models import Provider, Validation

if TYPE_CHECKING:
    from convergence.connectors import HttpPool


class Validator(Protocol):
    """A module of this package."""

    async def check(self, http: HttpPool, org_slug: str, credential: str, *, now: datetime) -> Validation:
        """
        Raises:
            CredentialInvalid: the provider refuses it; the message says why and what is needed instead.
            ProviderUnavailable: the provider could not be asked.
        """
        ...


def load_validator(provider: Provider) -> Validator:
    """
    Raises:
        UnsupportedError: this version cannot set the provider up.
    """
    name = f"{__name__}.{provider.folder}"
    if importlib.util.find_spec(name) is None:
        raise UnsupportedError(
            f"{provider.name} cannot be set up with this version",
            code="provider_unsupported",
            hint="Upgrade Convergence, or load the provider's export with POST /files.",
        )
    return cast("Validator", importlib.import_module(name))
