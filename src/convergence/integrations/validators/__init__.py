"""How a provider is asked whether it accepts a credential: one module per provider, found by the provider's folder.

Adding a provider is adding a module with `check`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

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


@runtime_checkable
class PlacedValidator(Protocol):
    """A module for a credential that opens what lies at a place of the customer's choice: `metadata` says where."""

    async def check_place(
        self, http: HttpPool, org_slug: str, credential: str, metadata: Mapping[str, Any], *, now: datetime
    ) -> Validation:
        """As `check`. What is wrong with the metadata is refused like the credential."""
        ...


def load_validator(provider: Provider) -> Validator | PlacedValidator:
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
    return cast("Validator | PlacedValidator", importlib.import_module(name))
