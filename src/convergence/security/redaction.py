"""Takes secrets out of text and JSON on their way to a log, an error or a record.

Two nets: the literal values that this process has opened, and the shapes that keys are known by. Every pattern starts
at a literal and consumes disjoint characters, so hostile text costs linear time.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final
from urllib.parse import quote

MASK: Final = "[redacted]"
MIN_LITERAL_LENGTH: Final = 6
MAX_DEPTH: Final = 32

_NAMES = (
    r"authorization|proxy-authorization|x-api-key|x-ca-root-key|x-goog-api-key|api[-_]?key|access[-_]token"
    r"|refresh[-_]token|id[-_]token|auth[-_]token|token|client[-_]secret|secret|password|passwd|credential"
    r"|private[-_]key|admin[-_]api[-_]key|ca[-_]root[-_]api[-_]key"
)
_HEADERS = r"authorization|proxy-authorization|x-api-key|x-ca-root-key|x-goog-api-key|cookie|set-cookie"

_WORDS = ("authorization", "key", "token", "secret", "passw", "credential")

_Replacement = str | Callable[[re.Match[str]], str]


def _mask_scheme(match: re.Match[str]) -> str:
    """`Bearer authentication` is prose, `Bearer dGhlIGtleQ==` is not."""
    word = match[2]
    return match[0] if word.isalpha() and len(word) < 20 else f"{match[1]} {MASK}"


# Each pattern runs only where one of its needles is in the lower-cased text: an ordinary log line meets none.
_PATTERNS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], _Replacement], ...]] = (
    (
        ("private key-----",),
        re.compile(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
    (("sk-",), re.compile(r"(?<![A-Za-z0-9])sk-(ant-|admin-|proj-|svcacct-|)[A-Za-z0-9_-]{6,}"), rf"sk-\1{MASK}"),
    (("_api_",), re.compile(r"_api_([0-9A-Za-z]{12})[0-9A-Za-z]{8,}"), rf"_api_\1{MASK}"),
    (("aiza",), re.compile(r"AIza[0-9A-Za-z_-]{16,}"), MASK),
    (("ya29.",), re.compile(r"ya29\.[0-9A-Za-z_-]{16,}"), MASK),
    (("eyj",), re.compile(r"eyJ[0-9A-Za-z_-]{8,}+\.[0-9A-Za-z_-]{8,}+\.[0-9A-Za-z_-]*"), MASK),
    (("key_",), re.compile(r"(?<![A-Za-z0-9])key_[0-9a-f]{32,}"), MASK),
    (("gh",), re.compile(r"(?<![A-Za-z0-9])gh[pousr]_[0-9A-Za-z]{20,}"), MASK),
    (("xox",), re.compile(r"(?<![A-Za-z0-9])xox[abeprs]-[0-9A-Za-z-]{10,}"), MASK),
    (
        ("hooks.slack.com",),
        re.compile(r"hooks\.slack\.com/services/[0-9A-Za-z/_-]+"),
        f"hooks.slack.com/services/{MASK}",
    ),
    (("://",), re.compile(r"(?<=://)[^/\s:@]{0,128}:[^/\s@]{1,256}@"), f"{MASK}@"),
    (
        ("bearer", "basic"),
        re.compile(r"\b(bearer|basic)[ \t]{1,8}([A-Za-z0-9._~+/=-]{6,})", re.IGNORECASE),
        _mask_scheme,
    ),
    (
        _WORDS,
        re.compile(
            rf"""(["'])({_NAMES})\1[ \t]{{0,8}}:[ \t]{{0,8}}b?("(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?)""",
            re.IGNORECASE | re.DOTALL,
        ),
        rf'\1\2\1: "{MASK}"',
    ),
    (_WORDS, re.compile(rf"(?<![A-Za-z0-9_])({_NAMES})=([^\s&\"',;)]+)", re.IGNORECASE), rf"\1={MASK}"),
    (
        (*_WORDS, "cookie"),
        re.compile(rf"(?<![A-Za-z0-9_-])({_HEADERS})[ \t]{{0,8}}:[^\r\n\"']+", re.IGNORECASE),
        rf"\1: {MASK}",
    ),
)

_SECRET_NAMES: Final = frozenset(
    {
        *("authorization", "proxy_authorization", "cookie", "set_cookie", "x_api_key", "x_ca_root_key"),
        *("x_goog_api_key", "api_key", "apikey", "secret", "password", "passwd", "credential", "credentials"),
        *("private_key", "token", "access_token", "refresh_token", "id_token", "auth_token", "api_token"),
        *("bearer_token", "session_token", "passphrase", "pepper"),
    }
)
_SECRET_ENDINGS: Final = ("_api_key", "_apikey", "_secret", "_password", "_passphrase", "_private_key", "_credential")


class Secrets:
    """The secret texts this process has had in hand, newest kept, so that none is ever printed."""

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._values: OrderedDict[str, None] = OrderedDict()
        self._ordered: tuple[str, ...] = ()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)} values)"

    def __len__(self) -> int:
        return len(self._values)

    def add(self, secret: str) -> None:
        """Mask it from now on, also as JSON and in URLs. Texts below six characters would mask ordinary words."""
        spellings = {secret, secret.strip(), json.dumps(secret)[1:-1], quote(secret, safe="", errors="replace")}
        with self._lock:
            for value in spellings:
                self._keep(value)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)
            self._ordered = tuple(sorted(self._values, key=len, reverse=True))

    def mask(self, text: str) -> str:
        for value in self._ordered:
            if value in text:
                text = text.replace(value, MASK)
        return text

    def _keep(self, value: str) -> None:
        if len(value) >= MIN_LITERAL_LENGTH:
            self._values[value] = None
            self._values.move_to_end(value)


REVEALED: Final = Secrets()


def redact(text: str) -> str:
    """`text` without the secrets in it. The shape around them stays, so that a line can still be understood."""
    text = REVEALED.mask(text)
    lowered = text.lower()
    for needles, pattern, replacement in _PATTERNS:
        if any(needle in lowered for needle in needles):
            text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a JSON key or header of this name holds a secret. `input_tokens` and `api_key_id` do not."""
    plain = name.lower().replace("-", "_").rpartition(".")[2]  # OpenTelemetry: http.request.header.authorization
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS)


def redact_value(value: Any, depth: int = 0) -> Any:
    """JSON-like `value` with secret-named entries masked and every text redacted. The original is left alone."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return redact(bytes(value).decode(errors="replace"))
    if depth >= MAX_DEPTH and isinstance(value, Mapping | list | tuple | set | frozenset):
        return MASK
    if isinstance(value, Mapping):
        return {_redact_key(key): _entry(key, item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(item, depth + 1) for item in value]
    return value


def _redact_key(key: Any) -> Any:
    return key if isinstance(key, int | float | None) else redact(str(key))


def _entry(key: Any, item: Any, depth: int) -> Any:
    hidden = isinstance(key, str) and is_secret_name(key) and item is not None and not isinstance(item, bool)
    return MASK if hidden else redact_value(item, depth)
