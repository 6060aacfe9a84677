"""Ingest speed and memory: ours beside the bare floor and dlt, on the same simulated API and machine.

`make bench`, or `python benchmarks/ingest.py --sizes 30k,300k --contestants floor,ours --repeat 3 --json out.json`.
docs/explanation/performance.md says what is measured and what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

from contestants.task import DIMENSIONS, Outcome, Task
from convergence.kit.window import Window, midnight
from convergence.simulator import SimulatorProcess
from convergence.steps.reports import PAGE_BYTES

HERE = Path(__file__).parent
FOLDER = HERE.parent / ".benchmarks"
DLT_PYTHON = FOLDER / "dlt-venv" / "bin" / "python"
# With DuckDB 2.0 dlt takes half as long again and five times the memory, so it gets 1.5.
DLT_PACKAGES = ("dlt[duckdb,parquet]==1.31.0", "duckdb==1.5.6")
SIZES = {"30k": 1_000, "300k": 10_000, "1.2M": 40_000}  # rows a day
DAYS = Window(date(2026, 10, 2), date(2026, 11, 1))
ROW_BYTES = 640
CAPTION = "vs floor: time over the floor's; vs dlt: dlt's time over this one; MiB: peak memory; --all: left out"
PATIENT_DAILY_ROWS = 10_000  # dlt takes long above it: see --all


@dataclass(frozen=True)
class Contestant:
    """A script of benchmarks/contestants in an environment of its own."""

    name: str
    title: str
    arguments: tuple[str, ...]
    python: Path = Path(sys.executable)

    @property
    def is_dlt(self) -> bool:
        return self.python == DLT_PYTHON


CONTESTANTS = {
    one.name: one
    for one in (
        Contestant("floor", "bare floor", ("floor.py",)),
        Contestant("ours", "convergence run", ("convergence_run.py",)),
        Contestant("dlt", "dlt", ("dlt_rest_api.py",), DLT_PYTHON),
        Contestant("dlt-tuned", "dlt, tuned", ("dlt_rest_api.py", "--tuned"), DLT_PYTHON),
    )
}


@dataclass(frozen=True)
class Result:
    """The best of the repetitions; no outcome means that it was left out."""

    size: str
    rows: int
    contestant: str
    outcome: Outcome | None


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = build_parser().parse_args(arguments)
    console = Console()
    if any(CONTESTANTS[name].is_dlt for name in chosen.contestants):
        prepare_dlt(console)
    results = [result for size in chosen.sizes for result in measure(console, size, chosen)]
    console.print(build_table(results))
    console.print(describe_machine(results), style="dim")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=one_of(SIZES), default=list(SIZES), help=",".join(SIZES))
    parser.add_argument(
        "--contestants", type=one_of(CONTESTANTS), default=list(CONTESTANTS), help=",".join(CONTESTANTS)
    )
    parser.add_argument("--repeat", type=int, default=1, help="take the fastest of so many")
    parser.add_argument("--all", action="store_true", help="let dlt load more than 300k rows, too: that takes long")
    parser.add_argument("--json", type=Path, help="write the results here")
    return parser


def one_of(known: dict[str, Any]) -> Any:
    """An argparse type: names of `known`, separated by commas."""

    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        if not found or any(name not in known for name in found):
            raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}")
        return found

    return names


def prepare_dlt(console: Console) -> None:
    """An environment for dlt, made once."""
    stamp = FOLDER / "dlt-venv" / ".installed"
    if stamp.exists() and stamp.read_text() == " ".join(DLT_PACKAGES):
        return
    console.print("Installing dlt into .benchmarks/dlt-venv ...")
    subprocess.run([sys.executable, "-m", "venv", str(FOLDER / "dlt-venv")], check=True)
    pip = [str(DLT_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *DLT_PACKAGES], check=True)
    stamp.write_text(" ".join(DLT_PACKAGES))


def measure(console: Console, size: str, chosen: argparse.Namespace) -> Iterator[Result]:
    """Everyone on the same data, one after the other; the repetitions take turns, so that noise meets all alike."""
    daily = SIZES[size]
    racing = [CONTESTANTS[name] for name in chosen.contestants]
    racing = [one for one in racing if chosen.all or not one.is_dlt or daily <= PATIENT_DAILY_ROWS]
    best: dict[str, Outcome] = {}
    with console.status(f"{size}: rendering"), SimulatorProcess(simulator_arguments(daily)) as simulator:
        for number in range(chosen.repeat):
            for one in racing:
                console.print(f"{size}: {one.title}, {number + 1} of {chosen.repeat}", style="dim")
                outcome = compete(one, simulator, daily)
                if one.name not in best or outcome.seconds < best[one.name].seconds:
                    best[one.name] = outcome
    check_same(size, daily, best)
    for name in chosen.contestants:
        yield Result(size, daily * len(DAYS), name, best.get(name))


def simulator_arguments(daily: int) -> list[str]:
    """Every page is rendered before the clock starts: the server is not what is measured."""
    report = "usage/completions?" + urlencode([("group_by", dimension) for dimension in DIMENSIONS])
    options = {"--days": len(DAYS), "--end-day": DAYS.end, "--rows-per-day": daily, "--people": 60, "--projects": 20}
    return ["--steady", "--prerender", report, *(str(part) for option in options.items() for part in option)]


def compete(one: Contestant, simulator: SimulatorProcess, daily: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        task = Task(
            base_url=simulator.base_urls["openai"],
            key=simulator.key,
            start_time=int(midnight(DAYS.start).timestamp()),
            end_time=int(midnight(DAYS.end).timestamp()),
            days_a_page=days_a_page(daily),
            folder=folder,
        )
        script, *flags = one.arguments
        ended = subprocess.run(
            [str(one.python), str(HERE / "contestants" / script), *flags],
            input=json.dumps(asdict(task)),
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode:
        sys.exit(f"{one.title} failed:\n{ended.stderr}")
    return Outcome(**json.loads(ended.stdout.splitlines()[-1]))


def days_a_page(daily: int) -> int:
    """What ours asks for at this size, so that all make the same requests."""
    return max(1, min(31, PAGE_BYTES // (daily * ROW_BYTES)))


def check_same(size: str, daily: int, outcomes: dict[str, Outcome]) -> None:
    """A contestant that lost a row, or a token, has not run the race."""
    ends = {name: (outcome.rows, outcome.input_tokens) for name, outcome in outcomes.items()}
    assert len(set(ends.values())) == 1, f"{size}: not the same rows: {ends}"
    assert all(rows == daily * len(DAYS) for rows, _ in ends.values()), f"{size}: rows are missing: {ends}"


def build_table(results: Sequence[Result]) -> Table:
    table = Table(title=f"{len(DAYS)} days of completions usage, HTTP to DuckDB", caption=CAPTION)
    for column in ("rows", "contestant", "seconds", "rows/s", "vs floor", "vs dlt", "MiB"):
        table.add_column(column, justify="left" if column == "contestant" else "right", no_wrap=True)
    for result in results:
        table.add_row(*build_row(result, results), end_section=result is last_of(result.size, results))
    return table


def build_row(result: Result, results: Sequence[Result]) -> list[str]:
    title = CONTESTANTS[result.contestant].title
    if result.outcome is None:
        return [f"{result.rows:,}", title, "--all", "", "", "", ""]
    seconds = result.outcome.seconds
    floor, dlt = (seconds_of(name, result.size, results) for name in ("floor", "dlt"))
    return [
        f"{result.rows:,}",
        title,
        f"{seconds:.2f}",
        f"{result.rows / seconds:,.0f}",
        f"{seconds / floor:.2f}" if floor else "",
        f"{dlt / seconds:.1f}" if dlt else "",
        f"{result.outcome.peak_mb:.0f}",
    ]


def seconds_of(contestant: str, size: str, results: Sequence[Result]) -> float | None:
    found = (one.outcome for one in results if (one.contestant, one.size) == (contestant, size))
    outcome = next(found, None)
    return outcome.seconds if outcome else None


def last_of(size: str, results: Sequence[Result]) -> Result:
    return [one for one in results if one.size == size][-1]


def describe_machine(results: Sequence[Result]) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"]
    versions = {one.contestant: one.outcome.versions for one in results if one.outcome}
    for name, found in versions.items():
        lines.append(f"{CONTESTANTS[name].title}: {', '.join(f'{what} {number}' for what, number in found.items())}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
