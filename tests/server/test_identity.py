"""Callers at a real gateway: keys with terms, signed tokens, proxies that vouch; what is told of them, and
what they are told.
"""

import dataclasses
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.health import KeyUse
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.stream import Nack
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.contract.tenant import JwtSubject, KeyTerm, Limit, ProxySubject, Tenant
from gateway_runtime.identity.rejection import Reason, Rejection
from gateway_runtime.providers.operations import MESSAGES
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.refusal import refuse_caller
from gateway_runtime.server.settings import GatewaySettings
from tests.identity.rig import AUDIENCE, EC, OTHER_RSA, RSA, compact, jwk, jwks, sign
from tests.identity.rig import claims as build_claims
from tests.media.rig import Site, saying
from tests.media.rig import serving as serving_site
from tests.server.certificates import Authority
from tests.server.ledgers import read_rows, with_ledger
from tests.server.rig import CHAT, KEY, SALT, Rig, provider, serving, settings, table, tenant
from tests.server.test_errors import pin
from tests.server.test_express import EXPRESS, ORDINARY, Ways, calling, warm
from tests.server.test_express import ways as ways  # a fixture

TEAM = TenantId("chat/team")
KEY_ID = hash_key(KEY, SALT)[:12]
ISSUER = "https://login.example.com"
MESH = ProxySubject(
    name="mesh", addresses=("127.0.0.0/8",), header="x-team", value="blue", user_header="x-user"
)
VOUCHED = b"x-team: blue\r\nx-user: ada\r\n"
UNUSUAL = b"te: trailers\r\n"
"""A head with it is left to aiohttp."""
TRUSTING = dataclasses.replace(settings(), allow_private_issuers=True)
"""The tests' issuers live on this machine."""


@pytest.fixture
async def issuer() -> AsyncIterator[Site]:
    async with serving_site() as site:
        site.pages["/keys"] = saying(body=jwks(jwk(RSA, "k1"), jwk(EC, "k2")))
        yield site


def people(issuer: Site, **members: Any) -> JwtSubject:
    return JwtSubject(
        name="people", issuer=ISSUER, audiences=(AUDIENCE,), jwks_url=f"{issuer.url}/keys", **members
    )


def serve(fake: FakeProvider, **members: Any) -> RoutingTable:
    """With one tenant, which has the usual key besides."""
    return table(provider(fake.url), tenants=[msgspec.structs.replace(tenant(), **members)])


def say(**members: object) -> dict[str, object]:
    """A token's claims, by this machine's clock."""
    now_s = int(time.time())
    return build_claims(iss=ISSUER, iat=now_s, exp=now_s + 600) | members


def with_term(*, begin_s: float | None = None, end_s: float | None = None) -> Tenant:
    term = KeyTerm(key=hash_key(KEY, SALT), not_before_unix_s=begin_s, not_after_unix_s=end_s)
    return msgspec.structs.replace(tenant(), key_terms=(term,))


# -- API keys


async def test_a_key_within_its_term_is_served_at_once(ways: Ways, fake: FakeProvider) -> None:
    now_s = time.time()
    first = table(provider(fake.url), tenants=[with_term(begin_s=now_s - 60, end_s=now_s + 60)])
    async with warm(first, ways) as (_, caller):
        answer = await caller.ask()

    assert answer.status == 200
    assert ways == EXPRESS


@pytest.mark.parametrize("lines", [b"", UNUSUAL], ids=["ordinary", "through-aiohttp"])
async def test_a_key_past_its_end_is_told_when_it_ended(fake: FakeProvider, lines: bytes) -> None:
    first = table(provider(fake.url), tenants=[with_term(end_s=1_700_000_000.5)])
    async with serving(first) as rig, calling(rig) as caller:
        answer = await caller.ask(lines=lines)

    pin(
        answer,
        ErrorCode.KEY_OUT_OF_TERM,
        "This API key ended at 2023-11-14T22:13:20Z. Ask whoever gave it to you for a new one.",
    )
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_before_its_beginning_is_told_when_it_begins(fake: FakeProvider) -> None:
    first = table(provider(fake.url), tenants=[with_term(begin_s=4_000_000_000)])
    async with serving(first) as rig:
        answer = await rig.ask()

    pin(answer, ErrorCode.KEY_OUT_OF_TERM, "This API key does not hold before 2096-10-02T07:06:40Z.")


