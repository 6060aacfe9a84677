"""Google as an issuer of ID tokens: a key of its own, and its certificate on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from google.auth.crypt import RSASigner

ISSUER = "https://accounts.google.com"


class FakeIssuer:
    """Signs RS256, as Google does. `certificates_url` is there while it is served."""

    def __init__(self, key_id: str = "key-1") -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._signer = RSASigner.from_string(pem.decode(), key_id)
        self.certificates = {key_id: self._certificate()}
        self.certificates_url = ""
        self.fetches = 0

    def sign(self, audience: str, email: str, /, **claims: Any) -> str:
        """A token that is good for an hour; a claim given as None is left out."""
        now = int(time.time())
        all_claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": email,
            "sub": "1234567890",
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
            **claims,
        }
        return jwt.encode(self._signer, {name: it for name, it in all_claims.items() if it is not None}).decode()

    def _certificate(self) -> str:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake-issuer")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()

    @contextmanager
    def serving(self) -> Iterator[FakeIssuer]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                body = json.dumps(issuer.certificates).encode()
                self.send_response(200)
                self.send_header("Cache-Control", "public, max-age=20000, must-revalidate")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self.certificates_url = f"http://127.0.0.1:{server.server_address[1]}/certs"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
