"""Everything secret that the platform works with, from one machine's key file or from the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convergence.security.api_keys import ApiKeys
from convergence.security.envelope import Vault
from convergence.security.kms import KeyManagement, LocalKms, derive_key

if TYPE_CHECKING:
    from google.cloud.kms_v1 import KeyManagementServiceClient


@dataclass(frozen=True, slots=True)
class Security:
    """What seals credentials and what checks API keys."""

    vault: Vault
    api_keys: ApiKeys
    keys: KeyManagement


def open_local_security(data_dir: Path) -> Security:
    """Open `{data_dir}/keys/local.json`, creating it on first use.

    Raises:
        ConfigError: others can read the file or its folder, or it is damaged.
    """
    keys = LocalKms(data_dir / "keys" / "local.json")
    return Security(Vault(keys, keys.derive("fingerprint")), ApiKeys(keys.derive("api-keys")), keys)


def open_cloud_security(
    key_name: str, root_secret: str, *, client: KeyManagementServiceClient | None = None
) -> Security:
    """Data keys under a key of Cloud KMS, peppers from a secret that every process has. Asks nobody anything yet."""
    from convergence.security.gcp_kms import GcpKms

    keys, root = GcpKms(key_name, client=client), root_secret.encode()
    return Security(Vault(keys, derive_key(root, "fingerprint")), ApiKeys(derive_key(root, "api-keys")), keys)
