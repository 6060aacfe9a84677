import logging
from datetime import timedelta

import pytest

from convergence.connectors import HttpPool
from convergence.errors import (
    CredentialInvalid,
    Denied,
    InvalidRequest,
    NotFound,
    ProviderUnavailable,
    SecretUnreadable,
    StepFailed,
)
from convergence.integrations import PROVIDERS, IntegrationStatus, ProviderAllowance
from convergence.simulator import FaultRule, rate_limited
from convergence.sql import Statement

NOT_CONFIGURED = dict.fromkeys((provider.name for provider in PROVIDERS), IntegrationStatus.NOT_CONFIGURED)


async def test_an_accepted_key_is_stored_sealed_and_shown_by_its_fingerprint(platform, integrations, admin_key):
    integration, warnings = await integrations.setup(platform.acme, "openai", admin_key, "billing key")
    [row] = await platform.rows()
    assert (integration.provider, integration.status, warnings) == ("OPENAI", "VALID", ())
    assert (row["credential_name"], row["version"], row["status"]) == ("billing key", 1, "VALID")
    assert integration.fingerprint == row["fingerprint"] != ""
    assert admin_key not in f"{row} {integration}"
    assert await integrations.reveal(platform.acme, "openai") == admin_key


async def test_the_key_is_asked_about_with_two_requests(platform, integrations, admin_key, simulator):
    await integrations.setup(platform.acme, "openai", admin_key)
    assert len(simulator.journal.entries()) == 2


async def test_white_space_around_a_pasted_key_is_not_part_of_it(platform, integrations, admin_key):
    await integrations.setup(platform.acme, "openai", f"  {admin_key}\n")
    assert await integrations.reveal(platform.acme, "openai") == admin_key


@pytest.mark.parametrize("key", ["sk-proj-0123456789abcdefghij", "sk-svcacct-0123456789abcdefghij"])
async def test_another_kind_of_key_is_told_that_an_admin_key_is_needed(platform, integrations, key):
    with pytest.raises(CredentialInvalid) as caught:
        await integrations.setup(platform.acme, "openai", key)
    assert "An Admin key (sk-admin-...) is needed" in caught.value.hint
    assert caught.value.fields["validation_status"] == "INVALID"
    assert await platform.rows() == []


async def test_a_wrong_admin_key_is_refused_without_being_shown(platform, integrations):
    key = "sk-admin-wrong-0123456789abcdefghij"
    with pytest.raises(CredentialInvalid) as caught:
        await integrations.setup(platform.acme, "openai", key)
    assert "wrong or was revoked" in caught.value.hint
    assert key not in f"{caught.value} {caught.value.hint} {caught.value.fields} {caught.value!r}"
    assert await platform.rows() == []


@pytest.mark.parametrize(
    ("scopes", "right"),
    [({"api.management.read"}, "usage, read"), ({"api.usage.read"}, "projects, read")],
)
async def test_a_key_without_a_right_is_told_which(platform, integrations, simulator, scopes, right):
    key = "sk-admin-limited-0123456789abcdefgh"
    world = next(iter(simulator.accounts.values())).world
    simulator.add_account(key, world, scopes=frozenset(scopes))
    with pytest.raises(CredentialInvalid) as caught:
        await integrations.setup(platform.acme, "openai", key)
    assert right in caught.value.hint
    assert "Missing scopes" in caught.value.message
    assert await platform.rows() == []


@pytest.mark.parametrize(
    "credential", ["sk-admin-with space", "sk-admin-ключ-0123456789", "short", "x" * 600, "a\r\nHost: evil"]
)
async def test_what_cannot_be_a_key_is_refused_without_asking(platform, integrations, simulator, credential):
    with pytest.raises(CredentialInvalid):
        await integrations.setup(platform.acme, "openai", credential)
    assert len(simulator.journal.entries()) == 0


@pytest.mark.parametrize("credential", ["", "   ", "x" * 70_000])
async def test_an_empty_or_endless_credential_is_a_bad_request(platform, integrations, credential):
    with pytest.raises(InvalidRequest):
        await integrations.setup(platform.acme, "openai", credential)


