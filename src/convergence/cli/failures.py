"""How a failed command ends: one message, one hint, one exit code."""

from __future__ import annotations

import sys

from convergence.errors import ConfigError, ConvergenceError, RequestError

FAILED, BAD_INPUT = 1, 2


class ProblemAnswer(ConvergenceError):
    """The API answered with a problem; `status` is its HTTP status."""

    def __init__(self, message: str, *, status: int, code: str, hint: str | None, errors: list[str]) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.errors = errors


def exit_code(error: BaseException) -> int:
    """2 where the caller must change something, 1 for everything else."""
    if isinstance(error, ProblemAnswer):
        return BAD_INPUT if 400 <= error.status < 500 and error.status != 429 else FAILED
    return BAD_INPUT if isinstance(error, ConfigError | RequestError) else FAILED


def show_failure(error: BaseException) -> None:
    """Say on stderr what failed and what to do; a traceback only for what is not ours."""
    if not isinstance(error, ConvergenceError):
        import traceback

        traceback.print_exception(error)
        return
    lines = [f"error: {line}" for line in error.message.splitlines() or [error.code]]
    if isinstance(error, ProblemAnswer):
        lines += [f"  - {text}" for text in error.errors if text not in error.message]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    sys.stderr.write("\n".join(lines) + "\n")
