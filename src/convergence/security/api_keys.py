"""Organization API keys: `{org_slug}_api_{key_id}{secret}{checksum}`.

Twelve characters of public key id, 43 of secret (256 bits), six of CRC-32, all base 62. The checksum is no security:
it refuses typing errors before any look-up and lets a secret scanner tell a key from noise. A slug may itself contain
`_api_`, so a key is read from its end.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass, field
from typing import Final

from convergence.errors import ConfigError, InvalidRequest
from convergence.kit.ids import base62, random_base62

KEY_ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 43
CHECKSUM_LENGTH: Final = 6
MAX_KEY_LENGTH: Final = 128
MIN_PEPPER_BYTES: Final = 32

_KEY = re.compile(rf"([A-Za-z0-9_]{{3,50}})_api_([0-9A-Za-z]{{{KEY_ID_LENGTH}}})[0-9A-Za-z]{{49}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment its text exists here. Store `key_id`, `fingerprint` and `digest`."""

    api_key: str = field(repr=False)
    key_id: str
    fingerprint: str
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """What a well-formed key says of itself. It proves nothing before `ApiKeys.matches`."""

    org_slug: str
    key_id: str

    @property
    def fingerprint(self) -> str:
        return f"{self.org_slug}_api_{self.key_id}…"


class ApiKeys:
    """Makes and checks keys. The digest is keyed, so whoever can write the table cannot make a key."""

    def __init__(self, pepper: bytes) -> None:
        if len(pepper) < MIN_PEPPER_BYTES:
            raise ConfigError(f"the API key pepper has fewer than {MIN_PEPPER_BYTES} bytes")
        self._pepper = pepper

    def mint(self, org_slug: str) -> NewKey:
        """A new key for an organization.

        Raises:
            InvalidRequest: the slug cannot be part of a key.
        """
        body = f"{org_slug}_api_{random_base62(KEY_ID_LENGTH)}{random_base62(SECRET_LENGTH)}"
        api_key = body + _checksum(body)
        parsed = self.parse(api_key)
        if parsed is None:
            raise InvalidRequest(
                f"{org_slug!r} cannot be part of an API key", hint="Use 3 to 50 letters, digits and underscores."
            )
        return NewKey(api_key, parsed.key_id, parsed.fingerprint, self.digest(api_key))

    def parse(self, text: str) -> ParsedKey | None:
        """The organization and key id that `text` claims; None where it cannot be a key."""
        if len(text) > MAX_KEY_LENGTH or not text.isascii():
            return None
        match = _KEY.fullmatch(text)
        if match is None or _checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
            return None
        return ParsedKey(org_slug=match[1], key_id=match[2])

    def digest(self, text: str) -> str:
        """HMAC-SHA-256 in hex: what is stored. 256 random bits need no slow hash."""
        return hmac.new(self._pepper, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()

    def matches(self, text: str, digest: str) -> bool:
        """Whether `digest` is that of `text`, in time that tells nothing."""
        return hmac.compare_digest(self.digest(text).encode(), digest.encode(errors="surrogatepass"))


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)
