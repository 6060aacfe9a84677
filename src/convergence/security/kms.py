"""Keys that wrap data keys. `LocalKms` keeps them in a file that only its owner can read."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from convergence.errors import ConfigError, Fault, SecretUnreadable

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_PREFIX: Final = "local/"
_BROKEN_HINT = "Restore the file from a backup. Without it no stored credential can be opened and no API key matches."


class KeyManagement(Protocol):
    """Wraps data keys, bound to associated data. May block on a network: call it outside the event loop."""

    @property
    def key_version(self) -> str:
        """The version that wraps now."""
        ...

    def wrap(self, data_key: bytes, associated: bytes, /) -> tuple[bytes, str]:
        """The wrapped key and the name of the key version that wrapped it."""
        ...

    def unwrap(self, wrapped: bytes, key_version: str, associated: bytes, /) -> bytes:
        """The data key.

        Raises:
            SecretUnreadable: another key, other associated data, or a changed ciphertext.
        """
        ...


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`keys` by version; the highest wraps. `root` never rotates: the peppers are derived from it."""

    format: int
    root: bytes
    keys: dict[str, bytes]

    @property
    def primary(self) -> str:
        return max(self.keys, key=int)


@runtime_checkable
class RotatingKeys(Protocol):
    """Key management that makes its own versions; Cloud KMS does so by its schedule, and needs a role that we lack."""

    def rotate(self) -> str:
        """Add a version that wraps from now on; older ones keep opening. The new version's name."""
        ...


class LocalKms:
    """Key versions in one file, 0600 in a folder 0700, created when first needed.

    Raises:
        ConfigError: the file or its folder is open to others, belongs to another user, or cannot be read as keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _ensure_private_folder(path.parent)
        if not path.exists():
            _create(path, _KeyFile(1, secrets.token_bytes(KEY_BYTES), {"1": secrets.token_bytes(KEY_BYTES)}))
        self._file = _read(path)

    def __repr__(self) -> str:
        return f"LocalKms({str(self._path)!r})"

    @property
    def key_version(self) -> str:
        return _PREFIX + self._file.primary

    def wrap(self, data_key: bytes, associated: bytes, /) -> tuple[bytes, str]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, nonce = self._file.primary, secrets.token_bytes(NONCE_BYTES)
        wrapped = AESGCM(self._file.keys[version]).encrypt(nonce, data_key, associated)
        return nonce + wrapped, _PREFIX + version

    def unwrap(self, wrapped: bytes, key_version: str, associated: bytes, /) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._key(key_version)
        try:
            return AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], associated)
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable("the data key does not open for this binding") from error

    def rotate(self) -> str:
        """Add a version that wraps from now on; older ones keep opening. The new version's name."""
        with _locked_folder(self._path.parent):
            held = _read(self._path)
            version = str(int(held.primary) + 1)
            self._file = msgspec.structs.replace(held, keys={**held.keys, version: secrets.token_bytes(KEY_BYTES)})
            _replace(self._path, self._file)
        return _PREFIX + version

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, the same in every process that has the file."""
        return derive_key(self._file.root, purpose)

    def _key(self, key_version: str) -> bytes:
        version = key_version.removeprefix(_PREFIX)
        if version not in self._file.keys:
            self._file = _read(self._path)  # another process may have rotated
        try:
            return self._file.keys[version]
        except KeyError as error:
            raise SecretUnreadable(
                f"key version {key_version[:80]!r} is not in {self._path}",
                hint="Restore the key file that sealed it, or store the credential again.",
            ) from error


def derive_key(root: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose: HKDF-SHA-256 of a root that never rotates."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"convergence/{purpose}".encode()).derive(root)


def _ensure_private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_others(folder, folder.stat(), "700")


def _read(path: Path) -> _KeyFile:
    with path.open("rb") as stream:
        _refuse_others(path, os.fstat(stream.fileno()), "600")
        text = stream.read()
    try:
        file = msgspec.json.decode(text, type=_KeyFile)
        sound = file.format == 1 and len(file.root) == KEY_BYTES and bool(file.keys)
        sound = sound and all(version.isdecimal() and len(key) == KEY_BYTES for version, key in file.keys.items())
    except (msgspec.MsgspecError, ValueError):
        sound = False
    if not sound:
        raise ConfigError(Fault("not a key file", path=str(path)), hint=_BROKEN_HINT)
    return file


def _refuse_others(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(
            Fault("belongs to another user", path=str(path), expected=f"owner {os.geteuid()}"),
            hint=f"Run as its owner, or: chown {os.geteuid()} {path}",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(
            Fault(f"others can read the keys (mode {stat.S_IMODE(status.st_mode):03o})", path=str(path), expected=mode),
            hint=f"chmod {mode} {path}",
        )


def _create(path: Path, file: _KeyFile) -> None:
    """Whole or not at all; where two processes create it at once, the first one's keys stand."""
    draft = _write_draft(path, file)
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _replace(path: Path, file: _KeyFile) -> None:
    _write_draft(path, file).replace(path)
    _sync_folder(path.parent)


def _write_draft(path: Path, file: _KeyFile) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(file))
        stream.flush()
        os.fsync(stream.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
