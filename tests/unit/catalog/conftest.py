from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

Tree = Callable[[Mapping[str, str]], Path]

GOOD = """\
pipeline_id: openai-usage-cost
description: Usage
schedule: "0 4 * * *"
timeout_minutes: 60
retry_attempts: 2
parameters: {endpoint: completions}
steps:
  - step_id: extract_usage
    ps_type: openai.usage
    timeout_minutes: 10
    endpoints: ["{parameters.endpoint}"]
  - step_id: transform_cost
    ps_type: openai.cost
    depends_on: [extract_usage]
    on_failure: alert
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Writes files by their path below a configs root and returns the root."""
    root = tmp_path / "configs"
    root.mkdir()

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), encoding="utf-8")
        return root

    return write


@pytest.fixture
def good() -> str:
    return GOOD
