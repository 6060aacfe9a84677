"""Times the ways from a page to columns; docs/decisions/0003-pages-to-columns.md says what came of it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pyarrow as pa

from convergence.connectors import FieldSpec, PageLayout, decode_page, read_envelope
from convergence.connectors.columns import read_columns
from convergence.connectors.pages import parse_json
from convergence.connectors.strict_rows import read_strictly

TOKENS = [f"{kind}_{what}" for kind in ("input", "output") for what in ("tokens", "cached", "text", "audio", "image")]
TEXTS = ["project_id", "user_id", "api_key_id", "model", "service_tier"]
LAYOUT = PageLayout(
    bucket_fields=(FieldSpec("start_time", type="TIMESTAMP", required=True),),
    result_fields=(
        *(FieldSpec(name, type="INT64", non_negative=True) for name in TOKENS),
        *(FieldSpec(name) for name in TEXTS),
        FieldSpec("batch", type="BOOL"),
        FieldSpec("amount", "amount.value", "NUMERIC"),
    ),
)
AMOUNT = msgspec.defstruct("Amount", [("value", Decimal)], gc=False)
RESULT = msgspec.defstruct(
    "Result",
    [
        *((name, int | None, None) for name in TOKENS),
        *((name, str | None, None) for name in TEXTS),
        ("batch", bool | None, None),
        ("amount", AMOUNT | None, None),
    ],
    gc=False,
)
BUCKET = msgspec.defstruct("Bucket", [("start_time", int), ("results", list[RESULT])])
TYPED = msgspec.json.Decoder(msgspec.defstruct("Page", [("data", list[BUCKET])]))


def build_row() -> dict[str, object]:
    numbers = {name: random.randrange(10**6) for name in TOKENS}
    texts = {name: f"{name}_{random.randrange(10**8)}" for name in TEXTS}
    amount = {"value": random.randrange(10**17) / 10**17}
    return {"object": "result", **numbers, **texts, "batch": False, "amount": amount}


def build_page(rows: int = 10_000, days: int = 4) -> bytes:
    buckets = [
        {"object": "bucket", "start_time": 86_400 * day, "results": [build_row() for _ in range(rows // days)]}
        for day in range(days)
    ]
    return json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None}).encode()


def read_structs(body: bytes) -> pa.Table:
    rows = [(bucket.start_time, one) for bucket in TYPED.decode(body).data for one in bucket.results]
    columns = {name: pa.array([getattr(one, name) for _, one in rows]) for name in [*TOKENS, *TEXTS, "batch"]}
    columns["start_time"] = pa.array([start for start, _ in rows])
    columns["amount"] = pa.array([one.amount.value for _, one in rows], pa.decimal256(76, 38))
    return pa.table(columns)


def best_of(work: Callable[[bytes], object], body: bytes, times: int = 9) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work(body)
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    random.seed(1)
    body = build_page()
    ways: dict[str, Callable[[bytes], object]] = {
        "envelope only": read_envelope,
        "Arrow": lambda body: read_columns(body, LAYOUT),
        "msgspec structs": read_structs,
        "strict": lambda body: read_strictly(parse_json(body), LAYOUT),
        "decode_page": lambda body: decode_page(body, LAYOUT),
    }
    print(f"{len(body) / 1e6:.1f} MB, 10,000 rows")
    for name, work in ways.items():
        print(f"{name:16} {best_of(work, body) * 1000:7.1f} ms")


if __name__ == "__main__":
    main()
