"""Bodies that lie: pages and rows changed as raw JSON text, every untouched figure byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

import msgspec

from convergence.simulator.faults import FaultRule

SIMULATED_PAGE = "page_simulated"
"""Cursors that the simulator made up to mislead: served as if there were none."""

Envelope = dict[str, msgspec.Raw]
Rows = list[bytes]
_LISTS = ("data", "usageEvents", "teamMemberSpend", "teamMembers")

_MEASURE = re.compile(
    rb'"(?P<name>input_tokens|num_model_requests|num_requests|num_sessions|usage_bytes|images|characters|seconds|value'
    rb'|uncached_input_tokens|amount|inputTokens|chargedCents)":'
    rb'(?P<value>"?-?[0-9.]+"?)'
)
_MODEL = re.compile(rb'"model":(?:"[^"]*"|null)')
_HUGE = b"99999999999999999999"


def damage_body(body: bytes, rule: FaultRule, random: Random, *, page: str | None) -> bytes:
    """The body as the rule would have it; `page` is the cursor it was asked with. Not JSON: unchanged."""
    if rule.kind == "cut_json":
        return body[: len(body) // 2]
    try:
        envelope: Envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return body
    return msgspec.json.encode(_damage_envelope(envelope, rule, random, page))


def _damage_envelope(envelope: Envelope, rule: FaultRule, random: Random, page: str | None) -> Envelope:
    match rule.kind:
        case "endless_cursor":
            return envelope | _more(envelope, f"{SIMULATED_PAGE}_{random.getrandbits(48):012x}")
        case "repeated_cursor":
            return envelope | _more(envelope, page or f"{SIMULATED_PAGE}_again")
        case "missing_cursor":
            return envelope | _more(envelope, None)
        case "empty_page":
            return envelope | {_list_name(envelope): msgspec.Raw(b"[]")}
        case _:
            return _damage_rows(envelope, rule, random)


def _list_name(envelope: Envelope) -> str:
    """The member that holds the rows."""
    return next((name for name in _LISTS if name in envelope), _LISTS[0])


def _more(envelope: Envelope, cursor: str | None) -> Envelope:
    """A page that promises another one; where pages are numbered, that is all there is to say."""
    if "pagination" in envelope:
        numbers = msgspec.json.decode(envelope["pagination"], type=dict[str, msgspec.Raw])
        return {"pagination": msgspec.Raw(msgspec.json.encode(numbers | {"hasNextPage": msgspec.Raw(b"true")}))}
    return {"has_more": msgspec.Raw(b"true"), "next_page": msgspec.Raw(msgspec.json.encode(cursor))}


def _damage_rows(envelope: Envelope, rule: FaultRule, random: Random) -> Envelope:
    """Every bucket's results changed, or the items of a list."""
    name = _list_name(envelope)
    items = [bytes(item) for item in msgspec.json.decode(envelope.get(name, b"[]"), type=list[msgspec.Raw])]
    if not items or b'"results":[' not in items[0]:
        return envelope | {name: _joined(_change(items, rule, random))}
    return envelope | {"data": _joined([_damage_bucket(item, rule, random) for item in items])}


def _damage_bucket(bucket: bytes, rule: FaultRule, random: Random) -> bytes:
    members: Envelope = msgspec.json.decode(bucket, type=dict[str, msgspec.Raw])
    rows = [bytes(row) for row in msgspec.json.decode(members["results"], type=list[msgspec.Raw])]
    return msgspec.json.encode(members | {"results": _joined(_change(rows, rule, random))})


def _joined(rows: Rows) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(rows) + b"]")


def _change(rows: Rows, rule: FaultRule, random: Random) -> Rows:
    if not rows:
        return rows
    if rule.kind == "reorder":
        return random.sample(rows, len(rows))
    chosen = _chosen(len(rows), rule.share, random)
    if rule.kind == "shrink":
        return [row for place, row in enumerate(rows) if place not in chosen]
    if rule.kind == "duplicate":
        return [copy for place, row in enumerate(rows) for copy in [row] * (2 if place in chosen else 1)]
    change = _ROW_CHANGES[rule.kind]
    return [change(row) if place in chosen else row for place, row in enumerate(rows)]


def _chosen(count: int, share: float, random: Random) -> frozenset[int]:
    return frozenset(random.sample(range(count), max(1, round(count * share))))


def _measure(value: bytes) -> Callable[[bytes], bytes]:
    return lambda row: _MEASURE.sub(lambda found: b'"%b":%b' % (found["name"], value), row, count=1)


def _negate(row: bytes) -> bytes:
    return _MEASURE.sub(lambda found: b'"%b":-%b' % (found["name"], found["value"].strip(b'"-')), row, count=1)


def _without_measure(row: bytes) -> bytes:
    return _MEASURE.sub(b'"removed":null', row, count=1)


def _with_field(row: bytes) -> bytes:
    return row.removesuffix(b"}") + b',"surprise":{"level":1}}'


def _model(text: str) -> Callable[[bytes], bytes]:
    member = b'"model":' + msgspec.json.encode(text)
    return lambda row: _MODEL.sub(lambda _: member, row, count=1)


_ROW_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "new_field": _with_field,
    "changed_type": _measure(b'"many"'),
    "nan": _measure(b"NaN"),
    "negative": _negate,
    "huge_integer": _measure(_HUGE),
    "missing_field": _without_measure,
    "unknown_model": _model("gpt-unheard-of"),
    "long_text": _model("m" * 1_000_000),
    "nul_text": _model("gpt\0mini"),
}
