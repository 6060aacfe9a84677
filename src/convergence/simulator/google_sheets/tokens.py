"""Service accounts: their keys, and the tokens that a signed request of theirs is exchanged for."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from convergence.simulator.account import Account
from convergence.simulator.chance import identifier
from convergence.simulator.google_sheets.refusals import no_grant
from convergence.simulator.google_sheets.world import GoogleSheetsWorld
from convergence.simulator.simulator import Simulator

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
_AUDIENCE = "https://oauth2.googleapis.com/token"
_LONGEST_SECONDS = 3_600


def build_key(world: GoogleSheetsWorld) -> str:
    """The JSON key of the world's service account, as the Console lets one download it."""
    private = _private_key(world.seed).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "simulated",
            "private_key_id": identifier("", world.seed, "private key"),
            "private_key": private.decode(),
            "client_email": world.client_email,
            "client_id": "1",
            "token_uri": _AUDIENCE,
        }
    )


def exchange(simulator: Simulator, grant: str, assertion: str) -> str:
    """An access token for a request that a service account has signed.

    Raises:
        Refusal: of no service account here, not signed by it, or for something else.
    """
    claims, signed, signature = _parse(assertion)
    account = _find(simulator, claims)
    try:
        _private_key(account.world.seed).public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise no_grant("Invalid JWT Signature.") from None
    if grant != GRANT or claims.get("aud") != _AUDIENCE or not 0 < _lifetime(claims) <= _LONGEST_SECONDS:
        raise no_grant("Invalid JWT: Token must be a short-lived token (60 minutes).")
    if SCOPE not in str(claims.get("scope")).split():
        raise no_grant("Invalid OAuth scope or ID token audience provided.")
    return token_of(account)


def token_of(account: Account[Any]) -> str:
    return f"ya29.{identifier('', account.world.client_email, 'token')}"


def _find(simulator: Simulator, claims: dict[str, Any]) -> Account[GoogleSheetsWorld]:
    for account in simulator.accounts.values():
        if account.provider == "google_sheets" and account.world.client_email == claims.get("iss"):
            return account
    raise no_grant("Invalid grant: account not found")


def _parse(assertion: str) -> tuple[dict[str, Any], bytes, bytes]:
    try:
        head, body, signature = assertion.split(".")
        claims = json.loads(_decode(body))
        return claims, f"{head}.{body}".encode(), _decode(signature)
    except ValueError:
        raise no_grant("Bad Request") from None


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _lifetime(claims: dict[str, Any]) -> int:
    return int(claims.get("exp", 0)) - int(claims.get("iat", 0))


@lru_cache(maxsize=8)
def _private_key(seed: int) -> rsa.RSAPrivateKey:
    """One a seed and process."""
    del seed
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
