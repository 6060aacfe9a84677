"""The simulated DeepSeek: few calls, and exports in both schemas that sum to its truth."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.simulator import (
    DeepSeekWorld,
    ExportForm,
    Simulator,
    build_export,
    create_simulator_app,
    zip_export,
)
from convergence.simulator.deepseek.__main__ import main

KEY = "sk-deepseek-0123456789"
END_DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WINDOW = Window(END_DAY - timedelta(days=30), END_DAY)
WORLD = DeepSeekWorld(7, end_day=END_DAY)
TOKYO = timedelta(hours=9)
FORMS = [
    ExportForm("utc_date"),
    ExportForm("utc_date", compact=True, line_end="\n"),
    ExportForm("iso"),
    ExportForm("iso", by="hour"),
]


def ask(path: str, key: str = KEY, method: str = "GET") -> httpx2.Response:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(KEY, WORLD, provider="deepseek")

    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=create_simulator_app(simulator))
        async with httpx2.AsyncClient(transport=transport, base_url="http://simulator") as client:
            return await client.request(method, f"/deepseek{path}", headers={"Authorization": f"Bearer {key}"})

    return asyncio.run(send())


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def sums(form: ExportForm, days: Window = WINDOW) -> tuple[dict[Any, Decimal], dict[Any, Decimal]]:
    """price x amount and cost, by period and model."""
    amount, cost = (read(content) for content in build_export(WORLD, days, NOW, form).values())
    time = "utc_date" if form.schema == "utc_date" else "start_time_iso"
    priced: dict[Any, Decimal] = defaultdict(Decimal)
    charged: dict[Any, Decimal] = defaultdict(Decimal)
    for row in amount:
        priced[row[time], row["model"]] += Decimal(row["price"] or 0) * int(row["amount"])
    for row in cost:
        charged[row[time], row["model"]] += Decimal(row["cost"])
    return {key: value for key, value in priced.items() if value}, charged


@pytest.mark.parametrize("form", FORMS)
def test_both_files_of_an_export_tell_the_same_and_sum_to_the_truth(form: ExportForm) -> None:
    priced, charged = sums(form)
    assert priced == charged
    assert sum(charged.values()) == WORLD.truth(NOW)["cost"]["total"] > 0


def test_days_of_another_clock_are_cut_from_the_same_hours() -> None:
    inside = Window(WINDOW.start + timedelta(days=1), WINDOW.end - timedelta(days=1))
    by_day, _ = sums(ExportForm(offset=TOKYO), inside)
    by_hour, _ = sums(ExportForm(by="hour", offset=TOKYO), inside)
    assert sum(by_day.values()) == sum(by_hour.values())
    assert len(by_hour) > 10 * len(by_day)
    assert all(start.endswith("T00:00:00+09:00") for start, _ in by_day)


def test_an_export_looks_like_the_console_s() -> None:
    files = build_export(WORLD, WINDOW, NOW, ExportForm("utc_date"))
    amount = files["amount-2026-10-21_2026-11-19.csv"]
    with zipfile.ZipFile(io.BytesIO(zip_export(files))) as archive:
        assert archive.namelist() == list(files)
    assert amount.startswith(b"\xef\xbb\xbfuser_id,utc_date,model,api_key_name,api_key,type,price,amount\r\n")
    assert {row["price"] for row in read(amount) if row["type"] == "request_count"} == {""}
    assert {row["api_key"].count("*") for row in read(amount)} == {23}


def test_the_command_writes_an_export_and_prints_its_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path / "export.zip"), "--days", "3", "--by", "hour", "--currency", "CNY"])
    truth = json.loads(capsys.readouterr().out)
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        cost = next(archive.read(name) for name in archive.namelist() if name.startswith("cost"))
    assert sum(Decimal(row["cost"]) for row in read(cost)) == Decimal(truth["cost"]["total"])
    assert {row["currency"] for row in read(cost)} == {"CNY"}


def test_the_running_day_grows_by_the_hour() -> None:
    world = DeepSeekWorld(7, end_day=END_DAY + timedelta(days=1), steady=True)
    day = END_DAY.isoformat()
    at = [NOW - timedelta(hours=6), NOW, NOW + timedelta(days=1)]
    costs = [world.truth(moment)["cost"]["by_day"].get(day, 0) for moment in at]
    assert 0 < costs[0] < costs[1] < costs[2]


def test_a_change_of_mind_is_in_the_next_export() -> None:
    world = DeepSeekWorld(7, end_day=END_DAY, days=7, steady=True)
    before = world.truth(NOW)["cost"]["total"]
    world.revise("restate", list(world.window.days()), share=1.0)
    files = build_export(world, world.window, NOW)
    cost = sum(Decimal(row["cost"]) for row in read(files[f"cost-{world.window.start}_{world.window.last}.csv"]))
    assert cost == world.truth(NOW)["cost"]["total"] > before
    world.reset()
    assert world.truth(NOW)["cost"]["total"] == before


def test_the_balance_is_what_is_left_as_text_in_both_currencies() -> None:
    body = ask("/user/balance").json()
    own, other = body["balance_infos"]
    spent = WORLD.truth(NOW)["cost"]["total"]
    assert body["is_available"] is True
    assert (own["currency"], other["currency"], other["total_balance"]) == ("USD", "CNY", "0.00")
    assert 0 <= Decimal(10_000) - spent - Decimal(own["topped_up_balance"]) < Decimal("0.01")


@pytest.mark.parametrize(
    ("path", "key", "method", "status"),
    [
        ("/user/balance", "sk-wrong", "GET", 401),
        ("/models", "", "GET", 401),
        ("/v1/usage", KEY, "GET", 403),
        ("/usage", KEY, "GET", 404),
        ("/models", KEY, "POST", 405),
    ],
)
def test_everything_else_is_refused_in_the_vendor_s_words(path: str, key: str, method: str, status: int) -> None:
    answer = ask(path, key, method)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
