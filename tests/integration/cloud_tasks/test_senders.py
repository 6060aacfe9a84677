"""Only Cloud Tasks, with a token of its service account for this service, may deliver."""

from __future__ import annotations

import time

import pytest
from google_fakes.identity import FakeIssuer

from convergence.errors import TransientError, Unauthenticated
from convergence.security.identity import GoogleIdentity

AUDIENCE = "https://worker.example"
ACCOUNT = "tasks@fake.iam.gserviceaccount.com"


@pytest.fixture
def identity(issuer) -> GoogleIdentity:
    return GoogleIdentity(service_account=ACCOUNT, audience=AUDIENCE, certificates_url=issuer.certificates_url)


async def is_let_in(identity: GoogleIdentity, token: str) -> bool:
    try:
        await identity.check(token)
    except Unauthenticated:
        return False
    return True


async def test_the_service_account_is_let_in(identity, issuer) -> None:
    assert await is_let_in(identity, issuer.sign(AUDIENCE, ACCOUNT))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example"},
        {"aud": None},
        {"email": "someone@fake.iam.gserviceaccount.com"},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"iss": "https://issuer.example"},
        {"iss": None},
        {"exp": 1_000_003_600, "iat": 1_000_000_000},
        {"exp": None},
        {"iat": 4_000_000_000},
    ],
    ids=str,
)
async def test_another_claim_is_refused(identity, issuer, claims) -> None:
    assert not await is_let_in(identity, issuer.sign(AUDIENCE, ACCOUNT, **claims))


async def test_another_key_is_refused_under_whatever_name(identity) -> None:
    tokens = [FakeIssuer(name).sign(AUDIENCE, ACCOUNT) for name in ("key-1", "key-2")]

    assert [await is_let_in(identity, token) for token in tokens] == [False, False]


async def test_a_changed_token_is_refused(identity, issuer) -> None:
    head, body, signature = issuer.sign(AUDIENCE, ACCOUNT).split(".")
    other = issuer.sign(AUDIENCE, "x@fake.iam.gserviceaccount.com").split(".")
    unsigned = "eyJhbGciOiJub25lIiwia2lkIjoia2V5LTEifQ"
    forged = [
        f"{head}.{other[1]}.{signature}",
        f"{head}.{body}.",
        f"{unsigned}.{body}.",
        f"{unsigned}.{body}.{signature}",
        f"{head}.{body}",
        "",
        "..",
        "é.é.é",
        "a" * 100_000,
        "W" * 8000 + "..",
        "W1tb" * 1900 + ".e30.e30",
    ]

    assert [await is_let_in(identity, token) for token in forged] == [False] * len(forged)


async def test_certificates_are_fetched_once_and_not_for_every_stranger(identity, issuer) -> None:
    before = issuer.fetches
    for name in ("key-1", "key-8", "key-9"):
        await is_let_in(identity, FakeIssuer(name).sign(AUDIENCE, ACCOUNT))
        await is_let_in(identity, issuer.sign(AUDIENCE, ACCOUNT))

    assert issuer.fetches - before == 1


async def test_without_certificates_nobody_is_judged(issuer) -> None:
    identity = GoogleIdentity(service_account=ACCOUNT, audience=AUDIENCE, certificates_url="http://127.0.0.1:9/certs")

    with pytest.raises(TransientError) as caught:
        await identity.check(issuer.sign(AUDIENCE, ACCOUNT))
    assert caught.value.code == "certificates_missing"


async def test_the_refusal_says_nothing_of_the_token(identity, issuer) -> None:
    token = issuer.sign("https://other.example", ACCOUNT)

    with pytest.raises(Unauthenticated) as caught:
        await identity.check(token)
    assert "other.example" not in f"{caught.value} {caught.value.hint}"
    assert token.split(".")[1] not in f"{caught.value} {caught.value.hint}"


async def test_strangers_are_refused_over_http_before_the_body_is_read(builder) -> None:
    async with builder.open() as site:
        strangers = {
            "anonymous": None,
            "garbage": "x",
            "expired": site.sign(exp=int(time.time()) - 60),
            "another audience": site.issuer.sign("https://other.example", "tasks@fake.iam.gserviceaccount.com"),
            "another account": site.sign(email="x@fake.iam.gserviceaccount.com"),
            "another issuer": FakeIssuer().sign(site.url, "tasks@fake.iam.gserviceaccount.com"),
        }
        found = {
            name: {(await site.post(kind, token, content=b"{")).status_code for kind in ("run", "sweep", "tick")}
            for name, token in strangers.items()
        }
        known = await site.post("run", site.sign(), json={"org_slug": "acme", "unheard_of": 1})

    assert found == {name: {401} for name in strangers}
    assert known.status_code == 422