async def test_the_id_of_a_key_from_the_ledger_opens_nothing(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        stolen = await rig.ask(key=KEY_ID)
        whole = await rig.ask(key=hash_key(KEY, SALT))

    assert [stolen.error["headgate"], whole.error["headgate"]] == ["HG1002", "HG1002"]


# -- tokens


async def test_a_token_is_verified_once_and_then_served_at_once(
    ways: Ways, fake: FakeProvider, issuer: Site
) -> None:
    token = sign(say()).encode()
    async with warm(serve(fake, jwts=(people(issuer),)), ways, TRUSTING) as (_, caller):
        first = await caller.ask(key=token)
        taken = dataclasses.replace(ways)
        ways.forget()
        second = await caller.ask(key=token)

    assert (first.status, second.status) == (200, 200)
    assert (taken, ways) == (ORDINARY, EXPRESS)
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
async def test_a_token_may_come_wherever_a_key_may(fake: FakeProvider, issuer: Site, header: str) -> None:
    token = sign(say(), EC, "ES256", "k2")
    sent = {header: f"Bearer {token}" if header == "authorization" else token}
    async with serving(serve(fake, jwts=(people(issuer),)), TRUSTING) as rig:
        answers = [
            await rig.ask(method=method, path=path, key=None, headers=sent)
            for method, path in (
                ("POST", "/v1/chat/completions"),
                ("GET", "/v1/models"),
                ("GET", "/v1/limits"),
            )
        ]

    assert [answer.status for answer in answers] == [200, 200, 200]


async def test_a_subject_that_leaves_the_table_takes_its_tokens_along(
    ways: Ways, fake: FakeProvider, issuer: Site
) -> None:
    token = sign(say()).encode()
    async with warm(serve(fake, jwts=(people(issuer),)), ways, TRUSTING) as (rig, caller):
        before = await caller.ask(key=token)
        await rig.apply(serve(fake, jwts=(people(issuer, claims=(("team", ("blue",)),)),)))
        after = await caller.ask(key=token)

    assert (before.status, after.status) == (200, 401)


NOT_ACCEPTED = "This token is not accepted. "
REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "unsigned": (
        lambda: compact({"alg": "none"}, say(team="blue")),
        "It is not signed (its algorithm is `none`), so anybody could have made it.",
    ),
    "hmac": (
        lambda: compact({"alg": "HS256", "kid": "k1"}, say(team="blue"), b"x" * 32),
        "Its algorithm is not accepted. Those that are: RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
        "ES384, ES512 and EdDSA.",
    ),
    "garbage": (
        lambda: compact({"alg": "RS256"}, {"sub": "ada"}, b"x" * 256),
        "It cannot be read. Check that it was copied whole; if so, its issuer makes tokens that are not "
        "understood here.",
    ),
    "issuer": (
        lambda: sign(say(iss="https://other.example.com")),
        "Its issuer is not known here. Get one from an issuer that this gateway trusts.",
    ),
    "signer": (
        lambda: sign(say(team="blue"), kid="k9"),
        "It names a key that its issuer does not publish. Get a new one.",
    ),
    "signature": (lambda: sign(say(team="blue"), OTHER_RSA), "Its signature is not that of its issuer."),
    "endless": (
        lambda: sign({**say(team="blue"), "exp": None}),
        "It has no claim `exp`, and tokens without an end are not accepted.",
    ),
    "expired": (lambda: sign(say(team="blue", exp=1_700_000_000)), "It has expired. Get a new one."),
    "early": (
        lambda: sign(say(team="blue", nbf=int(time.time()) + 300)),
        "It does not hold yet. Wait, or check the clock of its issuer.",
    ),
    "audience": (
        lambda: sign(say(team="blue", aud="other")),
        "It is meant for another audience. Ask its issuer for one with this gateway's.",
    ),
    "tenant": (
        lambda: sign(say(team="green")),
        "It is good, but its claims belong to no tenant of this gateway. Ask whoever writes the quotas which "
        "claims they want.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_token_that_does_not_do_is_told_which_check_failed(
    fake: FakeProvider, issuer: Site, case: str
) -> None:
    make, sentence = REFUSED[case]
    blue = people(issuer, claims=(("team", ("blue",)),))
    async with serving(serve(fake, jwts=(blue,)), TRUSTING) as rig:
        answer = await rig.ask(key=make())

    pin(answer, ErrorCode.INVALID_TOKEN, NOT_ACCEPTED + sentence)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_it_is_told_in_the_callers_dialect(fake: FakeProvider, issuer: Site) -> None:
    token = compact({"alg": "none"}, say())
    async with serving(serve(fake, jwts=(people(issuer),)), TRUSTING) as rig:
        answer = await rig.ask(path=MESSAGES.path, key=None, headers={"x-api-key": token})

    assert answer.status == 401
    assert answer.error["type"] == "authentication_error"
    assert answer.error["message"].startswith(NOT_ACCEPTED)


async def test_a_token_that_is_longer_than_a_line_may_be_is_refused_as_too_long(
    fake: FakeProvider, issuer: Site
) -> None:
    async with serving(serve(fake, jwts=(people(issuer),)), TRUSTING) as rig:
        answer = await rig.ask(key=sign(say(pad="x" * 13_000)))

    assert answer.status == 431
    assert answer.error["headgate"] == "HG1020"


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_every_reason_has_its_words(reason: Reason) -> None:
    error = refuse_caller(Rejection(reason))

    assert error.code.status == (503 if reason is Reason.NO_KEYS else 401)
    assert error.message.endswith(".")


async def test_without_its_issuers_keys_a_token_may_be_tried_again(fake: FakeProvider, issuer: Site) -> None:
    issuer.pages["/keys"] = saying(status=500)
    token = sign(say())
    async with serving(serve(fake, jwts=(people(issuer),)), TRUSTING) as rig:
        with capture_logs() as logs:
            answer = await rig.ask(key=token)

    pin(
        answer,
        ErrorCode.ISSUER_UNAVAILABLE,
        "This token cannot be verified now: its issuer's keys could not be fetched. Try again in a few "
        "seconds; if it stays so, the gateway's log says why.",
    )
    assert answer.headers["retry-after"] == "2"
    assert token not in str(logs)


async def test_an_issuer_at_a_private_address_is_not_asked_unless_it_may_be(
    fake: FakeProvider, issuer: Site
) -> None:
    with capture_logs() as logs:
        async with serving(serve(fake, jwts=(people(issuer),))) as rig:
            answer = await rig.ask(key=sign(say()))

    assert answer.error["headgate"] == "HG1035"
    assert issuer.asked == []
    assert {line["reason"] for line in logs if line["event"] == "issuer's keys not got"} == {
        "its host is not on the public internet"
    }


async def test_a_token_shows_itself_in_no_log(fake: FakeProvider, issuer: Site) -> None:
    good, bad = sign(say(sub="planted-s3cr3t")), sign(say(sub="planted-s3cr3t"), OTHER_RSA)
    chosen = dataclasses.replace(TRUSTING, access_log=True)
    with capture_logs() as logs:
        async with serving(serve(fake, jwts=(people(issuer),)), chosen) as rig:
            answers = [await rig.ask(key=good), await rig.ask(key=bad)]

    assert [answer.status for answer in answers] == [200, 401]
    assert [line["status"] for line in logs if line["event"] == "request"] == [200, 401]
    for token in (good, bad):
        assert token not in str(logs)
        assert token.rpartition(".")[2] not in str(logs)
    assert "planted" not in str(logs)


# -- proxies


@pytest.mark.parametrize("whole", [True, False], ids=["at-once", "in-a-task"])
async def test_whom_a_proxy_vouches_for_needs_no_key(ways: Ways, fake: FakeProvider, whole: bool) -> None:
    async with warm(serve(fake, proxies=(MESH,)), ways) as (_, caller):
        ask = caller.ask if whole else caller.ask_in_pieces
        answer = await ask(key=b"", lines=VOUCHED)

    assert answer.status == 200
    assert ways == (EXPRESS if whole else ORDINARY)


async def test_each_request_on_a_connection_is_judged_by_its_own_headers(fake: FakeProvider) -> None:
    async with serving(serve(fake, proxies=(MESH,))) as rig, calling(rig) as caller:
        answers = [
            await caller.ask(key=b"", lines=VOUCHED),
            await caller.ask(key=b""),
            await caller.ask(key=b"", lines=b"x-team: green\r\n"),
            await caller.ask(key=b"", lines=b"X-TEAM:blue \r\n"),
            await caller.ask(),
        ]

    assert [answer.status for answer in answers] == [200, 401, 401, 200, 200]


@pytest.mark.parametrize(
    "lines",
    [
        VOUCHED,
        VOUCHED + b"x-forwarded-for: 10.0.0.1\r\n",
        VOUCHED + b"forwarded: for=10.0.0.1\r\nx-real-ip: 10.0.0.1\r\n",
    ],
    ids=["bare", "x-forwarded-for", "forwarded"],
)
async def test_headers_from_elsewhere_are_as_if_they_had_not_been_sent(
    fake: FakeProvider, lines: bytes
) -> None:
    far = msgspec.structs.replace(MESH, addresses=("10.0.0.0/8", "::/0"))
    async with serving(serve(fake, proxies=(far,))) as rig, calling(rig) as caller:
        answer = await caller.ask(key=b"", lines=lines)

    pin(
        answer,
        ErrorCode.MISSING_KEY,
        "No API key was sent. Send yours in the header `Authorization: Bearer <key>`.",
    )


@pytest.mark.parametrize("lines", [b"", UNUSUAL], ids=["ordinary", "through-aiohttp"])
async def test_a_header_that_comes_twice_is_not_believed(fake: FakeProvider, lines: bytes) -> None:
    """The caller's own, which a proxy has added to instead of overwriting it."""
    async with serving(serve(fake, proxies=(MESH,))) as rig, calling(rig) as caller:
        once = await caller.ask(key=b"", lines=b"x-team: blue\r\n" + lines)
        twice = await caller.ask(key=b"", lines=b"x-team: blue\r\nx-team: blue\r\n" + lines)

    assert once.status == 200
    assert twice.error["headgate"] == "HG1001"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt", "/v1/limits"])
async def test_a_proxys_word_counts_on_every_path(fake: FakeProvider, path: str) -> None:
    async with serving(serve(fake, proxies=(MESH,))) as rig:
        vouched = await rig.ask(method="GET", path=path, key=None, headers={"x-team": "blue"})
        bare = await rig.ask(method="GET", path=path, key=None)

    assert vouched.status == 200
    assert bare.status == 401


async def test_a_proxys_key_wins_over_its_headers(fake: FakeProvider) -> None:
    async with serving(serve(fake, proxies=(MESH,))) as rig:
        wrong = await rig.ask(key="wrong", headers={"x-team": "blue"})
        basic = await rig.ask(
            key=None,
            headers={"x-team": "blue", "authorization": f"Basic {b64encode(b'a:b').decode()}"},
        )

    assert wrong.error["headgate"] == "HG1002"
    assert basic.status == 200


async def test_on_a_port_that_demands_certificates_only_their_holders_can_be_a_proxy(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority, mesh = Authority(tmp_path), Authority(tmp_path, "mesh")
    files = dataclasses.replace(authority.issue(tmp_path / "server", "gateway"), client_authority=mesh.path)
    identity = mesh.issue(tmp_path / "proxy", "proxy")
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(identity.certificate, identity.key)
    chosen = dataclasses.replace(settings(), tls=files)
    async with serving(serve(fake, proxies=(MESH,)), chosen) as rig:
        url = f"https://127.0.0.1:{rig.gateway.port}/v1/chat/completions"
        async with rig.session.post(url, json=CHAT, headers={"x-team": "blue"}, ssl=context) as answer:
            status = answer.status

    assert status == 200


async def test_a_proxys_address_that_is_no_block_is_a_fault_of_the_table(fake: FakeProvider) -> None:
    broken = msgspec.structs.replace(MESH, addresses=("10.0.0.0/8", "10.0.0.0/33"))
    async with serving(serve(fake)) as rig:
        refused = await rig.gateway.apply_table(serve(fake, proxies=(broken,)))

    assert isinstance(refused, Nack)
    assert [fault.message for fault in refused.faults] == [
        'the address "10.0.0.0/33" of proxy mesh is no CIDR block: '
        "'10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"
    ]


# -- what is told of them


async def keep(
    tmp_path: Path, first: RoutingTable, *asked: tuple[Mapping[str, object], str | None, dict[str, str]]
) -> list[tuple[str | None, str | None, str | None]]:
    """asked: body, key and headers of each request, each made on both ways. Gives user, key id and tags of
    their rows.
    """
    chosen: GatewaySettings = dataclasses.replace(
        with_ledger(tmp_path / "usage.db"), allow_private_issuers=True
    )
    async with serving(first, chosen) as rig:
        for body, key, headers in asked:
            for _ in range(3):  # in a task, to verify it; to connect; at once
                answer = await rig.ask(dict(body), key=key, headers=headers)
                assert answer.status == 200
    rows = [(row.user, row.key_id, row.tags) for row in read_rows(tmp_path / "usage.db")]
    assert rows == [row for row in rows[::3] for _ in range(3)]
    return rows[::3]


async def test_the_ledger_has_whom_a_token_names_and_not_whom_the_body_does(
    tmp_path: Path, fake: FakeProvider, issuer: Site
) -> None:
    subject = people(issuer, user_claim="email", tag_claims=("team", "groups"))
    named = sign(say(email="ada@example.com", team="blue", groups=["b", "a"]))
    unnamed = sign(say())
    rows = await keep(
        tmp_path,
        serve(fake, jwts=(subject,)),
        ({**CHAT, "user": "eve"}, named, {}),
        ({**CHAT, "user": "eve"}, unnamed, {}),
        ({**CHAT, "user": "eve"}, KEY, {}),
        (CHAT, KEY, {}),
    )

    assert rows == [
        ("ada@example.com", "people", '{"groups":"b,a","team":"blue"}'),
        ("eve", "people", None),
        ("eve", KEY_ID, None),
        (None, KEY_ID, None),
    ]


async def test_the_ledger_has_whom_a_proxy_names(tmp_path: Path, fake: FakeProvider) -> None:
    rows = await keep(
        tmp_path,
        serve(fake, proxies=(MESH,)),
        ({**CHAT, "user": "eve"}, None, {"x-team": "blue", "x-user": "ada"}),
        ({**CHAT, "user": "eve"}, None, {"x-team": "blue"}),
    )

    assert rows == [("ada", "mesh", None), ("eve", "mesh", None)]


async def test_limits_for_each_user_go_by_whom_a_token_names(fake: FakeProvider, issuer: Site) -> None:
    limits = (Limit(name="each", amount=2, window_s=60, scope="PerUser"),)
    ada, bob = sign(say(sub="ada")), sign(say(sub="bob"))
    async with serving(serve(fake, jwts=(people(issuer),), limits=limits), TRUSTING) as rig:
        asked = [(ada, "x"), (ada, "y"), (ada, "z"), (bob, "x"), (bob, "y"), (bob, "z")]
        answers = [await rig.ask({**CHAT, "user": user}, key=token) for token, user in asked]

    assert [answer.status for answer in answers] == [200, 200, 429, 200, 200, 429]


async def test_the_last_use_of_each_key_is_known_and_of_no_other(fake: FakeProvider, issuer: Site) -> None:
    began_s = time.time()
    first = serve(fake, jwts=(people(issuer),), proxies=(MESH,))
    async with serving(first, TRUSTING) as rig:
        await use_all(rig)
        used = rig.gateway._state.key_uses.of(TEAM)
        ended_s = time.time()

    assert [use.key_id for use in used] == sorted([KEY_ID, "mesh", "people"])
    assert all(isinstance(use, KeyUse) and began_s <= use.last_unix_s <= ended_s for use in used)


async def use_all(rig: Rig) -> None:
    for key, headers in (
        (KEY, {}),
        (sign(say()), {}),
        (None, {"x-team": "blue"}),
        ("wrong", {}),
        (sign(say(), OTHER_RSA), {}),
        (None, {}),
    ):
        await rig.ask(key=key, headers=headers)
