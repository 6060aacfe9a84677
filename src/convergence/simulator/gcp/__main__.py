"""`python -m convergence.simulator.gcp export.ndjson`: a simulated billing export as a file, its truth printed."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from convergence.kit.jsontext import dumps
from convergence.simulator.gcp import GcpBillingWorld, write_ndjson, write_parquet


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a simulated Cloud Billing export.")
    parser.add_argument("file", type=Path, help="*.parquet, or JSON lines under any other name")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows-per-day", type=int, default=40)
    given = parser.parse_args(arguments)
    now = datetime.now(UTC)
    world = GcpBillingWorld(given.seed, end_day=now.date(), days=given.days, rows_per_day=given.rows_per_day)
    write = write_parquet if given.file.suffix == ".parquet" else write_ndjson
    write(world.rows(now), given.file)
    sys.stdout.write(dumps(world.truth(now)) + "\n")


if __name__ == "__main__":
    main()
