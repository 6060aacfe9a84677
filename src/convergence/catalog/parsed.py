"""Files parsed once, and again when they change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from convergence.errors import ConfigError, Fault

T = TypeVar("T")
Stamp = tuple[int, int]


class ParsedFiles(Generic[T]):
    """What each file was parsed to, or why it could not be, by the file's time and size."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, T | ConfigError]] = {}

    def get(self, path: Path, parse: Callable[[], T]) -> T:
        """Parse the file, or return what it was parsed to.

        Raises:
            ConfigError: the file is wrong, or gone.
        """
        if self.has_changed(path):
            self._known[path] = (_stamp(path), _outcome(parse))
        outcome = self._known[path][1]
        if isinstance(outcome, ConfigError):
            raise ConfigError(outcome.faults, hint=outcome.hint) from outcome
        return outcome

    def has_changed(self, path: Path) -> bool:
        """Whether the file is new, or another than the one parsed."""
        known = self._known.get(path)
        return known is None or known[0] != _stamp(path)


def _outcome(parse: Callable[[], T]) -> T | ConfigError:
    try:
        return parse()
    except ConfigError as error:
        return error


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(Fault(f"cannot be read: {error.strerror}", path=str(path))) from error
    return status.st_mtime_ns, status.st_size
