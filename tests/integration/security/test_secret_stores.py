"""What only one of the secret stores does, and how the platform's own secrets are found."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google_fakes.secret_manager import FakeSecretManager, serving_secrets

from convergence.bootstrap import build_platform, prepare_settings, read_secrets
from convergence.errors import ConfigError, SecretsUnavailable
from convergence.kit.clock import SystemClock
from convergence.security import FileSecrets, GcpSecrets, redact
from convergence.security.secret_stores import is_private_mount
from convergence.settings import load_settings

NAME = "convergence-root-key"
SECRET = f"projects/p/secrets/{NAME}"
CLOUD = {"KMS_BACKEND": "gcp", "KMS_KEY_NAME": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}
MOUNTS = """\
overlay / overlay rw 0 0
tmpfs /tmp tmpfs rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
tmpfs /run/secrets tmpfs ro 0 0
/dev/sda1 /run/secrets/disk ext4 rw 0 0
"""


def _write(path: Path, text: str = "k" * 40, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_that_only_its_owner_reads_is_read(tmp_path, mode):
    _write(tmp_path / NAME, mode=mode)

    assert FileSecrets(tmp_path).read(NAME).text == "k" * 40


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    path = _write(tmp_path / NAME, mode=mode)

    with pytest.raises(ConfigError, match=rf"mode {mode:03o}") as refused:
        FileSecrets(tmp_path).read(NAME)

    assert refused.value.hint == f"chmod 600 {path}"


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / NAME).symlink_to(_write(tmp_path / "elsewhere"))

    with pytest.raises(ConfigError, match="leads out of SECRETS_BASE_PATH"):
        FileSecrets(folder).read(NAME)


def test_links_inside_the_folder_are_followed(tmp_path):
    """As a secret is mounted: the name leads to a link, the link to a folder of a date."""
    (tmp_path / "..2026").mkdir()
    _write(tmp_path / "..2026" / NAME)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / NAME).symlink_to(f"..data/{NAME}")

    assert FileSecrets(tmp_path).read(NAME).text == "k" * 40


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * 70_000])
def test_a_file_without_a_secret_is_refused_and_not_quoted(tmp_path, content):
    path = _write(tmp_path / NAME)
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=NAME):
        FileSecrets(tmp_path).read(NAME)


def test_a_folder_in_place_of_a_secret_is_refused(tmp_path):
    (tmp_path / NAME).mkdir()

    with pytest.raises(ConfigError, match=NAME):
        FileSecrets(tmp_path).read(NAME)


@pytest.mark.parametrize(
    ("path", "private"),
    [
        ("/run/secrets/convergence/key", True),
        ("/run/secrets/disk/key", False),
        ("/tmp/key", False),
        ("/dev/shm/key", False),
        ("/home/key", False),
        ("/run/secrets-2/key", False),
    ],
)
def test_only_a_memory_file_system_of_its_own_may_be_readable(path, private):
    assert is_private_mount(Path(path), MOUNTS) is private


@pytest.fixture
def fake() -> FakeSecretManager:
    return FakeSecretManager()


@pytest.fixture
def manager(fake: FakeSecretManager) -> Iterator[GcpSecrets]:
    with serving_secrets(fake) as client:
        yield GcpSecrets("p", client=client)


def test_the_latest_version_counts_and_is_named(manager, fake):
    fake.add(SECRET, b"old")
    fake.add(SECRET, b"new")

    secret = manager.read(NAME)

    assert (secret.text, secret.source) == ("new", f"{SECRET}/versions/2")


def test_a_missing_permission_names_the_role(manager, fake):
    fake.refuse = (grpc.StatusCode.PERMISSION_DENIED, "denied")

    with pytest.raises(SecretsUnavailable, match=SECRET) as refused:
        manager.read(NAME)

    assert refused.value.code == "secrets_denied"
    assert "roles/secretmanager.secretAccessor" in refused.value.hint


def test_a_disabled_latest_version_says_what_to_do(manager, fake):
    fake.add(SECRET, b"old")
    fake.add(SECRET, None)

    with pytest.raises(ConfigError, match="disabled or destroyed") as refused:
        manager.read(NAME)

    assert f"gcloud secrets versions add {NAME} --project p" in refused.value.hint


def test_an_outage_is_passing(manager, fake):
    fake.refuse = (grpc.StatusCode.UNAVAILABLE, "try again")
    impatient = GcpSecrets("p", client=manager._client, patience=timedelta(seconds=0.5))

    with pytest.raises(SecretsUnavailable, match="cannot be reached"):
        impatient.read(NAME)


def test_damage_on_the_way_is_noticed_and_not_quoted(manager, fake):
    fake.add(SECRET, b"sk-a-secret")
    fake.damage = True

    with pytest.raises(SecretsUnavailable, match="damaged on the way") as refused:
        manager.read(NAME)

    assert "sk-a-secret" not in "".join(traceback.format_exception(refused.value))


def _files(folder: Path, **secrets: str) -> dict[str, str]:
    for name, text in secrets.items():
        _write(folder / f"convergence-{name.replace('_', '-')}", text)
    return {"SECRETS_BACKEND": "file", "SECRETS_BASE_PATH": str(folder), "DATA_DIR": str(folder / "data")}


def test_what_no_variable_gives_comes_from_the_store(tmp_path):
    environ = _files(tmp_path, root_key="root-of-a-file", root_secret="r" * 40, redis_url="redis://file/0")

    settings = read_secrets(load_settings({**environ, **CLOUD, "QUEUE_BACKEND": "redis"}))

    assert settings.ca_root_api_key.get_secret_value() == "root-of-a-file"
    assert settings.convergence_root_secret.get_secret_value() == "r" * 40
    assert settings.redis_url.get_secret_value() == "redis://file/0"
    assert "root-of-a-file" not in repr(settings)
    assert "root-of-a-file" not in redact("got root-of-a-file")


def test_a_variable_comes_before_the_store(tmp_path):
    environ = _files(tmp_path, root_key="root-of-a-file")

    settings = read_secrets(load_settings({**environ, "CA_ROOT_API_KEY": "root-of-a-variable"}))

    assert settings.ca_root_api_key.get_secret_value() == "root-of-a-variable"


def test_what_is_not_needed_is_not_looked_up(tmp_path):
    environ = _files(tmp_path, root_secret="r" * 40, redis_url="redis://file/0")

    settings = read_secrets(load_settings(environ))

    assert (settings.redis_url, settings.convergence_root_secret) == (None, None)


def test_every_missing_secret_is_named_at_once_with_what_production_refuses(tmp_path):
    environ = {**_files(tmp_path), **CLOUD, "LOCK_BACKEND": "redis", "ENVIRONMENT": "production"}

    with pytest.raises(ConfigError) as refused:
        prepare_settings(load_settings(environ))

    assert {fault.key for fault in refused.value.faults} == {"CA_ROOT_API_KEY", "CONVERGENCE_ROOT_SECRET", "REDIS_URL"}
    assert "convergence-redis-url, convergence-root-secret" in refused.value.hint


@pytest.mark.parametrize(("secret", "problem"), [(None, "is needed by KMS_BACKEND=gcp"), ("short", "is too short")])
def test_no_platform_opens_over_cloud_kms_without_a_root_secret(tmp_path, secret, problem):
    environ = {"DATA_DIR": str(tmp_path), **CLOUD, **({"CONVERGENCE_ROOT_SECRET": secret} if secret else {})}

    with pytest.raises(ConfigError, match=f"CONVERGENCE_ROOT_SECRET: {problem}") as refused:
        build_platform(load_settings(environ), SystemClock())

    assert "convergence-root-secret" in refused.value.hint


def test_with_a_root_secret_it_is_built_without_asking_google(tmp_path):
    environ = {"DATA_DIR": str(tmp_path), **CLOUD, "CONVERGENCE_ROOT_SECRET": "r" * 32}

    platform = build_platform(load_settings(environ), SystemClock())

    assert repr(platform.security.keys) == f"GcpKms({CLOUD['KMS_KEY_NAME']!r})"
    assert not (tmp_path / "keys").exists()


def test_the_folder_and_the_project_of_a_store_are_asked_for():
    with pytest.raises(ConfigError) as folder:
        load_settings({"SECRETS_BACKEND": "file"})
    with pytest.raises(ConfigError) as project:
        load_settings({"SECRETS_BACKEND": "gcp"})

    assert [fault.key for fault in folder.value.faults] == ["SECRETS_BASE_PATH"]
    assert [fault.key for fault in project.value.faults] == ["GCP_PROJECT_ID"]
