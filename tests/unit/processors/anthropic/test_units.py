"""The unit of amounts is declared in the pipeline, never assumed."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from convergence.processors.anthropic import claude_code, reported_cost


@pytest.mark.parametrize("config", [reported_cost.Config, claude_code.Config])
def test_a_step_that_reads_amounts_does_not_guess_their_unit(config: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="amount_unit"):
        config.model_validate({})


@pytest.mark.parametrize("config", [reported_cost.Config, claude_code.Config])
def test_an_unknown_unit_is_refused(config: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="amount_unit"):
        config.model_validate({"amount_unit": "pennies"})
