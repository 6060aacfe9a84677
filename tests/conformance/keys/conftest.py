"""Every key management, the same tests. TEST_KMS_KEY_NAME adds a real key of Cloud KMS, reached by your credentials."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from google_fakes.kms import FakeKms, serving_kms

from convergence.security import KeyManagement, LocalKms
from convergence.security.gcp_kms import GcpKms

KEY_NAME = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"


@dataclass(frozen=True)
class Keys:
    """A key management, and how a new version of its key comes about; None where that cannot be asked for."""

    management: KeyManagement
    rotate: Callable[[], str] | None


@contextmanager
def _local(folder: Path) -> Iterator[Keys]:
    keys = LocalKms(folder / "keys" / "local.json")
    yield Keys(keys, keys.rotate)


@contextmanager
def _fake_cloud(_folder: Path) -> Iterator[Keys]:
    fake = FakeKms(KEY_NAME)
    with serving_kms(fake) as client:
        yield Keys(GcpKms(KEY_NAME, client=client), lambda: fake.rotate(KEY_NAME))


@contextmanager
def _real_cloud(_folder: Path) -> Iterator[Keys]:
    yield Keys(GcpKms(os.environ["TEST_KMS_KEY_NAME"]), None)


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Keys]]] = {"local": _local, "gcp": _fake_cloud}
if os.environ.get("TEST_KMS_KEY_NAME"):
    BACKENDS["gcp-real"] = _real_cloud


@pytest.fixture(params=BACKENDS)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keys]:
    with BACKENDS[request.param](tmp_path) as opened:
        yield opened
