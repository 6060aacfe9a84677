"""Every secret store, the same tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from google_fakes.secret_manager import FakeSecretManager, serving_secrets

from convergence.security import EnvSecrets, FileSecrets, GcpSecrets, SecretStore


@dataclass(frozen=True)
class Site:
    """A store, and how a secret gets into it."""

    store: SecretStore
    put: Callable[[str, str], None]


@contextmanager
def _env(_folder: Path) -> Iterator[Site]:
    environ: dict[str, str] = {}
    yield Site(EnvSecrets(environ), lambda name, text: environ.update({name.upper().replace("-", "_"): text}))


@contextmanager
def _file(folder: Path) -> Iterator[Site]:
    def put(name: str, text: str) -> None:
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    yield Site(FileSecrets(folder), put)


@contextmanager
def _gcp(_folder: Path) -> Iterator[Site]:
    fake = FakeSecretManager()
    with serving_secrets(fake) as client:
        store = GcpSecrets("p", client=client)
        yield Site(store, lambda name, text: fake.add(f"projects/p/secrets/{name}", text.encode()))


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Site]]] = {"env": _env, "file": _file, "gcp": _gcp}


@pytest.fixture(params=BACKENDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with BACKENDS[request.param](tmp_path) as opened:
        yield opened
