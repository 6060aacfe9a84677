from __future__ import annotations

import base64
import json
import traceback
from dataclasses import replace

import pytest

from convergence.errors import InvalidRequest, SecretUnreadable
from convergence.security import Binding, LocalKms, Vault, key_version, redact

SECRET = "sk-admin-a-secret-of-acme-4711"
BROKEN = "sk-half-\ud800-secret"
BINDING = Binding("acme", "openai", "cred_1", "provider_credential", 2)


@pytest.fixture
def kms(tmp_path) -> LocalKms:
    return LocalKms(tmp_path / "keys" / "local.json")


@pytest.fixture
def vault(kms) -> Vault:
    return Vault(kms, kms.derive("fingerprint"))


@pytest.mark.parametrize("secret", [SECRET, "", "ключ ✓ \x00\n", "x" * 100_000])
def test_a_sealed_secret_opens_for_its_binding(vault, secret):
    assert vault.open(vault.seal(secret, BINDING), BINDING) == secret


def test_the_ciphertext_is_json_without_the_secret(vault):
    sealed = vault.seal(SECRET, BINDING)

    assert set(json.loads(sealed)) == {"v", "key_version", "data_key", "nonce", "ciphertext"}
    assert SECRET not in sealed
    assert key_version(sealed) == "local/1"


def test_sealing_twice_shares_nothing(vault):
    first, second = (json.loads(vault.seal(SECRET, BINDING)) for _ in range(2))

    assert all(first[part] != second[part] for part in ("data_key", "nonce", "ciphertext"))


@pytest.mark.parametrize(
    "other",
    [
        replace(BINDING, org_slug="evil"),
        replace(BINDING, org_slug="Acme"),
        replace(BINDING, provider="anthropic"),
        replace(BINDING, credential_id="cred_2"),
        replace(BINDING, purpose="webhook"),
        replace(BINDING, version=1),
        # The same characters with a boundary moved.
        Binding("acmeprovider_", "openai", "cred_1", "credential", 2),
        Binding("acme", "openaicred_", "1", "provider_credential", 2),
        Binding("", "acme", "", "", 2),
    ],
)
def test_it_opens_for_no_other_binding(vault, other):
    sealed = vault.seal(SECRET, BINDING)

    with pytest.raises(SecretUnreadable):
        vault.open(sealed, other)


def test_the_data_layer_is_bound_by_itself(vault, kms):
    """Whoever could re-wrap the data key for another organization would still not open the secret."""
    parts = json.loads(vault.seal(SECRET, BINDING))
    evil = replace(BINDING, org_slug="evil")
    data_key = kms.unwrap(base64.b64decode(parts["data_key"]), parts["key_version"], BINDING.associated())
    wrapped, _ = kms.wrap(data_key, evil.associated())
    parts["data_key"] = base64.b64encode(wrapped).decode()

    with pytest.raises(SecretUnreadable):
        vault.open(json.dumps(parts), evil)


@pytest.mark.parametrize("part", ["data_key", "nonce", "ciphertext"])
def test_a_changed_byte_is_noticed(vault, part):
    parts = json.loads(vault.seal(SECRET, BINDING))
    parts[part] = ("B" if parts[part][0] == "A" else "A") + parts[part][1:]

    with pytest.raises(SecretUnreadable):
        vault.open(json.dumps(parts), BINDING)


@pytest.mark.parametrize("part", ["data_key", "nonce", "ciphertext"])
@pytest.mark.parametrize("value", ["", "AA==", "not base64!", None, 5])
def test_a_mangled_part_is_unreadable_and_nothing_else(vault, part, value):
    parts = json.loads(vault.seal(SECRET, BINDING))

    with pytest.raises(SecretUnreadable):
        vault.open(json.dumps({**parts, part: value}), BINDING)


@pytest.mark.parametrize("sealed", ["", "{}", "null", "[1]", "not json", '{"v":1}', "\udcff"])
def test_what_was_never_sealed_is_unreadable(vault, sealed):
    with pytest.raises(SecretUnreadable):
        vault.open(sealed, BINDING)


def test_an_unknown_format_or_key_version_is_unreadable(vault):
    parts = json.loads(vault.seal(SECRET, BINDING))

    with pytest.raises(SecretUnreadable):
        vault.open(json.dumps({**parts, "v": 2}), BINDING)
    with pytest.raises(SecretUnreadable, match="local/9"):
        vault.open(json.dumps({**parts, "key_version": "local/9"}), BINDING)


def test_another_machines_key_does_not_open_it(vault, tmp_path):
    other_kms = LocalKms(tmp_path / "other" / "local.json")
    other = Vault(other_kms, other_kms.derive("fingerprint"))

    with pytest.raises(SecretUnreadable):
        other.open(vault.seal(SECRET, BINDING), BINDING)


def test_a_failure_tells_nothing_of_the_secret(vault):
    sealed = vault.seal(SECRET, BINDING)

    with pytest.raises(SecretUnreadable) as failed:
        vault.open(sealed, replace(BINDING, org_slug="evil"))

    text = "".join(traceback.format_exception(failed.value)) + repr(failed.value) + str(failed.value.hint)
    assert SECRET not in text
    assert json.loads(sealed)["ciphertext"] not in text


def test_text_that_is_no_utf8_is_refused_without_being_quoted(vault):
    with pytest.raises(InvalidRequest) as refused:
        vault.seal(BROKEN, BINDING)

    assert "half" not in "".join(traceback.format_exception(refused.value))


def test_old_secrets_open_after_rotation_and_rewrap_moves_them(vault, kms):
    old = vault.seal(SECRET, BINDING)
    kms.rotate()

    assert vault.open(old, BINDING) == SECRET
    assert key_version(vault.seal(SECRET, BINDING)) == "local/2"

    moved = vault.rewrap(old, BINDING)
    assert key_version(moved) == "local/2"
    assert json.loads(moved)["ciphertext"] == json.loads(old)["ciphertext"]
    assert vault.open(moved, BINDING) == SECRET


def test_rewrapping_for_another_binding_is_refused(vault):
    with pytest.raises(SecretUnreadable):
        vault.rewrap(vault.seal(SECRET, BINDING), replace(BINDING, org_slug="evil"))


def test_an_opened_secret_is_masked_from_then_on(vault):
    plain = "no-known-shape-9f3b"
    sealed = vault.seal(plain, BINDING)

    vault.open(sealed, BINDING)

    assert redact(f"provider said: {plain} is wrong") == "provider said: [redacted] is wrong"


def test_fingerprints_tell_secrets_apart_and_differ_between_machines(vault, tmp_path):
    other_kms = LocalKms(tmp_path / "other" / "local.json")
    other = Vault(other_kms, other_kms.derive("fingerprint"))

    assert vault.fingerprint(SECRET) == vault.fingerprint(SECRET)
    assert vault.fingerprint(SECRET) != vault.fingerprint(SECRET + "x")
    assert vault.fingerprint(SECRET) != other.fingerprint(SECRET)
    assert len(vault.fingerprint(SECRET)) == 12
