"""How patient the client is with a provider, and how much it takes from one."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """Times are in seconds. The defaults are for reporting APIs: slow, rate limited, safe to read again.

    A Retry-After up to `retry_after_cap` is waited for in place; a longer one, or one that ends behind `deadline`,
    is handed back to the queue, which holds no worker while it waits.
    """

    connect_timeout: float = 3.0
    read_timeout: float = 60.0
    write_timeout: float = 10.0
    pool_timeout: float = 10.0
    deadline: float = 120.0  # of one page, all attempts and waits together
    attempts: int = 6
    backoff_base: float = 0.5
    backoff_cap: float = 20.0
    retry_after_cap: float = 120.0
    budget_capacity: float = 20.0  # retries of one organization at one provider, saved up
    budget_refund: float = 0.3  # per success: about 30 % extra load at most when a provider keeps failing
    breaker_failures: int = 5
    breaker_open: float = 30.0
    outage_calls: int = 20  # of all organizations together, within `outage_window` seconds
    outage_share: float = 0.5
    outage_window: float = 60.0
    outage_open: float = 15.0
    org_concurrency: int = 2
    provider_concurrency: int = 16
    max_body_bytes: int = 32 * MIB
    max_error_bytes: int = 64 * 1024
    user_action_attempts: int = 2
    user_action_codes: frozenset[str] = field(
        default_factory=lambda: frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
    )
