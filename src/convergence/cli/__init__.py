"""The command line: thin. Every command is a request to the HTTP API, embedded here or running elsewhere."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit codes are 0 ok, 1 failed, 2 bad input, 130 interrupted."""
    from convergence.cli.app import app
    from convergence.cli.failures import exit_code, show_failure

    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
    # The last boundary: whatever a command raises becomes one clear message and an exit code.
    except Exception as error:  # noqa: BLE001 - said above
        show_failure(error)
        sys.exit(exit_code(error))
