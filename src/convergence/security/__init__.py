"""API keys, sealed credentials, and redaction."""

from convergence.security.api_keys import ApiKeys, NewKey, ParsedKey
from convergence.security.envelope import Binding, Vault, key_version
from convergence.security.kms import KeyManagement, LocalKms, RotatingKeys
from convergence.security.opening import Security, open_cloud_security, open_local_security
from convergence.security.redaction import MASK, REVEALED, Secrets, is_secret_name, redact, redact_value
from convergence.security.secret_stores import EnvSecrets, FileSecrets, GcpSecrets, Secret, SecretStore

__all__ = [
    "MASK",
    "REVEALED",
    "ApiKeys",
    "Binding",
    "EnvSecrets",
    "FileSecrets",
    "GcpSecrets",
    "KeyManagement",
    "LocalKms",
    "NewKey",
    "ParsedKey",
    "RotatingKeys",
    "Secret",
    "SecretStore",
    "Secrets",
    "Security",
    "Vault",
    "is_secret_name",
    "key_version",
    "open_cloud_security",
    "open_local_security",
    "redact",
    "redact_value",
]
