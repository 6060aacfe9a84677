"""From the text of an API key to the organization it speaks for."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from convergence.errors import Unauthenticated
from convergence.kit.clock import Clock
from convergence.kit.hashing import digest
from convergence.organizations.cache import Recent
from convergence.organizations.epochs import Epochs
from convergence.organizations.models import Principal
from convergence.organizations.store import OrganizationStore, StoredKey
from convergence.security import ApiKeys, ParsedKey
from convergence.tenancy import PlatformScope

GOOD_TTL: Final = timedelta(seconds=60)
REFUSED_TTL: Final = timedelta(seconds=5)
_NO_DIGEST: Final = "0" * 64


class Authenticator:
    """Checks keys. A key seen a moment ago costs one look at the state store and none at the warehouse.

    The cache knows a key by its digest only. A revoked key is refused at once everywhere, because revoking changes the
    organization's mark and the mark is read every time.
    """

    def __init__(
        self, store: OrganizationStore, api_keys: ApiKeys, epochs: Epochs, platform: PlatformScope, clock: Clock
    ) -> None:
        self._store = store
        self._api_keys = api_keys
        self._epochs = epochs
        self._platform = platform
        self._clock = clock
        self._good: Recent[StoredKey] = Recent(clock)
        self._refused: Recent[bool] = Recent(clock)

    async def authenticate(self, api_key: str) -> Principal:
        """Whom the key speaks for.

        Raises:
            Unauthenticated: malformed, unknown, expired or revoked; one text for every cause.
        """
        parsed = self._api_keys.parse(api_key)
        if parsed is None:
            raise _refusal()
        stored = await self._find(parsed, api_key)
        if stored is None or not stored.is_good(self._clock.now()):
            raise _refusal()
        key = stored.key
        return Principal(self._platform.org(stored.org_slug), key.api_key_id, key.scopes, key.fingerprint)

    async def _find(self, parsed: ParsedKey, api_key: str) -> StoredKey | None:
        known_as = digest(api_key)
        mark = await self._epochs.current(parsed.org_slug)
        if (stored := self._good.get(known_as, mark)) is not None:
            return stored
        if self._refused.get(known_as, mark):
            return None
        stored = await self._read(parsed, api_key)
        if stored is None:
            self._refused.put(known_as, value=True, ttl=REFUSED_TTL, mark=mark)
        else:
            self._good.put(known_as, stored, GOOD_TTL, mark)
        return stored

    async def _read(self, parsed: ParsedKey, api_key: str) -> StoredKey | None:
        """The stored key that this text matches. An unknown id costs the same comparison as a known one."""
        known = await self._store.is_bootstrapped()
        stored = await self._store.find_api_key(parsed.org_slug, parsed.key_id) if known else None
        matches = self._api_keys.matches(api_key, stored.digest if stored else _NO_DIGEST)
        return stored if matches else None


def _refusal() -> Unauthenticated:
    return Unauthenticated("the API key is missing or not valid", hint="Send a valid key in the X-API-Key header.")
