"""Moving every stored credential to the newest version of the key that wraps its data key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from convergence.errors import SecretUnreadable
from convergence.integrations.models import StoredCredential
from convergence.integrations.store import CredentialStore
from convergence.kit.clock import Clock
from convergence.security import RotatingKeys, Security, key_version
from convergence.state import StateStore, take_turn

log = structlog.get_logger(__name__)

_TURN: Final = "platform/key-rotation"
_BUDGET: Final = timedelta(seconds=40)  # within the minute that a turn is held


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far it has come: `current` were under the newest version already, `remaining` are for the next call.

    `managed` keys make their versions by a schedule of their own. What is `unreadable`, `org/PROVIDER` each, stays as
    it is.
    """

    key_version: str
    managed: bool
    rotated: bool = False
    rewrapped: int = 0
    current: int = 0
    remaining: int = 0
    unreadable: tuple[str, ...] = ()


class KeyRotation:
    """One at a time over all processes; it may be broken off anywhere and called again."""

    def __init__(self, store: CredentialStore, security: Security, state: StateStore, clock: Clock) -> None:
        self._store = store
        self._vault = security.vault
        self._keys = security.keys
        self._state = state
        self._clock = clock

    async def rotate(self, *, new_version: bool = True) -> Rotation:
        """Finish what an earlier call has left; where it left nothing, make a new version and move everything to it.

        A credential is never decrypted: only its data key is unwrapped and wrapped again.

        Raises:
            Conflict: another rotation is under way.
            SecretsUnavailable: the key management cannot be reached; what was moved stays moved.
        """
        async with take_turn(self._state, self._clock, _TURN, "the wrapping of credentials"):
            until = self._clock.now() + _BUDGET
            done = await self._rewrap(until)
            adds = new_version and isinstance(self._keys, RotatingKeys)
            if adds and not done.rewrapped and not done.remaining:
                await self._add_version()
                done = replace(await self._rewrap(until), rotated=True)
        log.info("credentials rewrapped", key_version=done.key_version, count=done.rewrapped, remaining=done.remaining)
        return done

    async def _add_version(self) -> None:
        assert isinstance(self._keys, RotatingKeys)  # noqa: S101 (asked by the only caller)
        await asyncio.to_thread(self._keys.rotate)

    async def _rewrap(self, until: datetime) -> Rotation:
        newest = await asyncio.to_thread(self._newest)
        held = await self._store.every()
        stale = [each for each in held if not _is_under(newest, each)]
        done = Rotation(newest, managed=not isinstance(self._keys, RotatingKeys), current=len(held) - len(stale))
        if not stale:
            return done
        async with self._store.erasing():
            for each in stale:
                done = await self._move(each, done, until)
        return done

    async def _move(self, held: StoredCredential, done: Rotation, until: datetime) -> Rotation:
        if self._clock.now() >= until:
            return replace(done, remaining=done.remaining + 1)
        try:
            sealed = await asyncio.to_thread(self._vault.rewrap, held.ciphertext, held.binding)
        except SecretUnreadable:
            return replace(done, unreadable=(*done.unreadable, f"{held.org_slug}/{held.provider}"))
        await self._store.rewrap(held, sealed)
        return replace(done, rewrapped=done.rewrapped + 1)

    def _newest(self) -> str:
        return self._keys.key_version


def _is_under(newest: str, held: StoredCredential) -> bool:
    try:
        return key_version(held.ciphertext) == newest
    except SecretUnreadable:
        return False
