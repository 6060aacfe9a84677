"""`python -m convergence.simulator.deepseek export.zip`: a simulated export of the console, its truth printed."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from convergence.kit.jsontext import dumps
from convergence.simulator.deepseek import DeepSeekWorld, ExportForm, build_export, zip_export


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a simulated export of DeepSeek's console.")
    parser.add_argument("file", type=Path, help="where the ZIP goes")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--currency", choices=("USD", "CNY"), default="USD")
    parser.add_argument("--schema", choices=("utc_date", "iso"), default="iso")
    parser.add_argument("--by", choices=("day", "hour"), default="day")
    given = parser.parse_args(arguments)
    now = datetime.now(UTC)
    world = DeepSeekWorld(given.seed, end_day=now.date(), days=given.days, currency=given.currency)
    files = build_export(world, world.window, now, ExportForm(given.schema, given.by))
    given.file.write_bytes(zip_export(files))
    sys.stdout.write(dumps(world.truth(now)) + "\n")


if __name__ == "__main__":
    main()