@pytest.mark.parametrize(
    "fault",
    [
        FaultRule(kind="status", status=500),
        FaultRule(kind="status", status=503),
        FaultRule(kind="reset"),
        rate_limited(),
    ],
    ids=["500", "503", "reset", "429"],
)
async def test_a_provider_that_fails_is_unavailable_and_nothing_is_stored(
    platform, integrations, simulator, admin_key, fault
):
    simulator.faults.add(fault)
    with pytest.raises(ProviderUnavailable):
        await integrations.setup(platform.acme, "openai", admin_key)
    assert await platform.rows() == []


async def test_a_provider_that_cannot_be_reached_is_unavailable_and_nothing_is_stored(platform, admin_key):
    async with HttpPool(
        base_urls={"openai": "http://127.0.0.1:9/v1"}, clock=platform.clock, policy=platform.http.policy
    ) as http:
        with pytest.raises(ProviderUnavailable):
            await platform.integrations(http).setup(platform.acme, "openai", admin_key)
    assert await platform.rows() == []


async def test_a_refused_key_leaves_the_one_that_works(platform, integrations, admin_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    with pytest.raises(CredentialInvalid):
        await integrations.setup(platform.acme, "openai", "sk-admin-wrong-0123456789abcdefghij")
    assert await integrations.reveal(platform.acme, "openai") == admin_key


async def test_setting_up_again_leaves_one_row_and_no_trace_of_the_earlier_ciphertext(
    platform, integrations, admin_key, other_key
):
    await integrations.setup(platform.acme, "openai", admin_key, "first")
    [before] = await platform.rows()
    await integrations.setup(platform.acme, "openai", other_key)
    [after] = await platform.rows()
    assert (after["version"], after["credential_id"]) == (2, before["credential_id"])
    assert after["ciphertext"] != before["ciphertext"]
    assert after["credential_name"] == "first"
    assert await integrations.reveal(platform.acme, "openai") == other_key


async def test_a_key_of_another_account_is_noticed(platform, integrations, simulator, admin_key, other_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    _, same = await integrations.setup(platform.acme, "openai", admin_key)
    _, other = await integrations.setup(platform.acme, "openai", other_key)
    assert same == ()
    assert len(other) == 1
    assert "another account" in other[0]


async def test_an_unknown_provider_is_not_found(platform, integrations):
    with pytest.raises(NotFound, match="provider"):
        await integrations.setup(platform.acme, "opnai", "some-credential")


async def test_the_plan_limits_the_providers(platform, integrations, admin_key):
    with pytest.raises(Denied, match="plan TINY allows 0 providers"):
        await integrations.setup(platform.acme, "openai", admin_key, allowance=ProviderAllowance("TINY", 0))
    assert await platform.rows() == []


async def test_a_provider_that_is_set_up_can_be_set_up_again_at_the_limit(platform, integrations, admin_key):
    allowance = ProviderAllowance("TINY", 1)
    await integrations.setup(platform.acme, "openai", admin_key, allowance=allowance)
    integration, _ = await integrations.setup(platform.acme, "openai", admin_key, allowance=allowance)
    assert integration.status == "VALID"


async def test_metadata_is_kept_without_secrets(platform, integrations, admin_key):
    given = {"owner": "finance", "password": "hunter22"}
    integration, _ = await integrations.setup(platform.acme, "openai", admin_key, metadata=given)
    assert integration.metadata["given"]["owner"] == "finance"
    assert "hunter22" not in str(await platform.rows())


async def test_validate_notes_that_a_key_was_revoked_and_reveal_refuses_it(
    platform, integrations, simulator, admin_key
):
    await integrations.setup(platform.acme, "openai", admin_key)
    simulator.accounts.pop(("openai", admin_key))
    platform.clock.advance(timedelta(hours=1))
    integration, _ = await integrations.validate(platform.acme, "openai")
    shown = await integrations.show(platform.acme, "openai")
    assert (integration.status, shown.status) == ("INVALID", "INVALID")
    assert shown.last_validated_at == platform.clock.now()
    assert "revoked" in shown.last_error
    assert admin_key not in shown.last_error
    with pytest.raises(StepFailed, match="was refused"):
        await integrations.reveal(platform.acme, "openai")


async def test_validate_makes_a_good_key_valid_again(platform, integrations, simulator, admin_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    account = simulator.accounts.pop(("openai", admin_key))
    await integrations.validate(platform.acme, "openai")
    simulator.accounts["openai", admin_key] = account
    await integrations.validate(platform.acme, "openai")
    shown = await integrations.show(platform.acme, "openai")
    assert (shown.status, shown.last_error) == ("VALID", None)


async def test_validate_that_cannot_ask_changes_nothing(platform, integrations, simulator, admin_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    before = await platform.rows()
    simulator.faults.add(FaultRule(kind="status", status=500))
    with pytest.raises(ProviderUnavailable):
        await integrations.validate(platform.acme, "openai")
    assert await platform.rows() == before


@pytest.mark.parametrize("act", ["validate", "delete"])
async def test_what_is_not_set_up_is_not_found(platform, integrations, act):
    with pytest.raises(NotFound, match="no OPENAI integration"):
        await getattr(integrations, act)(platform.acme, "openai")


async def test_revealing_what_is_not_set_up_says_how_to(platform, integrations):
    with pytest.raises(StepFailed) as caught:
        await integrations.reveal(platform.acme, "openai")
    assert caught.value.hint == "Set it up: POST /integrations/Acme/openai/setup."


async def test_every_provider_is_listed(platform, integrations, admin_key):
    before = {name: integration.status for name, integration in (await integrations.list(platform.acme)).items()}
    await integrations.setup(platform.acme, "openai", admin_key)
    after = {name: integration.status for name, integration in (await integrations.list(platform.acme)).items()}
    assert before == NOT_CONFIGURED
    assert after == {**NOT_CONFIGURED, "OPENAI": "VALID"}


async def test_another_organization_sees_and_opens_nothing(platform, integrations, admin_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    assert (await integrations.show(platform.globex, "openai")).status == "NOT_CONFIGURED"
    assert await integrations.valid_providers(platform.globex) == frozenset()
    with pytest.raises(StepFailed):
        await integrations.reveal(platform.globex, "openai")
    with pytest.raises(NotFound):
        await integrations.delete(platform.globex, "openai")
    assert await integrations.valid_providers(platform.acme) == {"openai"}


async def test_a_row_moved_to_another_organization_does_not_open(platform, integrations, admin_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    await platform.warehouse.execute(
        Statement("UPDATE org_integration_credentials SET org_slug = 'globex' WHERE TRUE", platform.scope.dataset)
    )
    with pytest.raises(SecretUnreadable):
        await integrations.reveal(platform.globex, "openai")


async def test_an_older_ciphertext_put_back_does_not_open(platform, integrations, admin_key, other_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    [old] = await platform.rows()
    await integrations.setup(platform.acme, "openai", other_key)
    await platform.warehouse.execute(
        Statement(
            "UPDATE org_integration_credentials SET ciphertext = @old WHERE org_slug = 'Acme'",
            platform.scope.dataset,
            {"old": old["ciphertext"]},
        )
    )
    with pytest.raises(SecretUnreadable):
        await integrations.reveal(platform.acme, "openai")


async def test_delete_removes_the_row_for_good(platform, integrations, admin_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    await integrations.delete(platform.acme, "openai")
    assert await platform.rows() == []
    assert (await integrations.show(platform.acme, "openai")).status == "NOT_CONFIGURED"


async def test_no_log_line_shows_the_key(platform, simulator, admin_key, caplog, capsys):
    integrations = platform.integrations()
    with caplog.at_level(logging.DEBUG):
        await integrations.setup(platform.acme, "openai", admin_key)
        simulator.accounts.pop(("openai", admin_key))
        await integrations.validate(platform.acme, "openai")
    printed = capsys.readouterr()
    assert admin_key not in caplog.text + printed.out + printed.err
