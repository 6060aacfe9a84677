"""What only Cloud KMS does: refusals, versions that are gone, damage on the way."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
from google_fakes.kms import FakeKms, serving_kms

from convergence.errors import SecretsUnavailable, SecretUnreadable, TransientError
from convergence.security import Binding, Vault, key_version, open_cloud_security
from convergence.security.gcp_kms import GcpKms

KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
OTHER = "projects/p/locations/eu/keyRings/r/cryptoKeys/other"
IMPATIENT = timedelta(seconds=0.5)
BINDING = Binding("acme", "openai", "cred_1")
DATA_KEY = bytes(range(32))


@pytest.fixture
def fake() -> FakeKms:
    return FakeKms(KEY, OTHER)


@pytest.fixture
def kms(fake: FakeKms) -> Iterator[GcpKms]:
    with serving_kms(fake) as client:
        yield GcpKms(KEY, client=client)


def test_the_binding_reaches_cloud_kms_on_both_ways(kms, fake):
    wrapped, version = kms.wrap(DATA_KEY, b"acme")
    kms.unwrap(wrapped, version, b"acme")

    assert fake.associated == [b"acme", b"acme"]


def test_the_version_is_the_one_that_answered(kms, fake):
    fake.rotate(KEY)

    assert kms.wrap(DATA_KEY, b"acme")[1] == f"{KEY}/cryptoKeyVersions/2"


def test_a_key_that_the_row_names_is_not_asked(kms, fake):
    wrapped, version = GcpKms(OTHER, client=kms._client).wrap(DATA_KEY, b"acme")
    fake.calls.clear()

    with pytest.raises(SecretUnreadable, match="cryptoKeys/other"):
        kms.unwrap(wrapped, version, b"acme")
    assert not fake.calls


@pytest.mark.parametrize("prefix", [KEY + "2", KEY, f"{KEY}x/cryptoKeyVersions/1"])
def test_a_key_whose_name_begins_like_ours_is_not_ours(kms, prefix):
    wrapped, _ = kms.wrap(DATA_KEY, b"acme")

    with pytest.raises(SecretUnreadable):
        kms.unwrap(wrapped, prefix, b"acme")


def test_a_missing_permission_names_the_role(kms, fake):
    fake.refuse = (grpc.StatusCode.PERMISSION_DENIED, "Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied")

    for call in (lambda: kms.wrap(DATA_KEY, b"a"), lambda: kms.unwrap(b"x", f"{KEY}/cryptoKeyVersions/1", b"a")):
        with pytest.raises(SecretsUnavailable) as refused:
            call()
        assert refused.value.code == "secrets_denied"
        assert "roles/cloudkms.cryptoKeyEncrypterDecrypter" in refused.value.hint
        assert KEY in refused.value.message


def test_a_key_that_is_not_there_is_named(fake):
    with serving_kms(fake) as client, pytest.raises(SecretsUnavailable, match="cryptoKeys/none does not exist"):
        GcpKms(f"{KEY.removesuffix('k')}none", client=client).wrap(DATA_KEY, b"a")


def test_an_outage_is_passing(kms, fake):
    fake.refuse = (grpc.StatusCode.UNAVAILABLE, "try again")

    with pytest.raises(TransientError, match="cannot be reached"):
        GcpKms(KEY, client=kms._client, patience=IMPATIENT).wrap(DATA_KEY, b"a")
    fake.refuse = None

    assert kms.wrap(DATA_KEY, b"a")


def test_a_hiccup_is_waited_out(kms, fake):
    before = fake.calls["Encrypt"]
    fake.refuse_once((grpc.StatusCode.UNAVAILABLE, "try again"))

    kms.wrap(DATA_KEY, b"a")

    assert fake.calls["Encrypt"] - before == 2


def test_a_disabled_version_is_named_and_the_others_go_on(kms, fake):
    wrapped, version = kms.wrap(DATA_KEY, b"acme")
    fake.rotate(KEY)
    newer = kms.wrap(DATA_KEY, b"acme")
    fake.disabled.add(version)

    with pytest.raises(SecretUnreadable, match="cryptoKeyVersions/1 is disabled or destroyed") as refused:
        kms.unwrap(wrapped, version, b"acme")

    assert "Enable" in refused.value.hint
    assert kms.unwrap(*newer, b"acme") == DATA_KEY


def test_a_disabled_primary_seals_nothing(kms, fake):
    fake.disabled.add(f"{KEY}/cryptoKeyVersions/1")

    with pytest.raises(SecretsUnavailable, match="primary version") as refused:
        kms.wrap(DATA_KEY, b"acme")
    assert "primary" in refused.value.hint


def test_damage_on_the_way_is_noticed(kms, fake):
    wrapped, version = kms.wrap(DATA_KEY, b"acme")
    fake.damage = True

    with pytest.raises(SecretsUnavailable, match="damaged on the way"):
        kms.wrap(DATA_KEY, b"acme")
    with pytest.raises(SecretsUnavailable, match="damaged on the way"):
        kms.unwrap(wrapped, version, b"acme")


def test_a_server_that_did_not_check_what_it_got_is_not_trusted(kms, fake):
    fake.deaf = True

    with pytest.raises(SecretsUnavailable, match="damaged on the way"):
        kms.wrap(DATA_KEY, b"acme")


def test_no_error_carries_the_data_key(kms, fake):
    wrapped, version = kms.wrap(DATA_KEY, b"acme")
    fake.refuse = (grpc.StatusCode.INVALID_ARGUMENT, f"cannot use {DATA_KEY!r}")

    with pytest.raises(SecretUnreadable) as refused:
        kms.unwrap(wrapped, version, b"acme")

    ours = "".join(traceback.format_exception_only(refused.value)) + str(refused.value.hint)
    assert repr(DATA_KEY) not in ours


def test_peppers_come_from_the_root_secret_alone(fake):
    with serving_kms(fake) as client:
        first, second = (open_cloud_security(key, "r" * 32, client=client) for key in (KEY, OTHER))
        stranger = open_cloud_security(KEY, "s" * 32, client=client)
        minted = first.api_keys.mint("acme")

        assert second.api_keys.matches(minted.api_key, minted.digest)
        assert not stranger.api_keys.matches(minted.api_key, minted.digest)
        assert first.vault.fingerprint("x") == second.vault.fingerprint("x") != stranger.vault.fingerprint("x")
        assert not fake.calls  # nobody was asked


def test_a_vault_over_cloud_kms_survives_a_rotation(kms, fake):
    vault = Vault(kms, bytes(32))
    sealed = vault.seal("sk-of-acme", BINDING)
    newest = fake.rotate(KEY)

    moved = vault.rewrap(sealed, BINDING)
    fake.disabled.add(f"{KEY}/cryptoKeyVersions/1")

    assert key_version(moved) == newest
    assert vault.open(moved, BINDING) == "sk-of-acme"
    with pytest.raises(SecretUnreadable):
        vault.open(sealed, BINDING)
