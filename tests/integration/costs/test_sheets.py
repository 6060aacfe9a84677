"""google.sheets against the simulator over HTTP, with a service account's key and with an API key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import structlog
from cost_ledger import ADA, BOB, CONFIGS, DAYS, NOW, Ledger

from convergence.connectors import HttpPolicy, HttpPool
from convergence.connectors.uploads import Uploads
from convergence.costs.identity.loading import WaitingDays
from convergence.costs.identity.moves import find_moved_days
from convergence.errors import ConvergenceError, CredentialInvalid, InvalidRequest, ProviderUnavailable, StepFailed
from convergence.integrations.validators import google_sheets
from convergence.kit.clock import ManualClock
from convergence.processors.google import sheets
from convergence.processors.identity import load
from convergence.simulator import FaultRule, GoogleSheetsWorld, Simulator, SimulatorServer
from convergence.simulator.google_sheets import Tab
from convergence.simulator.google_sheets.tokens import build_key
from convergence.sql import Statement
from convergence.state.memory import MemoryStateStore
from convergence.steps import RunInfo, StepContext, StepResult
from convergence.tenancy import OrgScope, PlatformScope

API_KEY = "AIzaSyTest0123456789abcdefghijklmnopqrst"
HEADER = ["provider", "api_key_id", "Person e-mail", "Team", "valid_from"]
_UNUSED: Any = None  # these steps touch neither


@dataclass
class Credentials:
    """What is stored for Google Sheets."""

    text: str
    metadata: dict[str, Any]

    async def reveal(self, _org: OrgScope, _provider: str, /) -> str:
        return self.text

    async def given(self, _org: OrgScope, _provider: str, /) -> Mapping[str, Any]:
        return self.metadata


@dataclass
class Sheet:
    """A spreadsheet, and the organization that reads it."""

    ledger: Ledger
    world: GoogleSheetsWorld
    server: SimulatorServer
    http: HttpPool
    uploads: Uploads
    credentials: Credentials
    state: MemoryStateStore = field(default_factory=MemoryStateStore)
    runs: int = 0

    def write(self, *lines: list[Any]) -> None:
        self.world.tabs[0].cells = [list(line) for line in lines]

    async def run(self, **parameters: Any) -> StepResult:
        return await sheets.get_engine().execute({}, self.context(parameters))

    async def upload(self, content: bytes) -> StepResult:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        held = await self.uploads.receive(self.ledger.org, chunks(), max_bytes=1_000_000)
        return await load.get_engine().execute({}, self.context({"upload": held.sha256}))

    def context(self, parameters: Mapping[str, Any]) -> StepContext:
        self.runs += 1
        return StepContext(
            run=RunInfo(f"run_{self.runs}", "google-sheets-identity", "api", "test", self.runs),
            step_id="load_mapping",
            platform=PlatformScope(),
            warehouse=self.ledger.warehouse,
            http=self.http,
            credentials=self.credentials,
            security=_UNUSED,
            state=self.state,
            catalog=self.ledger.catalog,
            uploads=self.uploads,
            clock=self.http.clock,
            log=structlog.get_logger(),
            folder=CONFIGS / "google_sheets",
            org=self.ledger.org,
            parameters=parameters,
        )

    async def teams(self) -> list[tuple[str, str]]:
        return [(row["person"] or row["api_key_id"], row["team"]) for row in await self.ledger.mapping.rows()]


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(Simulator(clock=ManualClock(NOW))) as served:
        yield served


@pytest.fixture
async def sheet(server: SimulatorServer, bare: Ledger, tmp_path: Path) -> AsyncIterator[Sheet]:
    async with open_sheet(server, bare, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def open_sheet(server: SimulatorServer, ledger: Ledger, folder: Path) -> AsyncIterator[Sheet]:
    world = GoogleSheetsWorld(tabs=[Tab(7, "API keys", [HEADER, ["", "", ADA, "A"]]), Tab(9, "Else")])
    server.simulator.add_account(API_KEY, world, provider="google_sheets")
    policy = HttpPolicy(backoff_base=0.001, backoff_cap=0.01, attempts=2, budget_capacity=1000)
    pool = HttpPool(base_urls=server.base_urls, clock=ManualClock(NOW), policy=policy)
    credentials = Credentials(build_key(world), {"spreadsheet_id": world.spreadsheet_id})
    yield Sheet(ledger, world, server, pool, Uploads(folder / "uploads"), credentials)
    await pool.close()
    server.simulator.reset()


async def test_a_service_account_reads_the_sheet(sheet: Sheet) -> None:
    result = await sheet.run()
    assert (result.rows_processed, result.metadata["changed"], await sheet.teams()) == (1, True, [(ADA, "A")])


async def test_an_api_key_reads_a_public_sheet_and_no_other(sheet: Sheet) -> None:
    sheet.credentials.text = API_KEY
    with pytest.raises(StepFailed, match="does not have permission") as refused:
        await sheet.run()
    sheet.world.is_public = True
    await sheet.run()
    assert ("public sheets only" in str(refused.value.hint), await sheet.teams()) == (True, [(ADA, "A")])


async def test_cells_are_read_raw(sheet: Sheet) -> None:
    """Formatted, 1000 would be '1,000' and the day '11/2/2026'; numericised, '00123' would be 123."""
    sheet.write(
        HEADER,
        ["openai", "00123", "", "1e5", date(2026, 11, 2)],
        ["openai", "5e10", "", 1000],
        ["openai", "key_1", None, "nan"],
    )
    await sheet.run()
    rows = await sheet.ledger.mapping.rows()
    assert [(row["api_key_id"], row["team"], row["valid_from"]) for row in rows] == [
        ("00123", "1e5", date(2026, 11, 2)),
        ("5e10", "1000", None),
        ("key_1", "nan", None),
    ]


async def test_ragged_rows_and_blank_ones_are_read(sheet: Sheet) -> None:
    sheet.write(HEADER, [], ["", "", BOB, "B", ""], [None, None], ["cursor", "", BOB])
    await sheet.run()
    assert (await sheet.teams(), await sheet.ledger.mapping.faults()) == ([(BOB, "B"), (BOB, "")], [])


async def test_an_empty_or_broken_sheet_never_wipes_the_last_good_mapping(sheet: Sheet) -> None:
    await sheet.run()
    codes = []
    for cells in ([], [[]], [HEADER], [HEADER, ["opnai", "key_1", "", "A"]], [["#REF!"], ["x"]]):
        sheet.write(*cells)
        with pytest.raises(InvalidRequest) as refused:
            await sheet.run()
        codes.append(refused.value.code.removeprefix("identity_mapping_"))
    assert codes == ["empty", "empty", "empty", "empty", "broken"]
    assert await sheet.teams() == [(ADA, "A")]


async def test_unchanged_content_writes_nothing(sheet: Sheet) -> None:
    assert [(await sheet.run()).metadata["changed"] for _ in range(2)] == [True, False]


async def test_a_renamed_tab_is_found_by_its_id(sheet: Sheet) -> None:
    sheet.credentials.metadata["sheet_id"] = "7"
    sheet.world.tabs = [sheet.world.tabs[1], Tab(7, "Who's who", sheet.world.tabs[0].cells)]
    await sheet.run()
    assert await sheet.teams() == [(ADA, "A")]


async def test_a_part_of_a_tab_and_a_link_in_the_place_of_an_id(sheet: Sheet) -> None:
    sheet.world.tabs[1].cells = [["Notes", "", ""], ["", *HEADER], ["", "", "", BOB, "B"]]
    link = f"https://docs.google.com/spreadsheets/d/{sheet.world.spreadsheet_id}/edit?gid=9#gid=9"
    await sheet.run(spreadsheet_id=link, cells="B2:F")
    assert await sheet.teams() == [(BOB, "B")]


async def _fail(sheet: Sheet) -> ConvergenceError:
    with pytest.raises(ConvergenceError) as failed:
        await sheet.run()
    return failed.value


async def test_what_is_wrong_is_told_with_what_to_do(sheet: Sheet) -> None:
    sheet.credentials.metadata["sheet_id"] = "8"
    assert "it has API keys (7), Else (9)" in (await _fail(sheet)).message
    sheet.credentials.metadata = {"spreadsheet_id": "1234567890absent"}
    assert "between /d/ and /edit" in str((await _fail(sheet)).hint)
    sheet.credentials.metadata = {}
    assert "spreadsheet_id is missing" in (await _fail(sheet)).message
    sheet.credentials.metadata = {"spreadsheet_id": sheet.world.spreadsheet_id}
    sheet.world.is_shared = False
    assert sheet.world.client_email in str((await _fail(sheet)).hint)


async def test_a_busy_or_broken_provider_leaves_the_mapping(sheet: Sheet) -> None:
    await sheet.run()
    sheet.server.simulator.faults.add(FaultRule(kind="status", status=429, path="*/values/*"))
    assert isinstance(await _fail(sheet), ProviderUnavailable)
    assert await sheet.teams() == [(ADA, "A")]


async def test_validation_opens_the_sheet_and_never_shows_the_key(sheet: Sheet) -> None:
    place = {"spreadsheet_id": sheet.world.spreadsheet_id}
    found = await google_sheets.check_place(sheet.http, "acme", sheet.credentials.text, place, now=NOW)
    assert found.account == {"id": sheet.world.client_email, "spreadsheet": "Keys and people", "tab": "API keys"}
    foreign = build_key(GoogleSheetsWorld(seed=8)).replace("convergence-8@", "convergence-7@")
    for credential, told in (
        (foreign, "Invalid JWT Signature"),
        (build_key(GoogleSheetsWorld(seed=9)), "account not found"),
        ('{"type": "authorized_user"}', "not the key of a service account"),
        ('{"type": "service_account", "client_email": "x", "private_key": "nonsense"}', "cannot be read"),
        ("AIzaSyWrong0123456789abcdefghijklmnopqrst", "API key not valid"),
    ):
        with pytest.raises(CredentialInvalid) as refused:
            await google_sheets.check_place(sheet.http, "acme", credential, place, now=NOW)
        assert told in refused.value.message
        assert "PRIVATE KEY" not in repr(refused.value) + str(refused.value.hint)


async def test_a_key_that_names_a_token_service_of_its_own_is_not_sent_there(sheet: Sheet) -> None:
    sheet.credentials.text = sheet.credentials.text.replace(
        "https://oauth2.googleapis.com/token", "http://169.254.169.254/token"
    )
    await sheet.run()
    assert await sheet.teams() == [(ADA, "A")]


async def test_an_uploaded_file_is_a_mapping_too(sheet: Sheet) -> None:
    result = await sheet.upload(b"email,team\nada@example.com,A\nbob,B\n")
    assert (await sheet.teams(), result.warnings) == ([(ADA, "A")], ("line 3: person 'bob' is not an e-mail address",))


async def _read_focus(ledger: Ledger) -> dict[str | None, int]:
    sql = "SELECT x_Team AS team, SUM(BilledCost) AS billed FROM focus_cost_daily GROUP BY team"
    rows = (await ledger.warehouse.query(Statement(sql, ledger.org.dataset))).to_pylist()
    return {row["team"]: int(row["billed"]) for row in rows}


async def test_a_new_mapping_builds_focus_anew_for_the_days_that_it_moves(
    server: SimulatorServer, ledger: Ledger, tmp_path: Path
) -> None:
    async with open_sheet(server, ledger, tmp_path) as sheet:
        first = await sheet.upload(b"provider,project,team\nopenai,proj_1,P\n")
        assert (first.metadata["days_rebuilt"], await _read_focus(ledger)) == (3, {"P": 7, None: 24})
        moved = await sheet.run()
        again = await sheet.run()
    assert (moved.metadata["days_rebuilt"], again.metadata["days_rebuilt"]) == (3, 0)
    assert await _read_focus(ledger) == {"A": 3, None: 28}
    assert await ledger.by("team") == {"A": 3, None: 28}


async def test_a_run_that_died_before_focus_was_built_is_made_good_by_the_next(
    server: SimulatorServer, ledger: Ledger, tmp_path: Path
) -> None:
    async with open_sheet(server, ledger, tmp_path) as sheet:
        reading = await ledger.mapping.read(sheet.world.tabs[0].cells, "google_sheets")
        moved = await find_moved_days(ledger.warehouse, ledger.org, DAYS, reading.rows)
        await WaitingDays(sheet.state, ledger.org).add(moved)
        await ledger.mapping.load(reading, "google_sheets", NOW)  # and no further
        result = await sheet.run()
    assert (result.metadata["changed"], result.metadata["days_rebuilt"]) == (False, 2)
    assert (await _read_focus(ledger))["A"] == 3
