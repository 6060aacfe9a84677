from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from convergence.errors import ConfigError, SecretUnreadable
from convergence.security import Binding, LocalKms, open_local_security

KEY = b"k" * 32
WHERE = b"associated"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_use_makes_a_file_for_its_owner_only(tmp_path):
    path = tmp_path / "data" / "keys" / "local.json"

    LocalKms(path)

    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["local.json"]


def test_a_loose_umask_changes_nothing(tmp_path):
    path = tmp_path / "keys" / "local.json"
    before = os.umask(0)
    try:
        LocalKms(path)
    finally:
        os.umask(before)

    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_a_file_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path, loose):
    path = tmp_path / "keys" / "local.json"
    LocalKms(path)
    path.chmod(loose)

    with pytest.raises(ConfigError, match=f"mode {loose:03o}") as refused:
        LocalKms(path)

    assert str(path) in str(refused.value)
    assert refused.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert LocalKms(path).key_version == "local/1"


def test_a_folder_that_others_can_enter_is_refused(tmp_path):
    path = tmp_path / "keys" / "local.json"
    LocalKms(path)
    path.parent.chmod(0o755)

    with pytest.raises(ConfigError, match="others can read") as refused:
        LocalKms(path)

    assert refused.value.hint == f"chmod 700 {path.parent}"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"not json",
        b"\xff\xfe",
        b'{"format":1,"root":"","keys":{}}',
        json.dumps({"format": 1, "root": "A" * 43 + "=", "keys": {"one": "A" * 43 + "="}}).encode(),
        json.dumps({"format": 1, "root": "A" * 43 + "=", "keys": {"1": "AAAA"}}).encode(),
        json.dumps({"format": 2, "root": "A" * 43 + "=", "keys": {"1": "A" * 43 + "="}}).encode(),
    ],
)
def test_a_damaged_file_is_refused_and_not_replaced(tmp_path, text):
    path = tmp_path / "keys" / "local.json"
    LocalKms(path)
    path.write_bytes(text)

    with pytest.raises(ConfigError, match="not a key file") as refused:
        LocalKms(path)

    assert "backup" in (refused.value.hint or "")
    assert path.read_bytes() == text


def test_it_unwraps_what_it_wrapped_for_the_same_data_only(tmp_path):
    kms = LocalKms(tmp_path / "keys" / "local.json")
    wrapped, version = kms.wrap(KEY, WHERE)

    assert kms.unwrap(wrapped, version, WHERE) == KEY
    assert KEY not in wrapped
    with pytest.raises(SecretUnreadable):
        kms.unwrap(wrapped, version, b"elsewhere")
    with pytest.raises(SecretUnreadable):
        kms.unwrap(wrapped[:-1], version, WHERE)
    with pytest.raises(SecretUnreadable):
        kms.unwrap(b"", version, WHERE)


def test_rotation_keeps_old_versions_and_the_file_closed(tmp_path):
    path = tmp_path / "keys" / "local.json"
    kms = LocalKms(path)
    wrapped, version = kms.wrap(KEY, WHERE)

    assert [kms.rotate() for _ in range(10)][-1] == "local/11"

    assert kms.wrap(KEY, WHERE)[1] == "local/11"
    assert LocalKms(path).unwrap(wrapped, version, WHERE) == KEY
    assert mode(path) == 0o600


def test_a_running_process_learns_of_a_rotation_by_another(tmp_path):
    path = tmp_path / "keys" / "local.json"
    running, other = LocalKms(path), LocalKms(path)
    other.rotate()
    wrapped, version = other.wrap(KEY, WHERE)

    assert version == "local/2"
    assert running.unwrap(wrapped, version, WHERE) == KEY


def test_rotations_at_once_lose_no_version(tmp_path):
    path = tmp_path / "keys" / "local.json"
    rotating = [LocalKms(path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(LocalKms.rotate, rotating))

    assert sorted(versions) == sorted(f"local/{n}" for n in range(2, 10))


def test_what_is_derived_lasts_and_differs_by_purpose(tmp_path):
    path = tmp_path / "keys" / "local.json"
    kms = LocalKms(path)
    before = kms.derive("api-keys")
    kms.rotate()

    assert LocalKms(path).derive("api-keys") == before
    assert kms.derive("fingerprint") != before
    assert len(before) == 32


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    script = (
        "import sys, pathlib; from convergence.security import LocalKms; "
        "print(LocalKms(pathlib.Path(sys.argv[1])).derive('x').hex())"
    )
    path = tmp_path / "keys" / "local.json"
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]

    derived = {process.communicate()[0].strip() for process in started}

    assert len(derived) == 1
    assert len(derived.pop()) == 64


def test_repr_shows_the_place_and_no_key(tmp_path):
    path = tmp_path / "keys" / "local.json"
    kms = LocalKms(path)

    assert repr(kms) == f"LocalKms({str(path)!r})"


def test_local_security_opens_again_with_the_same_keys(tmp_path):
    first = open_local_security(tmp_path)
    api_key = first.api_keys.mint("acme")
    sealed = first.vault.seal("sk-admin-0815-secret", Binding("acme", "openai", "cred_1"))

    second = open_local_security(tmp_path)

    assert second.api_keys.matches(api_key.api_key, api_key.digest) is True
    assert second.vault.open(sealed, Binding("acme", "openai", "cred_1")) == "sk-admin-0815-secret"
    assert second.vault.fingerprint("x") == first.vault.fingerprint("x")
    assert (tmp_path / "keys" / "local.json").exists()
