"""API keys, sealed credentials, and redaction."""

from convergence.security.api_keys import ApiKeys, NewKey, ParsedKey
from convergence.security.envelope import Binding, Vault, key_version
from convergence.security.kms import KeyManagement, LocalKms
from convergence.security.local import Security, open_local_security
from convergence.security.redaction import MASK, REVEALED, Secrets, is_secret_name, redact, redact_value

__all__ = [
    "MASK",
    "REVEALED",
    "ApiKeys",
    "Binding",
    "KeyManagement",
    "LocalKms",
    "NewKey",
    "ParsedKey",
    "Secrets",
    "Security",
    "Vault",
    "is_secret_name",
    "key_version",
    "open_local_security",
    "redact",
    "redact_value",
]
