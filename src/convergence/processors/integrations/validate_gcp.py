"""Asks BigQuery whether a service account may read the billing export: the one that is given, or the stored one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from convergence.processors.integrations._validation import ValidationEngine


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> ValidationEngine:
    return ValidationEngine("gcp")
