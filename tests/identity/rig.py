"""Issuers with keys of their own, tokens that they sign, and an Authenticator with a clock that is turned."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.contract.tenant import JwtSubject, Tenant
from gateway_runtime.engine.identity import Identity
from gateway_runtime.engine.lookup import LiveTable, build_live_table
from gateway_runtime.identity import Authenticator, Document, Reason, Rejection, Unfetched
from tests.contract.tables import build_table, build_tenant
from tests.tokens.rig import UNIX_S, TurnedClock

ISSUER = "https://login.example.com"
KEYS_URL = "https://login.example.com/keys"
AUDIENCE = "headgate"
SALT = Secret("salt")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: PrivateKey = RSA, kid: str | None = "k1", **members: object) -> dict[str, object]:
    """The public half."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        built = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        built = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        built = OKPAlgorithm.to_jwk(public, as_dict=True)
    built = {name: value for name, value in built.items() if name not in ("key_ops", "use", "kid")}
    return {**built, **({} if kid is None else {"kid": kid}), **members}


def jwks(*keys: Mapping[str, object]) -> bytes:
    return json.dumps({"keys": keys or [jwk()]}).encode()


def claims(**members: object) -> dict[str, object]:
    """None takes one out."""
    whole: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "iat": UNIX_S,
        "exp": UNIX_S + 3600,
        **members,
    }
    return {name: value for name, value in whole.items() if value is not None}


def sign(
    said: Mapping[str, object] | None = None,
    key: PrivateKey = RSA,
    algorithm: str = "RS256",
    kid: str | None = "k1",
    **header: object,
) -> str:
    headers = {**header, **({} if kid is None else {"kid": kid})}
    return jwt.encode(dict(claims() if said is None else said), key, algorithm, headers)


def compact(header: object, payload: object, signature: bytes = b"") -> str:
    """Whatever it is."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def subject(
    name: str = "people",
    *,
    issuer: str = ISSUER,
    audiences: Sequence[str] = (AUDIENCE,),
    jwks_url: str | None = KEYS_URL,
    wanted: Mapping[str, Sequence[str]] | None = None,
    user_claim: str = "sub",
    tag_claims: Sequence[str] = (),
) -> JwtSubject:
    return JwtSubject(
        name=name,
        issuer=issuer,
        audiences=tuple(audiences),
        jwks_url=jwks_url,
        claims=tuple((claim, tuple(values)) for claim, values in (wanted or {}).items()),
        user_claim=user_claim,
        tag_claims=tuple(tag_claims),
    )


def tenant(*subjects: JwtSubject, name: str = "team", keys: Sequence[str] = (), **members: Any) -> Tenant:
    """keys: as callers send them."""
    built = build_tenant(*(hash_key(key, SALT) for key in keys), name=name)
    return msgspec.structs.replace(built, jwts=subjects, **members)


def table(*tenants: Tenant, cluster_keys: bytes | None = None) -> RoutingTable:
    built = build_table(tenants=tenants)
    keys = None if cluster_keys is None else cluster_keys.decode()
    return msgspec.structs.replace(
        built, installation=msgspec.structs.replace(built.installation, cluster_keys=keys)
    )


class Running(NamedTuple):
    """See `authenticator.Serving`."""

    live: LiveTable
    hash_key: Callable[[str], KeyHash]


class Issuers:
    """What is behind URLs: a Fetch."""

    def __init__(self) -> None:
        self.pages: dict[str, Document | Exception] = {KEYS_URL: Document(jwks())}
        self.asked: list[str] = []
        self.open = asyncio.Event()
        """Cleared: questions wait."""
        self.open.set()
        self.reached = asyncio.Condition()

    async def fetch(self, url: str, limit_bytes: int, /) -> Document:
        self.asked.append(url)
        async with self.reached:
            self.reached.notify_all()
        await self.open.wait()
        page = self.pages.get(url, Unfetched("its server answered 404"))
        if isinstance(page, Exception):
            raise page
        return page

    async def wait_for(self, count: int) -> None:
        """Questions, answered or not."""
        async with asyncio.timeout(5), self.reached:
            await self.reached.wait_for(lambda: len(self.asked) >= count)


class Nobody:
    """A Peer that shows nothing."""

    address: str | None = None

    def find_header(self, name: str, /) -> str | None:
        return None


class Sender(NamedTuple):
    """A Peer."""

    address: str | None
    headers: Mapping[str, str] = {}

    def find_header(self, name: str, /) -> str | None:
        return self.headers.get(name)


class Rig:
    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.issuers = Issuers()
        self.authenticator = Authenticator(
            self.issuers.fetch,
            self.clock.now,
            self.clock.unix,
            lambda: 0.5,
            call_later=self.clock.call_later,
        )
        self.running = Running(build_live_table(table()), lambda key: hash_key(key, SALT))

    def apply(self, new: RoutingTable) -> None:
        self.running = self.running._replace(live=build_live_table(new))
        self.authenticator.configure(self.running.live)

    def recognize(self, key: str | None, peer: Sender | Nobody | None = None) -> Identity | None:
        return self.authenticator.recognize(self.running, key, peer or Nobody())

    async def identify(self, key: str | None, peer: Sender | Nobody | None = None) -> Identity | Rejection:
        return await self.authenticator.identify(self.running, key, peer or Nobody())

    async def refuse(self, key: str | None) -> Reason:
        found = await self.identify(key)
        assert isinstance(found, Rejection)
        return found.reason

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """With the task that fetches keys ahead of time."""
        task = asyncio.create_task(self.authenticator.key_store.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
