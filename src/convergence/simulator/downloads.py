"""What a person downloads from a provider and uploads here: DeepSeek's console export, a Cloud Billing export."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.kit.window import Window
from convergence.simulator.deepseek import DeepSeekWorld, build_export, zip_export
from convergence.simulator.gcp import GcpBillingWorld, write_parquet


@dataclass(frozen=True, slots=True)
class Download:
    """A file of one provider. `total` is what the provider bills for the days; the file may hold earlier ones too."""

    provider: str
    path: Path
    total: Decimal


def write_downloads(folder: Path, *, seed: int, end_day: date, days: int) -> list[Download]:
    """The files of the accounts that `python -m convergence.simulator` has of the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    return [_write_deepseek(folder, seed, end_day, days, now), _write_gcp(folder, seed, end_day, days, now)]


def _write_deepseek(folder: Path, seed: int, end_day: date, days: int, now: datetime) -> Download:
    world = DeepSeekWorld(seed, end_day=end_day, days=days)
    path = folder / "deepseek-usage.zip"
    path.write_bytes(zip_export(build_export(world, world.window, now)))
    return Download("deepseek", path, _sum(world.truth(now), world.window))


def _write_gcp(folder: Path, seed: int, end_day: date, days: int, now: datetime) -> Download:
    world = GcpBillingWorld(seed, end_day=end_day, days=days)
    path = write_parquet(world.rows(now), folder / "gcp-billing-export.parquet")
    return Download("gcp", path, _sum(world.truth(now), world.window))


def _sum(truth: dict[str, Any], days: Window) -> Decimal:
    by_day = truth["cost"]["by_day"]
    return sum((Decimal(by_day.get(day.isoformat(), 0)) for day in days.days()), Decimal(0))
