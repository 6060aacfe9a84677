"""Routes, one module for each thing that has some; each has a `router`."""

from typing import Final

from fastapi import APIRouter

from convergence.api.routers import (
    admin,
    api_keys,
    costs,
    exports,
    files,
    health,
    identity,
    integrations,
    keys,
    organizations,
    pipelines,
    plans,
    prices,
    query,
    reconciliation,
    rerate,
    runs,
    scheduler,
    tasks,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    admin.router,
    keys.router,
    organizations.router,
    api_keys.router,
    prices.router,
    plans.router,
    integrations.router,
    runs.router,
    pipelines.router,
    scheduler.router,
    tasks.router,
    query.router,
    files.router,
    costs.router,
    exports.router,
    identity.router,
    reconciliation.router,
    rerate.router,
    health.router,
)
# What a process answers that only executes what the queue brings.
DELIVERY_ROUTERS: Final[tuple[APIRouter, ...]] = (tasks.router, health.router)
