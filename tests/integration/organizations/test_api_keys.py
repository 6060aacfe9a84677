from datetime import timedelta

import pytest

from convergence.errors import Denied, InvalidRequest, NotFound, Unauthenticated
from convergence.organizations import SCOPES, OnboardingRequest, Organizations, Principal

ACME = OnboardingRequest("Acme", "Acme Inc.", "ann@acme.example")
GLOBEX = OnboardingRequest("globex", "Globex", "hank@globex.example")


class CountingWarehouse:
    """The real warehouse, counting what is asked of it."""

    def __init__(self, warehouse) -> None:
        self._warehouse = warehouse
        self.queries = 0

    def __getattr__(self, name):
        return getattr(self._warehouse, name)

    async def query(self, *arguments, **options):
        self.queries += 1
        return await self._warehouse.query(*arguments, **options)

    async def tables(self, dataset):
        self.queries += 1
        return await self._warehouse.tables(dataset)


async def _refusal(organizations: Organizations, api_key: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await organizations.authenticate(api_key)
    return f"{caught.value} {caught.value.hint}"


async def test_a_warm_key_costs_no_warehouse_call(platform, organizations):
    onboarded = await organizations.onboard(ACME)
    counting = CountingWarehouse(platform.warehouse)
    warm = Organizations(counting, platform.scope, platform.security, platform.state, platform.catalog, platform.clock)
    await warm.authenticate(onboarded.api_key)
    cold_queries = counting.queries
    for _ in range(100):
        await warm.authenticate(onboarded.api_key)
    assert cold_queries > 0
    assert counting.queries == cold_queries


async def test_a_key_made_up_again_and_again_is_looked_up_once(platform, organizations):
    await organizations.onboard(ACME)
    made_up = platform.security.api_keys.mint("Acme").api_key
    counting = CountingWarehouse(platform.warehouse)
    service = Organizations(
        counting, platform.scope, platform.security, platform.state, platform.catalog, platform.clock
    )
    await _refusal(service, made_up)
    looked_up = counting.queries
    for _ in range(20):
        await _refusal(service, made_up)
    assert counting.queries == looked_up


async def test_every_cause_has_the_same_text(platform, organizations):
    onboarded = await organizations.onboard(ACME)
    org = platform.scope.org("Acme")
    revoked = await organizations.create_api_key(org, "revoked")
    await organizations.revoke_api_key(org, revoked.api_key_id)
    expired = await organizations.create_api_key(org, "expired", None, platform.clock.now() + timedelta(hours=1))
    platform.clock.advance(timedelta(hours=1))
    bad = [
        "",
        "x" * 10_000,
        "schlüssel",
        onboarded.api_key[:-1] + ("a" if onboarded.api_key[-1] != "a" else "b"),
        platform.security.api_keys.mint("Acme").api_key,
        platform.security.api_keys.mint("nobody").api_key,
        revoked.api_key,
        expired.api_key,
    ]
    assert len({await _refusal(organizations, key) for key in bad}) == 1


async def test_before_bootstrap_no_key_is_good(platform):
    await _refusal(platform.organizations(), platform.security.api_keys.mint("Acme").api_key)


async def test_revoking_is_seen_at_once_by_every_process(platform, organizations):
    onboarded = await organizations.onboard(ACME)
    elsewhere = platform.organizations()
    await organizations.authenticate(onboarded.api_key)
    await elsewhere.authenticate(onboarded.api_key)
    revoked = await organizations.revoke_api_key(platform.scope.org("Acme"), onboarded.api_key_id)
    await _refusal(organizations, onboarded.api_key)
    await _refusal(elsewhere, onboarded.api_key)
    assert revoked.revoked_at == platform.clock.now()


async def test_revoking_one_key_leaves_the_others(platform, organizations):
    onboarded = await organizations.onboard(ACME)
    other = await organizations.create_api_key(platform.scope.org("Acme"), "other")
    await organizations.revoke_api_key(platform.scope.org("Acme"), other.api_key_id)
    assert (await organizations.authenticate(onboarded.api_key)).api_key_id == onboarded.api_key_id


async def test_a_warm_key_expires_on_time(platform, organizations):
    await organizations.onboard(ACME)
    org = platform.scope.org("Acme")
    key = await organizations.create_api_key(org, "short", None, platform.clock.now() + timedelta(seconds=10))
    await organizations.authenticate(key.api_key)
    platform.clock.advance(timedelta(seconds=10))
    await _refusal(organizations, key.api_key)


async def test_another_organizations_key_cannot_be_revoked(platform, organizations):
    acme = await organizations.onboard(ACME)
    await organizations.onboard(GLOBEX)
    with pytest.raises(NotFound):
        await organizations.revoke_api_key(platform.scope.org("globex"), acme.api_key_id)
    assert (await organizations.authenticate(acme.api_key)).org.org_slug == "Acme"


async def test_keys_are_listed_for_their_own_organization_only(platform, organizations):
    acme = await organizations.onboard(ACME)
    globex = await organizations.onboard(GLOBEX)
    listed = await organizations.api_keys(platform.scope.org("globex"))
    assert [key.api_key_id for key in listed] == [globex.api_key_id]
    assert acme.api_key not in repr(listed)
    assert globex.api_key not in repr(listed)


async def test_a_listed_key_shows_what_was_asked_for(platform, organizations):
    await organizations.onboard(ACME)
    org = platform.scope.org("Acme")
    expires_at = platform.clock.now() + timedelta(days=30)
    made = await organizations.create_api_key(org, " dashboard ", ["costs:read", "query:read"], expires_at)
    listed = {key.api_key_id: key for key in await organizations.api_keys(org)}[made.api_key_id]
    assert (listed.name, listed.scopes) == ("dashboard", {"costs:read", "query:read"})
    assert (listed.expires_at, listed.revoked_at, listed.created_by) == (expires_at, None, "root")
    assert made.api_key.startswith(listed.fingerprint.rstrip("…"))


async def test_a_key_carries_its_scopes(platform, organizations):
    await organizations.onboard(ACME)
    made = await organizations.create_api_key(platform.scope.org("Acme"), "reader", ["costs:read"])
    assert (await organizations.authenticate(made.api_key)).scopes == {"costs:read"}


async def test_a_key_cannot_make_a_stronger_one(platform, organizations):
    await organizations.onboard(ACME)
    org = platform.scope.org("Acme")
    weak = Principal(org, "id", frozenset({"keys:write", "costs:read"}), "fingerprint")
    with pytest.raises(Denied, match="integrations:write"):
        await organizations.create_api_key(org, "strong", ["integrations:write"], created_by=weak)
    inherited = await organizations.create_api_key(org, "same", created_by=weak)
    assert inherited.scopes == weak.scopes


async def test_every_fault_of_a_new_key_is_named(platform, organizations):
    await organizations.onboard(ACME)
    with pytest.raises(InvalidRequest) as caught:
        await organizations.create_api_key(
            platform.scope.org("Acme"), " ", ["everything"], platform.clock.now() - timedelta(days=1)
        )
    assert len(caught.value.fields["faults"]) == 3
    assert all(scope in str(caught.value) for scope in SCOPES)
