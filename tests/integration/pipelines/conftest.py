"""A platform over real files, with pipelines of a test's own."""

import asyncio
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from convergence.bootstrap import open_platform
from convergence.kit.window import Window
from convergence.organizations.models import OnboardingRequest
from convergence.pipelines.service import RunRequest
from convergence.settings import load_settings

CONFIGS = Path(__file__).parents[3] / "configs"


class Bench:
    """A platform, one organization, and a journal that the steps write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.txt"
        for part in ("platform", "identity"):
            shutil.copytree(CONFIGS / part, folder / "configs" / part)
        (folder / "configs" / "trial").mkdir()

    def write_pipeline(self, steps: str, *, name: str = "work", head: str = "") -> None:
        text = f"pipeline_id: trial-{name}\n{head}steps:\n{steps}"
        (self.folder / "configs" / "trial" / f"{name}.yml").write_text(text)

    @asynccontextmanager
    async def open(self, *, work: bool = True, onboard: bool = True, plan: str = "SCALE", **environment: str):
        settings = load_settings(
            {
                "DATA_DIR": str(self.folder / "data"),
                "CONFIGS_DIR": str(self.folder / "configs"),
                "RETRY_BACKOFF_SECONDS": "0",
                "METADATA_LOG_FLUSH_INTERVAL_SECONDS": "1",
                **environment,
            }
        )
        async with open_platform(settings, processors="trial_processors") as platform:
            if onboard:
                await platform.organizations.bootstrap(force_recreate_dataset=False)
                await platform.organizations.onboard(OnboardingRequest("acme", "Acme", "a@example.com", plan))
            if work:
                platform.start_work()
            yield platform

    async def accept(self, platform, *, name: str = "work", **request):
        pipeline = platform.pipelines.find(f"trial-{name}")
        parameters = {"journal": str(self.journal)}
        return await platform.pipelines.run(
            platform.scope.org("acme"), RunRequest(pipeline, parameters=parameters, **request)
        )

    async def run(self, platform, **request):
        return await self.finish(platform, await self.accept(platform, **request))

    async def finish(self, platform, run):
        async with asyncio.timeout(120):
            while True:
                current = await platform.pipelines.get(platform.scope.org("acme"), run.run_id)
                if current.status.is_final:
                    return current
                await asyncio.sleep(0.01)

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def days():
    return Window.inclusive
