"""Stored credentials under a new key version: all of them, none opened, from wherever an earlier attempt ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google_fakes.kms import FakeKms, serving_kms

from convergence.errors import Conflict, SecretsUnavailable
from convergence.integrations.rotation import KeyRotation
from convergence.integrations.store import CredentialStore
from convergence.kit.clock import ManualClock
from convergence.security import LocalKms, Security, Vault, key_version, open_cloud_security

KEY_NAME = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
FOREIGN = json.dumps({"v": 1, "key_version": "local/77", "data_key": "QQ==", "nonce": "QQ==", "ciphertext": "QQ=="})


class WatchedKeys(LocalKms):
    """Notes each call that would hold up the event loop, as a call over a network does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.calls: list[str] = []
        self.on_loop: list[str] = []

    @property
    def key_version(self) -> str:
        self._note("key_version")
        return super().key_version

    def wrap(self, data_key: bytes, associated: bytes, /) -> tuple[bytes, str]:
        self._note("wrap")
        return super().wrap(data_key, associated)

    def unwrap(self, wrapped: bytes, key_version: str, associated: bytes, /) -> bytes:
        self._note("unwrap")
        return super().unwrap(wrapped, key_version, associated)

    def rotate(self) -> str:
        self._note("rotate")
        return super().rotate()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            self.on_loop.append(call)


class SlowClock(ManualClock):
    """Twenty-one seconds pass between any two looks at it."""

    def now(self) -> datetime:
        self.advance(timedelta(seconds=21))
        return super().now()


def build_rotation(platform, security: Security | None = None) -> KeyRotation:
    store = CredentialStore(platform.warehouse, platform.scope, platform.catalog)
    return KeyRotation(store, security or platform.security, platform.state, platform.clock)


async def versions(platform) -> list[str]:
    return [key_version(row["ciphertext"]) for row in await platform.rows()]


@pytest.fixture
def fake() -> FakeKms:
    return FakeKms(KEY_NAME)


@pytest.fixture
def cloud(platform, fake) -> Iterator:
    """The platform with its data keys under Cloud KMS."""
    with serving_kms(fake) as client:
        yield replace(platform, security=open_cloud_security(KEY_NAME, "r" * 32, client=client))


async def set_up_both(platform, admin_key: str, other_key: str) -> None:
    integrations = platform.integrations()
    await integrations.setup(platform.acme, "openai", admin_key)
    await integrations.setup(platform.globex, "openai", other_key)


async def test_without_credentials_there_is_only_a_new_version(platform):
    done = await build_rotation(platform).rotate()

    assert (done.key_version, done.rotated, done.rewrapped) == ("local/2", True, 0)


async def test_every_organizations_credential_moves_and_opens(platform, admin_key, other_key):
    await set_up_both(platform, admin_key, other_key)

    done = await build_rotation(platform).rotate()

    assert (done.rewrapped, done.current, done.remaining, done.unreadable) == (2, 0, 0, ())
    assert await versions(platform) == ["local/2", "local/2"]
    assert await platform.integrations().reveal(platform.acme, "openai") == admin_key
    assert await platform.integrations().reveal(platform.globex, "openai") == other_key


async def test_only_the_wrapping_changes(platform, admin_key, other_key):
    await set_up_both(platform, admin_key, other_key)
    before = await platform.rows()

    await build_rotation(platform).rotate()

    for old, new in zip(before, await platform.rows(), strict=True):
        old_parts, new_parts = json.loads(old.pop("ciphertext")), json.loads(new.pop("ciphertext"))
        assert new == old
        assert {part for part in old_parts if old_parts[part] != new_parts[part]} == {"data_key", "key_version"}


async def test_a_rotation_that_broke_off_is_finished_without_another_version(platform, admin_key, other_key):
    await set_up_both(platform, admin_key, other_key)
    platform.security.keys.rotate()
    await platform.integrations().setup(platform.globex, "openai", other_key)  # sealed anew: one is done already

    done = await build_rotation(platform).rotate()

    assert (done.key_version, done.rotated, done.rewrapped, done.current) == ("local/2", False, 1, 1)


