"""What a processor is and what it is given."""

from convergence.steps.context import (
    CredentialReader,
    LoadLimits,
    Processor,
    RunInfo,
    StepContext,
    StepResult,
    file_days,
)

__all__ = ["CredentialReader", "LoadLimits", "Processor", "RunInfo", "StepContext", "StepResult", "file_days"]
