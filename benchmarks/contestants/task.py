"""What every contestant is given and hands back: standard library only, for each has an environment of its own."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DIMENSIONS = ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier")
MEASURES = (
    "input_tokens", "output_tokens", "input_cached_tokens", "input_cache_write_tokens", "input_uncached_tokens",
    "input_text_tokens", "input_audio_tokens", "input_image_tokens", "input_cached_text_tokens",
    "input_cached_audio_tokens", "input_cached_image_tokens", "output_text_tokens", "output_audio_tokens",
    "output_image_tokens", "num_model_requests",
)  # fmt: skip
PATH = "/organization/usage/completions"


@dataclass(frozen=True)
class Task:
    """Load these days, `days_a_page` of them with each request, into an empty folder."""

    base_url: str
    key: str
    start_time: int
    end_time: int
    days_a_page: int
    folder: str

    @property
    def params(self) -> dict[str, Any]:
        return {
            "start_time": self.start_time,
            "end_time": self.end_time,
            "bucket_width": "1d",
            "limit": self.days_a_page,
            "group_by": list(DIMENSIONS),
        }


@dataclass
class Outcome:
    """`seconds` and `cpu_seconds` are of the work alone, without start-up and imports."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    rows: int = 0
    input_tokens: int = 0
    versions: dict[str, str] = field(default_factory=dict)


def read_task() -> Task:
    return Task(**json.load(sys.stdin))


@contextmanager
def timed(outcome: Outcome) -> Iterator[None]:
    """Times the block, and takes the peak of memory up to its end."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    outcome.seconds, outcome.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    outcome.peak_mb = peak_mb()


def peak_mb() -> float:
    """The most memory this process ever held, in MiB. `ru_maxrss` would count the parent that it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def hand_in(outcome: Outcome) -> None:
    print(json.dumps(asdict(outcome)))
