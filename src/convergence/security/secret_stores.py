"""Where the platform's own secrets come from: the environment, files, or Google's Secret Manager."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from convergence.errors import ConfigError, Fault, SecretsUnavailable
from convergence.security.google_errors import PATIENCE, build_retry, translating

if TYPE_CHECKING:
    from datetime import timedelta

    from google.cloud.secretmanager_v1 import AccessSecretVersionResponse, SecretManagerServiceClient

ROLE: Final = "roles/secretmanager.secretAccessor"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,126}", re.ASCII)  # a file's name, a variable's, and a name of Google's
_SHARED: Final = frozenset({"/", "/tmp", "/dev/shm", "/run"})  # noqa: S108 (where no secret belongs)
_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret text and where it was found."""

    text: str = field(repr=False)
    source: str


class SecretStore(Protocol):
    """Reads secrets by name, such as `convergence-root-key`. May block: call it outside the event loop."""

    def read(self, name: str, /) -> Secret | None:
        """The newest text of a secret, without line ends around it; None where the store has no such secret.

        Raises:
            ConfigError: the name cannot be one, or the secret is kept where others can read it.
            SecretsUnavailable: the store cannot be reached, or refuses.
        """
        ...

    def locate(self, name: str, /) -> str:
        """Where a secret of that name belongs, for whoever has to put it there."""
        ...


class EnvSecrets:
    """Each secret a variable: `convergence-root-key` is CONVERGENCE_ROOT_KEY."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def read(self, name: str, /) -> Secret | None:
        variable = self.locate(name)
        text = self._environ.get(variable, "").strip()
        return Secret(text, variable) if text else None

    def locate(self, name: str, /) -> str:
        return _checked(name).upper().replace("-", "_")


class FileSecrets:
    """Each secret a file of its own in one folder, as orchestrators mount them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, /) -> Secret | None:
        path = Path(self.locate(name))
        try:
            # A mounted secret is a link to a link; what counts is that it ends inside the folder.
            with path.open("rb") as stream:
                self._refuse_strays(path)
                _refuse_others(path, os.fstat(stream.fileno()))
                content = stream.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error.strerror or type(error).__name__) from error
        return _decode(content, str(path))

    def locate(self, name: str, /) -> str:
        return str(self._folder / _checked(name))

    def _refuse_strays(self, path: Path) -> None:
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise ConfigError(Fault("leads out of SECRETS_BASE_PATH", path=str(path)))


class GcpSecrets:
    """Secret Manager, the latest version; one client serves every thread."""

    def __init__(
        self, project: str, *, client: SecretManagerServiceClient | None = None, patience: timedelta = PATIENCE
    ) -> None:
        self._project = project
        self._patience = patience
        self._client = client
        self._opening = threading.Lock()

    def read(self, name: str, /) -> Secret | None:
        from google.api_core import exceptions as google

        secret = self.locate(name)
        with translating(f"Secret Manager's {secret}", ROLE):
            try:
                reply = self._access(f"{secret}/versions/latest")
            except google.NotFound:
                return None
            except google.FailedPrecondition as error:
                raise ConfigError(
                    Fault("its latest version is disabled or destroyed", key=secret),
                    hint=f"Add a version: gcloud secrets versions add {name} --project {self._project} --data-file=-",
                ) from error
        _check_arrival(reply.payload.data, reply.payload.data_crc32c)
        return _decode(reply.payload.data, reply.name)

    def locate(self, name: str, /) -> str:
        return f"projects/{self._project}/secrets/{_checked(name)}"

    def _access(self, version: str) -> AccessSecretVersionResponse:
        seconds = self._patience.total_seconds()
        return self._connected().access_secret_version(
            request={"name": version}, retry=build_retry(self._patience), timeout=seconds
        )

    def _connected(self) -> SecretManagerServiceClient:
        with self._opening:
            if self._client is None:
                from google.cloud.secretmanager_v1 import SecretManagerServiceClient

                self._client = SecretManagerServiceClient()
            return self._client


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            Fault(f"{name[:80]!r} is not the name of a secret", expected="lower-case letters, digits and hyphens")
        )
    return name


def _refuse_others(path: Path, status: os.stat_result) -> None:
    """A mounted secret belongs to root and is read by group; a file of ours is nobody else's business."""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(Fault("is not a file", path=str(path)))
    if status.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(Fault("belongs to another user", path=str(path)), hint=f"chown {os.geteuid()} {path}")
    if mode & 0o077 and not _is_memory(path):
        raise ConfigError(
            Fault(f"others can read the secret (mode {mode:03o})", path=str(path), expected="600 or 400"),
            hint=f"chmod 600 {path}",
        )


def _is_memory(path: Path) -> bool:
    try:
        return is_private_mount(path.resolve(), Path("/proc/mounts").read_text())
    except OSError:
        return False


def is_private_mount(path: Path, mounts: str) -> bool:
    """Whether it lies on a tmpfs of its own, where whoever mounted it, not a mode, says who may look.

    `mounts` is the text of /proc/mounts.
    """
    lines = (line.split() for line in mounts.splitlines())
    holding = [(point, kind) for _, point, kind, *_ in lines if path.is_relative_to(point)]
    point, kind = max(holding, key=lambda mount: len(mount[0]), default=("/", ""))
    return kind in {"tmpfs", "ramfs"} and point not in _SHARED


def _decode(content: bytes, source: str) -> Secret:
    if len(content) > _MAX_BYTES:
        raise _unreadable(source, f"has more than {_MAX_BYTES} bytes")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise _unreadable(source, "is not UTF-8") from None  # the error would carry the secret
    if not text:
        raise _unreadable(source, "is empty")
    return Secret(text, source)


def _unreadable(source: Path | str, problem: str) -> ConfigError:
    return ConfigError(Fault(problem, path=str(source)), hint="Correct the secret's file or its latest version.")


def _check_arrival(data: bytes, checksum: int) -> None:
    import google_crc32c

    if google_crc32c.value(data) != checksum:
        raise SecretsUnavailable("what Secret Manager sent was damaged on the way", hint="Try again.")
