"""`python -m convergence.simulator`: the simulator with an account at each provider, for demos and benchmarks."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from convergence.simulator import (
    ANTHROPIC_DEMO_KEY,
    CURSOR_DEMO_KEY,
    DEEPSEEK_DEMO_KEY,
    DEMO_KEY,
    GOOGLE_SHEETS_DEMO_KEY,
    AnthropicWorld,
    CursorWorld,
    DeepSeekWorld,
    GoogleSheetsWorld,
    OpenAIWorld,
    Simulator,
    run_simulator,
)
from convergence.simulator.prerender import prerender
from convergence.simulator.serving import LOOPBACK


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = build_parser().parse_args(arguments)
    end_day = chosen.end_day or datetime.now(UTC).date()
    world = OpenAIWorld(
        chosen.seed,
        end_day=end_day,
        days=chosen.days,
        rows_per_day=chosen.rows_per_day,
        people=chosen.people,
        projects=chosen.projects,
        steady=chosen.steady,
        rejects_api_key_grouping=chosen.rejects_api_key_grouping,
    )
    simulator = Simulator(seed=chosen.seed, keeps_bodies=chosen.keep_bodies or bool(chosen.prerender))
    simulator.add_account(chosen.key, world)
    simulator.add_account(chosen.anthropic_key, _anthropic(chosen, end_day), provider="anthropic")
    simulator.add_account(chosen.cursor_key, _cursor(chosen, end_day), provider="cursor")
    account = DeepSeekWorld(chosen.seed, end_day=end_day, days=chosen.days, steady=chosen.steady)
    simulator.add_account(chosen.deepseek_key, account, provider="deepseek")
    sheet = GoogleSheetsWorld(chosen.seed, people=chosen.people, is_public=True)
    simulator.add_account(chosen.sheets_key, sheet, provider="google_sheets")
    for report in chosen.prerender:
        asyncio.run(prerender(simulator, chosen.key, report, world.window))
    run_simulator(simulator, key=chosen.key, host=chosen.host, port=chosen.port, truth=chosen.truth_file)


def _anthropic(chosen: argparse.Namespace, end_day: date) -> AnthropicWorld:
    """The same people at the other provider."""
    return AnthropicWorld(
        chosen.seed,
        end_day=end_day,
        days=chosen.days,
        rows_per_day=chosen.rows_per_day,
        people=chosen.people,
        steady=chosen.steady,
    )


def _cursor(chosen: argparse.Namespace, end_day: date) -> CursorWorld:
    """The same people's editor."""
    return CursorWorld(
        chosen.seed,
        end_day=end_day,
        days=chosen.days,
        rows_per_day=chosen.rows_per_day,
        people=chosen.people,
        steady=chosen.steady,
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convergence.simulator", description=__doc__)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", default=DEMO_KEY, help="the admin key of the OpenAI account")
    parser.add_argument("--anthropic-key", default=ANTHROPIC_DEMO_KEY, help="the admin key of the Anthropic account")
    parser.add_argument("--cursor-key", default=CURSOR_DEMO_KEY, help="the Admin API key of the Cursor team")
    parser.add_argument("--deepseek-key", default=DEEPSEEK_DEMO_KEY, help="an API key of the DeepSeek account")
    parser.add_argument("--sheets-key", default=GOOGLE_SHEETS_DEMO_KEY, help="the API key of the Google Sheets account")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--end-day", type=date.fromisoformat, help="first day without data; today by default")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows-per-day", type=int, default=200)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--projects", type=int, default=6)
    parser.add_argument("--steady", action="store_true", help="no empty days: the number of rows is exact")
    parser.add_argument("--rejects-api-key-grouping", action="store_true", help="costs refuse group_by=api_key_id")
    parser.add_argument("--keep-bodies", action="store_true", help="render each bucket once and keep it on disk")
    parser.add_argument(
        "--prerender",
        action="append",
        default=[],
        metavar="PATH?QUERY",
        help="render a report's buckets before serving, as in 'costs?group_by=project_id'; repeatable",
    )
    parser.add_argument("--truth-file", type=Path, help="write the exact totals here before serving")
    return parser


if __name__ == "__main__":
    main()
