"""Create the platform's tables in the warehouse of this environment, or add what they lack.

The same as `convergence bootstrap`, for deployments that run scripts before a server starts.
"""

from __future__ import annotations

import asyncio
import sys

from convergence.bootstrap import open_platform, prepare_settings
from convergence.errors import ConvergenceError
from convergence.settings import load_settings


async def create_tables() -> None:
    settings = prepare_settings(load_settings())
    async with open_platform(settings) as platform:
        result = await platform.organizations.bootstrap()
    for name in result.tables_created:
        print(f"created {name}")
    for name in result.tables_existing:
        print(f"exists  {name}")


def main() -> int:
    try:
        asyncio.run(create_tables())
    except ConvergenceError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
