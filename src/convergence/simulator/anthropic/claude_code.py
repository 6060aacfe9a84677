"""Claude Code activity of a day: one record an actor, terminal and kind of customer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

import msgspec

from convergence.simulator.amounts import amount_text
from convergence.simulator.anthropic.directory import ApiKey, Directory
from convergence.simulator.chance import draws
from convergence.simulator.days import cut, is_there

TERMINALS = ("iTerm.app", "vscode", "tmux")
MODELS = {"claude-opus-4-8": 1_200, "claude-sonnet-5": 480}
"""Cents that a million tokens are estimated at, over all kinds."""


class Activity(NamedTuple):
    """A record with its figures. `estimates` are tenths of a cent by model."""

    actor: dict[str, str]
    customer_type: str
    terminal: str
    metrics: tuple[int, ...]
    tokens: dict[str, tuple[int, ...]]
    estimates: dict[str, int]


def activities(directory: Directory, seed: int, day: date, seconds: int) -> Iterator[Activity]:
    """The records of a day as far as it has come. People without an address do not show; a key acts for itself."""
    for place, person in enumerate(directory.people):
        if person.email is None or not is_there(person.until, day):
            continue
        kind = "subscription" if place % 3 == 1 else "api"
        actor = {"type": "user_actor", "email_address": person.email}
        yield _activity(actor, kind, TERMINALS[place % 3], draws(12, seed, "claude", day, place).tolist(), seconds)
    machine = _machine(directory, day)
    if machine is not None:
        actor = {"type": "api_actor", "api_key_name": machine.name}
        yield _activity(actor, "api", "tmux", draws(12, seed, "claude", day, machine.id).tolist(), seconds)


def _machine(directory: Directory, day: date) -> ApiKey | None:
    return next((key for key in directory.keys if is_there(key.until, day)), None)


def _activity(actor: dict[str, str], kind: str, terminal: str, chance: list[int], seconds: int) -> Activity:
    metrics = tuple(cut(value % 400, 0, seconds) for value in chance[:9])
    tokens = {
        model: tuple(cut(value % 60_000 * (at + 1), 0, seconds) for value in chance[4 * at + 2 : 4 * at + 6])
        for at, model in enumerate(MODELS)
    }
    estimates = {model: sum(counts) * MODELS[model] // 100_000 for model, counts in tokens.items()}
    return Activity(actor, kind, terminal, metrics, tokens, estimates)


def record(activity: Activity, day: date, organization_id: str) -> dict[str, Any]:
    """As the API writes it."""
    sessions, added, removed, commits, requests, edits, refused, writes, unwritten = activity.metrics
    return {
        "date": f"{day.isoformat()}T00:00:00Z",
        "actor": activity.actor,
        "organization_id": organization_id,
        "customer_type": activity.customer_type,
        "subscription_type": "team" if activity.customer_type == "subscription" else None,
        "terminal_type": activity.terminal,
        "is_remote": False,
        "core_metrics": {
            "num_sessions": sessions,
            "lines_of_code": {"added": added, "removed": removed},
            "commits_by_claude_code": commits,
            "pull_requests_by_claude_code": requests,
        },
        "tool_actions": {
            "edit_tool": {"accepted": edits, "rejected": refused},
            "write_tool": {"accepted": writes, "rejected": unwritten},
        },
        "model_breakdown": [_model(activity, model) for model in activity.tokens],
    }


def _model(activity: Activity, model: str) -> dict[str, Any]:
    uncached, output, read, written = activity.tokens[model]
    cents = msgspec.Raw(amount_text(activity.estimates[model], 1).encode())
    return {
        "model": model,
        "tokens": {"input": uncached, "output": output, "cache_read": read, "cache_creation": written},
        "estimated_cost": {"amount": cents, "currency": "USD"},
    }
