from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from convergence.errors import SecretUnreadable
from convergence.security import Binding, Vault, key_version

DATA_KEY = bytes(range(32))
BINDING = Binding("acme", "openai", "cred_1")


def test_a_wrapped_key_opens_for_what_it_was_bound_to(keys):
    wrapped, version = keys.management.wrap(DATA_KEY, b"acme")

    assert DATA_KEY not in wrapped
    assert keys.management.unwrap(wrapped, version, b"acme") == DATA_KEY


def test_it_does_not_open_for_anything_else(keys):
    wrapped, version = keys.management.wrap(DATA_KEY, b"acme")

    with pytest.raises(SecretUnreadable):
        keys.management.unwrap(wrapped, version, b"evil")


@pytest.mark.parametrize("position", [0, 5, 20, -1])
def test_a_changed_byte_does_not_open(keys, position):
    wrapped, version = keys.management.wrap(DATA_KEY, b"acme")
    changed = bytearray(wrapped)
    changed[position] ^= 1

    with pytest.raises(SecretUnreadable):
        keys.management.unwrap(bytes(changed), version, b"acme")


@pytest.mark.parametrize("version", ["", "local/99", "projects/evil/locations/l/keyRings/r/cryptoKeys/k/1"])
def test_a_version_that_is_not_ours_is_refused(keys, version):
    wrapped, _ = keys.management.wrap(DATA_KEY, b"acme")

    with pytest.raises(SecretUnreadable):
        keys.management.unwrap(wrapped, version, b"acme")


def test_the_version_that_wraps_is_known(keys):
    assert keys.management.key_version == keys.management.wrap(DATA_KEY, b"acme")[1]


def test_what_an_older_version_wrapped_still_opens(keys):
    if keys.rotate is None:
        pytest.skip("a real key is rotated by its schedule")
    wrapped, old = keys.management.wrap(DATA_KEY, b"acme")

    new = keys.rotate()

    assert keys.management.key_version == new != old
    assert keys.management.unwrap(wrapped, old, b"acme") == DATA_KEY


def test_a_secret_is_moved_to_the_newest_version_without_being_opened(keys):
    vault = Vault(keys.management, bytes(32))
    sealed = vault.seal("sk-of-acme", BINDING)
    newest = keys.rotate() if keys.rotate else keys.management.key_version

    moved = vault.rewrap(sealed, BINDING)

    assert key_version(moved) == newest
    assert vault.open(moved, BINDING) == "sk-of-acme"


def test_a_secret_of_one_organization_does_not_open_for_another(keys):
    vault = Vault(keys.management, bytes(32))
    sealed = vault.seal("sk-of-acme", BINDING)

    for other in (replace(BINDING, org_slug="evil"), replace(BINDING, version=2)):
        with pytest.raises(SecretUnreadable):
            vault.open(sealed, other)
        with pytest.raises(SecretUnreadable):
            vault.rewrap(sealed, other)


def test_many_threads_share_it(keys):
    def round_trip(number: int) -> bytes:
        wrapped, version = keys.management.wrap(bytes([number]) * 32, b"acme")
        return keys.management.unwrap(wrapped, version, b"acme")

    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(round_trip, range(32)))

    assert opened == [bytes([number]) * 32 for number in range(32)]
