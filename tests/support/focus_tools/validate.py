"""Runs in the validator's environment: the rules that a file breaks, as JSON on the last line.

usage: validate.py FILE CRITERION,CRITERION
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import focus_validator  # type: ignore[import-not-found]  # of another environment
from focus_validator.validator import Validator  # type: ignore[import-not-found]  # of another environment


def main(path: str, criteria: str) -> None:
    os.chdir(Path(focus_validator.__file__).parents[1])  # it opens its list of currencies from there
    validator = Validator(
        data_filename=path,
        output_destination=None,
        output_type="console",
        focus_dataset="CostAndUsage",
        rules_version="1.2.0.1",
        rules_block_remote_download=True,
        applicability_criteria=criteria,
    )
    rules = validator.validate().by_rule_id
    broken = {name: str(rule.get("details", {}).get("message")) for name, rule in rules.items() if not rule["ok"]}
    print(json.dumps({"rules": len(rules), "broken": broken}))


if __name__ == "__main__":
    main(*sys.argv[1:])