async def test_moving_alone_makes_no_version_and_twice_changes_nothing(platform, admin_key, other_key):
    await set_up_both(platform, admin_key, other_key)
    before = await platform.rows()

    done = await build_rotation(platform).rotate(new_version=False)

    assert (done.key_version, done.rotated, done.rewrapped, done.current) == ("local/1", False, 0, 2)
    assert await platform.rows() == before


async def test_what_does_not_open_is_named_and_stops_nothing(platform, admin_key, other_key):
    await set_up_both(platform, admin_key, other_key)
    store = CredentialStore(platform.warehouse, platform.scope, platform.catalog)
    held = await store.find(platform.acme, "OPENAI")
    await store.rewrap(held, FOREIGN)

    first = await build_rotation(platform).rotate()
    second = await build_rotation(platform).rotate()

    assert (first.rewrapped, first.unreadable, second.unreadable) == (1, ("Acme/OPENAI",), ("Acme/OPENAI",))
    assert second.key_version == "local/3"


async def test_a_credential_that_was_replaced_meanwhile_keeps_its_new_text(platform, admin_key, other_key):
    await set_up_both(platform, admin_key, other_key)
    store = CredentialStore(platform.warehouse, platform.scope, platform.catalog)
    stale = await store.find(platform.acme, "OPENAI")
    await platform.integrations().setup(platform.acme, "openai", admin_key)
    fresh = await store.find(platform.acme, "OPENAI")

    await store.rewrap(stale, FOREIGN)

    assert await store.find(platform.acme, "OPENAI") == fresh


async def test_what_does_not_fit_into_the_time_of_a_call_remains(platform, admin_key, other_key):
    await set_up_both(platform, admin_key, other_key)
    rotation = build_rotation(replace(platform, clock=SlowClock(platform.clock.now())))
    platform.security.keys.rotate()

    first = await rotation.rotate(new_version=False)
    second = await build_rotation(platform).rotate(new_version=False)

    assert (first.rewrapped, first.remaining) == (1, 1)
    assert (second.rewrapped, second.current, second.remaining) == (1, 1, 0)


async def test_no_call_to_the_keys_holds_up_the_event_loop(platform, admin_key, tmp_path):
    keys = WatchedKeys(tmp_path / "watched" / "keys.json")
    security = replace(platform.security, vault=Vault(keys, bytes(32)), keys=keys)
    watched = replace(platform, security=security)
    integrations = watched.integrations()

    await integrations.setup(watched.acme, "openai", admin_key)
    await integrations.validate(watched.acme, "openai")
    await integrations.fingerprint(watched.acme, "openai")
    await build_rotation(watched).rotate()

    assert set(keys.calls) == {"wrap", "unwrap", "key_version", "rotate"}
    assert keys.on_loop == []


async def test_two_at_once_are_refused(platform):
    held = await platform.state.acquire("platform/key-rotation", "another", timedelta(minutes=1))

    with pytest.raises(Conflict, match="the wrapping of credentials"):
        await build_rotation(platform).rotate()
    await platform.state.release(held)


async def test_cloud_kms_makes_its_versions_itself(cloud, fake, admin_key, other_key):
    await set_up_both(cloud, admin_key, other_key)

    before = await build_rotation(cloud).rotate()
    newest = fake.rotate(KEY_NAME)
    after = await build_rotation(cloud).rotate()
    fake.disabled.add(fake.version_name(KEY_NAME, 1))

    assert (before.managed, before.rotated, before.rewrapped, before.current) == (True, False, 0, 2)
    assert (after.key_version, after.rotated, after.rewrapped) == (newest, False, 2)
    assert await cloud.integrations().reveal(cloud.acme, "openai") == admin_key
    assert await cloud.integrations().reveal(cloud.globex, "openai") == other_key


async def test_an_outage_of_cloud_kms_loses_nothing(cloud, fake, admin_key, other_key):
    await set_up_both(cloud, admin_key, other_key)
    fake.refuse = (grpc.StatusCode.PERMISSION_DENIED, "denied")

    with pytest.raises(SecretsUnavailable, match="refuses these credentials"):
        await build_rotation(cloud).rotate()
    with pytest.raises(SecretsUnavailable):
        await cloud.integrations().reveal(cloud.acme, "openai")
    fake.refuse = None

    assert await cloud.integrations().reveal(cloud.acme, "openai") == admin_key
