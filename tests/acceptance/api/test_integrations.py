from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convergence.simulator import SimulatorServer

from .conftest import ADMIN_KEY, Api, open_api

CANARY = "sk-proj-canary-0123456789abcdefghij"
ABSENT = "http://127.0.0.1:9/v1"


async def _setup(api: Api, key: str, credential: str = ADMIN_KEY, **body: Any) -> Any:
    return await api.send("POST", "/integrations/acme/openai/setup", key, json={"credential": credential, **body})


async def test_setup_show_validate_remove(working_api: Api) -> None:
    api = working_api
    key = await api.onboard("acme")
    made = await _setup(api, key, credential_name="finance", metadata={"owner": "ann"})
    listed = (await api.send("GET", "/integrations/acme", key)).json()
    shown = (await api.send("GET", "/integrations/acme/OPENAI", key)).json()
    validated = (await api.send("POST", "/integrations/acme/openai/validate", key)).json()
    removed = await api.send("DELETE", "/integrations/acme/openai", key)
    after = (await api.send("GET", "/integrations/acme/openai", key)).json()

    assert made.json() | {"fingerprint": ""} == {
        "success": True,
        "provider": "OPENAI",
        "validation_status": "VALID",
        "credential_name": "finance",
        "fingerprint": "",
        "pricing_initialized": True,
        "subscriptions_initialized": True,
        "warnings": [],
    }
    assert set(listed["integrations"]) == {"OPENAI", "ANTHROPIC", "DEEPSEEK", "CURSOR", "GCP_SA", "GOOGLE_SHEETS"}
    assert listed["integrations"]["OPENAI"]["status"] == shown["status"] == "VALID"
    assert listed["integrations"]["ANTHROPIC"]["status"] == "NOT_CONFIGURED"
    assert shown["integrations"]["OPENAI"]["credential_name"] == "finance"
    assert (validated["success"], validated["validation_status"]) == (True, "VALID")
    assert (removed.status_code, after["status"]) == (200, "NOT_CONFIGURED")


async def test_a_refused_credential_is_not_stored(working_api: Api) -> None:
    api = working_api
    key = await api.onboard("acme")
    answer = await _setup(api, key, CANARY)
    after = await api.send("GET", "/integrations/acme/openai", key)

    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["validation_status"]) == ("credential_invalid", "INVALID")
    assert after.json()["status"] == "NOT_CONFIGURED"


async def test_a_provider_that_does_not_answer_is_503_and_stores_nothing(tmp_path: Path) -> None:
    async with open_api(tmp_path, OPENAI_BASE_URL=ABSENT) as api:
        await api.bootstrap()
        key = await api.onboard("acme")
        answer = await _setup(api, key)
        after = await api.send("GET", "/integrations/acme/openai", key)

    assert (answer.status_code, after.json()["status"]) == (503, "NOT_CONFIGURED")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_credential_never_comes_back(
    working_api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not from the answer to any route, not in a log line, not in a file of the platform in clear text."""
    api = working_api
    key = await api.onboard("acme")
    bodies: tuple[Any, ...] = (
        {"credential": CANARY},
        {"credential": CANARY, "unknown": CANARY},
        {"credential": [CANARY]},
        {"credential": {"value": CANARY}},
        {CANARY: 1},
        [CANARY],
        CANARY,
    )
    answers = [await api.send("POST", "/integrations/acme/openai/setup", key, json=body) for body in bodies]
    answers.append(await api.send("POST", f"/integrations/acme/{CANARY}/setup", key, json=bodies[0]))
    answers.append(await api.send("POST", "/integrations/acme/openai/setup", key, content=f'{{"credential": {CANARY}'))
    answers.append(
        await api.send("POST", "/pipelines/run/openai-usage-cost", key, json={"parameters": {"credential": CANARY}})
    )
    answers += [await _setup(api, key)]
    for path in ("/integrations/acme", "/integrations/acme/openai", "/pipelines/runs", "/organizations/acme"):
        answers.append(await api.send("GET", path, key))
    sql = "SELECT * FROM org_comprehensive_view"
    answers.append(await api.send("POST", "/query/acme", key, json={"sql": sql}))

    assert [answer.status_code for answer in answers] == [400, *[422] * 6, 404, 422, 422, *[200] * 6]
    logged = capfd.readouterr()
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for secret in (CANARY, ADMIN_KEY):
        assert not any(secret in answer.text or secret in str(answer.headers) for answer in answers)
        assert secret not in logged.out + logged.err
        assert secret.encode() not in kept


async def test_what_cannot_be_set_up_says_so(working_api: Api) -> None:
    key = await working_api.onboard("acme")
    answers = [
        await working_api.send("POST", "/integrations/acme/cursor/setup", key, json={"credential": "key_x"}),
        await working_api.send("POST", "/integrations/acme/nothing/setup", key, json={"credential": "key_x"}),
        await working_api.send("POST", "/integrations/acme/openai/validate", key),
        await working_api.send("DELETE", "/integrations/acme/openai", key),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (400, "credential_invalid"),
        (404, "provider_unknown"),
        (404, "integration_not_found"),
        (404, "integration_not_found"),
    ]


async def test_a_credential_revoked_at_the_provider_is_shown_as_invalid(
    tmp_path: Path, simulator: SimulatorServer
) -> None:
    simulated = simulator.simulator
    simulated.add_account("sk-admin-short-lived-0123456789", simulated.accounts["openai", ADMIN_KEY].world)
    async with open_api(tmp_path, OPENAI_BASE_URL=simulator.base_urls["openai"]) as api:
        await api.bootstrap()
        key = await api.onboard("acme")
        await _setup(api, key, "sk-admin-short-lived-0123456789")
        del simulated.accounts["openai", "sk-admin-short-lived-0123456789"]
        answer = (await api.send("POST", "/integrations/acme/openai/validate", key)).json()
        shown = (await api.send("GET", "/integrations/acme/openai", key)).json()

    assert (answer["success"], answer["validation_status"], shown["status"]) == (False, "INVALID", "INVALID")
    assert shown["last_error"]
