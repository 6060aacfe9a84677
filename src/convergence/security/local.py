"""Everything secret of a single machine, from one key file under the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convergence.security.api_keys import ApiKeys
from convergence.security.envelope import Vault
from convergence.security.kms import LocalKms


@dataclass(frozen=True, slots=True)
class Security:
    """What seals credentials and what checks API keys."""

    vault: Vault
    api_keys: ApiKeys


def open_local_security(data_dir: Path) -> Security:
    """Open `{data_dir}/keys/local.json`, creating it on first use.

    Raises:
        ConfigError: others can read the file or its folder, or it is damaged.
    """
    kms = LocalKms(data_dir / "keys" / "local.json")
    return Security(Vault(kms, kms.derive("fingerprint")), ApiKeys(kms.derive("api-keys")))
