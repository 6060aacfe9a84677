"""An API that no code of ours knows, on loopback, with its truth: agents, billed in cents, by day."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "lk-live-0123456789abcdef"
_AGENTS = ("researcher", "coder", "reviewer")
_USERS = ("ann@acme.example", "bo@acme.example", None)


@dataclass
class Larkspur:
    """Charges of one account. `asked` are the paths with their queries, in order."""

    first: date
    last: date
    seed: int = 3
    charges: dict[tuple[date, str, str, str | None], list[Decimal]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bad_rows: list[dict[str, Any]] = field(default_factory=list)
    busy: int = 0  # so many requests are answered 420
    page_size: int = 7  # the most it gives, whatever is asked for

    def __post_init__(self) -> None:
        made = random.Random(self.seed)
        day = self.first
        while day <= self.last:
            for agent in _AGENTS:
                for user in _USERS:
                    amounts = [Decimal(made.randrange(1, 10**9)).scaleb(-4), Decimal(made.randrange(1, 500))]
                    self.charges[day, f"ws_{made.randrange(2)}", agent, user] = amounts
            day += timedelta(days=1)

    def restate(self, day: date) -> None:
        """Bill a day anew: other amounts, one charge taken back, one credit more."""
        mine = [key for key in self.charges if key[0] == day]
        for number, key in enumerate(mine):
            self.charges[key][0] += Decimal("100.1234") * number
        del self.charges[mine[0]]
        self.charges[day, "ws_0", "credit", None] = [Decimal("-250.5"), Decimal(0)]

    def truth(self) -> dict[str, Decimal]:
        """Dollars by day."""
        found: dict[str, Decimal] = {}
        for (day, *_), (cents, _) in self.charges.items():
            found[day.isoformat()] = found.get(day.isoformat(), Decimal()) + cents / 100
        return found

    def rows(self, first: date, last: date) -> list[dict[str, Any]]:
        chosen = [
            _row(key, amounts) for key, amounts in sorted(self.charges.items(), key=repr) if first <= key[0] <= last
        ]
        return chosen + [row for row in self.bad_rows if first <= _day(row) <= last]


def _row(key: tuple[date, str, str, str | None], amounts: list[Decimal]) -> dict[str, Any]:
    day, workspace, agent, user = key
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    charge = {"amount": str(amounts[0]), "list_amount": str(amounts[0] * 2), "currency": "USD"}
    return {
        "bucket_start": start,
        "workspace": {"id": workspace, "region": "eu"},
        "user": {"email": user},
        "agent": agent,
        "steps": int(amounts[1]),
        "charge": charge,
    }


def _day(row: dict[str, Any]) -> date:
    return datetime.fromtimestamp(row["bucket_start"] / 1000, UTC).date()


@contextmanager
def serve_larkspur(larkspur: Larkspur) -> Iterator[str]:
    """Its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = _answer(larkspur, self.path, self.headers.get("X-Larkspur-Key"))
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v2"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(larkspur: Larkspur, target: str, key: str | None) -> tuple[int, dict[str, Any]]:
    larkspur.asked.append(target)
    if key != KEY:
        return 401, {"error": {"message": f"unknown key {key}", "code": "unauthorized"}}
    if larkspur.busy:
        larkspur.busy -= 1
        return 420, {"error": {"message": "calm down"}}
    path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
    if path == "/v2/account":
        return 200, {"account": {"id": "acc_77", "name": "Acme"}}
    if path != "/v2/billing/usage" or not {"from", "to"} <= query.keys():
        return 404, {"error": {"message": "no such report"}}
    rows = larkspur.rows(date.fromisoformat(query["from"][0]), date.fromisoformat(query["to"][0]))
    start = int(query.get("cursor", ["c0"])[0][1:])
    end = start + larkspur.page_size
    cursor = f"c{end}" if end < len(rows) else None
    return 200, {"data": {"items": rows[start:end]}, "meta": {"next_cursor": cursor, "total": len(rows)}}
