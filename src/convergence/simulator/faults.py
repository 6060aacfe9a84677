"""Which request goes wrong, and how: chosen by path, key, probability and count, from a seed."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from random import Random

import msgspec

ANSWER_KINDS = frozenset({"status", "html", "redirect", "deep_json", "gzip_bomb", "huge_body"})
"""Another answer in place of the true one."""

WIRE_KINDS = frozenset({"reset", "reset_mid_body", "truncated", "wrong_length", "slow", "drip"})
"""The true answer on a bad line."""

PAGE_KINDS = frozenset(
    {"cut_json", "endless_cursor", "repeated_cursor", "missing_cursor", "empty_page", "shrink", "duplicate", "reorder"}
)
"""The true answer with a page that lies."""

ROW_KINDS = frozenset(
    {
        "new_field",
        "changed_type",
        "nan",
        "negative",
        "huge_integer",
        "missing_field",
        "unknown_model",
        "long_text",
        "nul_text",
    }
)
"""The true answer with damaged rows."""

KINDS = ANSWER_KINDS | WIRE_KINDS | PAGE_KINDS | ROW_KINDS


class FaultRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to fail.

    `path` is a pattern that the end of the request's path must match ("*", "*/usage/*", "/organization/costs"), `key`
    limits it to one admin key. The first `skip` matching requests are spared, then `probability` decides, and after
    `count` faults the rule is spent. `status` and `retry_after` (seconds, as a number or, with
    `retry_after_as_date`, as a date) belong to kind "status"; `seconds` to "slow" (before the answer) and "drip" (over
    the whole answer); `share` is the part of rows that row kinds and "shrink" touch, at least one row.
    """

    kind: str
    path: str = "*"
    key: str | None = None
    probability: float = 1.0
    count: int | None = None
    skip: int = 0
    status: int = 500
    code: str | None = None
    retry_after: float | None = None
    retry_after_as_date: bool = False
    seconds: float = 1.0
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault kind {self.kind!r}; there are {', '.join(sorted(KINDS))}")
        if not 0 <= self.probability <= 1 or not 0 <= self.share <= 1:
            raise ValueError("probability and share are between 0 and 1")

    def matches(self, path: str, key: str | None) -> bool:
        return fnmatchcase(path, f"*{self.path}") and self.key in {None, key}


def rate_limited(path: str = "*", *, retry_after: float | None = None, count: int | None = None) -> FaultRule:
    """A 429, with or without Retry-After."""
    return FaultRule(
        kind="status", path=path, status=429, code="rate_limit_exceeded", retry_after=retry_after, count=count
    )


class FaultScript:
    """Rules in order: the first that strikes decides a request."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.clear()

    def add(self, *rules: FaultRule) -> None:
        for rule in rules:
            self._rules.append(rule)
            self._seen.append(0)
            self._struck.append(0)

    def clear(self) -> None:
        """Forget every rule; chance starts anew from the seed."""
        self._rules: list[FaultRule] = []
        self._seen: list[int] = []
        self._struck: list[int] = []
        self.random = Random(self._seed)

    def choose(self, path: str, key: str | None) -> FaultRule | None:
        """The rule that strikes this request."""
        return next((rule for place, rule in enumerate(self._rules) if self._strikes(place, path, key)), None)

    def struck(self) -> Iterable[tuple[FaultRule, int]]:
        """Every rule with the number of requests it has spoiled."""
        return zip(self._rules, self._struck, strict=True)

    def _strikes(self, place: int, path: str, key: str | None) -> bool:
        rule = self._rules[place]
        if not rule.matches(path, key):
            return False
        self._seen[place] += 1
        if self._seen[place] <= rule.skip or (rule.count is not None and self._struck[place] >= rule.count):
            return False
        if self.random.random() >= rule.probability:
            return False
        self._struck[place] += 1
        return True
