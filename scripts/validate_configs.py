"""Print every fault of the files below a configs folder; exit 1 if there is one.

python scripts/validate_configs.py [ROOT]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from convergence.catalog import Catalog
from convergence.errors import ConfigError
from convergence.steps.registry import check_step

DEFAULT_ROOT = Path(__file__).resolve().parent.parent / "configs"


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print("usage: python scripts/validate_configs.py [ROOT]", file=sys.stderr)
        return 2
    root = Path(arguments[0]) if arguments else DEFAULT_ROOT
    try:
        catalog = Catalog(root)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    faults = catalog.faults(partial(check_step, find_schema=catalog.schema))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{root}: {len(faults)} faults" if faults else f"{root}: {len(catalog.pipelines())} pipelines, no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
