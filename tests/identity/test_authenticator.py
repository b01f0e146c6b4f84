"""Who calls: keys with terms, tokens first seen and seen again, callers behind proxies."""

import asyncio

import msgspec
import pytest

from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.tenant import KeyTerm, ProxySubject, Tenant
from gateway_runtime.engine.identity import Identity, Term
from gateway_runtime.identity import Reason, Rejection
from gateway_runtime.identity.authenticator import DOUBTFUL_S
from gateway_runtime.identity.claims import LEEWAY_S
from gateway_runtime.identity.document import Document, Unfetched
from gateway_runtime.identity.key_store import AWAY_S
from tests.identity.rig import (
    EC,
    ISSUER,
    KEYS_URL,
    OTHER_RSA,
    RSA,
    SALT,
    Rig,
    Sender,
    claims,
    compact,
    jwk,
    jwks,
    sign,
    subject,
    table,
    tenant,
)
from tests.tokens.rig import UNIX_S

KEY = "the-teams-key"
KEY_ID = hash_key(KEY, SALT)[:12]
LONG_KEY = "sk-" + "0123456789abcdef" * 10
OTHER_URL = "https://elsewhere.example.com/keys"


def keyed(key: str = KEY, *, begin_s: float | None = None, end_s: float | None = None) -> Tenant:
    term = KeyTerm(key=hash_key(key, SALT), not_before_unix_s=begin_s, not_after_unix_s=end_s)
    return tenant(keys=[key], key_terms=(term,))


def known_as(found: Identity | Rejection | None) -> tuple[str, str | None, str | None]:
    assert isinstance(found, Identity)
    return found.tenant.id, found.key_id, found.user


async def test_a_key_is_known_at_once(rig: Rig) -> None:
    rig.apply(table(team := tenant(keys=[KEY])))

    assert rig.recognize(KEY) == Identity(team, KEY_ID)
    assert await rig.identify(KEY) == Identity(team, KEY_ID)


async def test_a_key_that_nobody_has_is_unknown(rig: Rig) -> None:
    rig.apply(table(tenant(keys=[KEY])))

    assert rig.recognize("wrong") is None
    assert await rig.refuse("wrong") is Reason.UNKNOWN_KEY
    assert await rig.refuse(None) is Reason.NO_KEY


async def test_the_id_of_a_key_is_no_key(rig: Rig) -> None:
    rig.apply(table(tenant(subject(), keys=[KEY])))

    assert await rig.refuse(KEY_ID) is Reason.UNKNOWN_KEY
    assert await rig.refuse(hash_key(KEY, SALT)) is Reason.UNKNOWN_KEY


async def test_without_a_key_it_is_the_anonymous_tenant_if_there_is_one(rig: Rig) -> None:
    rig.apply(table(public := tenant(anonymous=True)))

    assert rig.recognize(None) == Identity(public)
    assert await rig.refuse("wrong") is Reason.UNKNOWN_KEY


# -- keys with terms


async def test_a_key_holds_from_its_first_moment_until_before_its_last(rig: Rig) -> None:
    rig.apply(table(team := keyed(begin_s=UNIX_S + 10, end_s=UNIX_S + 20)))
    term = Term(UNIX_S + 10, UNIX_S + 20)
    found = []
    for _ in range(4):
        found.append((rig.recognize(KEY), await rig.identify(KEY)))
        rig.clock.turn(9.5)

    held = Identity(team, KEY_ID, term=term)
    assert found == [
        (None, Rejection(Reason.KEY_NOT_YET, UNIX_S + 10)),
        (None, Rejection(Reason.KEY_NOT_YET, UNIX_S + 10)),
        (held, held),
        (None, Rejection(Reason.KEY_ENDED, UNIX_S + 20)),
    ]


async def test_the_bounds_of_a_term_are_exact(rig: Rig) -> None:
    rig.apply(table(keyed(begin_s=UNIX_S)))
    begins = rig.recognize(KEY)
    rig.apply(table(keyed(end_s=UNIX_S)))
    ends = rig.recognize(KEY)

    assert begins is not None
    assert ends is None


async def test_a_long_key_ends_too_where_tokens_are_served(rig: Rig) -> None:
    ending = keyed(LONG_KEY, end_s=UNIX_S + 10)
    rig.apply(table(msgspec.structs.replace(ending, jwts=(subject(),))))
    first, at_once = await rig.identify(LONG_KEY), rig.recognize(LONG_KEY)
    rig.clock.turn(10)

    assert (
        first
        == at_once
        == Identity(
            rig.running.live.table.tenants[0], hash_key(LONG_KEY, SALT)[:12], term=Term(None, UNIX_S + 10)
        )
    )
    assert rig.recognize(LONG_KEY) is None
    assert await rig.identify(LONG_KEY) == Rejection(Reason.KEY_ENDED, UNIX_S + 10)


# -- tokens


async def test_a_token_is_known_once_it_was_verified(rig: Rig) -> None:
    people = subject(user_claim="email", tag_claims=("team", "dept"))
    rig.apply(table(team := tenant(people)))
    token = sign(claims(email="ada@example.com", team="blue", dept=["b", "a"]))
    before = rig.recognize(token)
    verified = await rig.identify(token)

    assert before is None
    assert verified == Identity(
        team,
        "people",
        "ada@example.com",
        (("dept", "b,a"), ("team", "blue")),
        Term(None, UNIX_S + 3600 + LEEWAY_S),
    )
    assert rig.recognize(token) is verified
    assert rig.issuers.asked == [KEYS_URL]


@pytest.mark.parametrize("algorithm", ["PS384", "RS512"])
async def test_any_algorithm_of_the_key_will_do(rig: Rig, algorithm: str) -> None:
    rig.apply(table(tenant(subject())))

    assert known_as(await rig.identify(sign(algorithm=algorithm))) == ("chat/team", "people", "ada")


async def test_a_token_without_a_key_id_is_verified_by_the_only_key(rig: Rig) -> None:
    rig.issuers.pages[KEYS_URL] = Document(jwks(jwk(EC, "ec")))
    rig.apply(table(tenant(subject())))

    assert known_as(await rig.identify(sign(key=EC, algorithm="ES256", kid=None)))[2] == "ada"


async def test_a_token_ends_for_those_who_remember_it_too(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    token = sign()
    await rig.identify(token)
    rig.clock.turn(3600 + LEEWAY_S - 1)
    before = rig.recognize(token)
    rig.clock.turn(1)

    assert before is not None
    assert rig.recognize(token) is None
    assert await rig.refuse(token) is Reason.EXPIRED


async def test_with_another_table_all_tokens_are_looked_at_anew(rig: Rig) -> None:
    rig.apply(table(tenant(subject(), name="a")))
    token = sign()
    first = await rig.identify(token)
    rig.apply(table(tenant(subject(), name="b")))
    at_once = rig.recognize(token)
    second = await rig.identify(token)
    rig.apply(table(tenant()))

    assert at_once is None
    assert [known_as(one)[0] for one in (first, second)] == ["chat/a", "chat/b"]
    assert await rig.refuse(token) is Reason.UNKNOWN_KEY
    assert len(rig.issuers.asked) == 1


async def test_with_other_keys_of_its_issuer_all_tokens_are_looked_at_anew(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    withdrawn, kept = sign(), sign(key=OTHER_RSA, kid="k2")
    rig.issuers.pages[KEYS_URL] = Document(jwks(jwk(), jwk(OTHER_RSA, "k2")))
    await rig.identify(withdrawn)
    await rig.identify(kept)
    rig.issuers.pages[KEYS_URL] = Document(jwks(jwk(OTHER_RSA, "k2")))
    rig.clock.turn(10)
    await rig.identify(sign(kid="k3"))  # makes it ask

    assert rig.recognize(withdrawn) is None
    assert await rig.refuse(withdrawn) is Reason.UNKNOWN_SIGNER
    assert known_as(await rig.identify(kept))[2] == "ada"


async def test_while_a_token_waits_for_keys_a_new_table_may_come(rig: Rig) -> None:
    """It keeps the table it began with, and nothing of that is remembered for the new one."""
    rig.apply(table(tenant(subject(), name="a")))
    rig.issuers.open.clear()
    token = sign()
    waiting = asyncio.create_task(rig.identify(token))
    await rig.issuers.wait_for(1)
    rig.apply(table(tenant(subject(), name="b")))
    rig.issuers.open.set()

    assert known_as(await waiting)[0] == "chat/a"
    assert rig.recognize(token) is None
    assert known_as(await rig.identify(token))[0] == "chat/b"


async def test_a_token_that_is_also_an_api_key_is_that_key(rig: Rig) -> None:
    token = sign()
    rig.apply(table(tenant(subject(), keys=[token])))
    found = await rig.identify(token)

    assert known_as(found) == ("chat/team", hash_key(token, SALT)[:12], None)
    assert rig.recognize(token) == found
    assert rig.issuers.asked == []


async def test_a_new_key_of_an_issuer_is_found_by_the_first_token_that_names_it(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    await rig.identify(sign())
    rig.issuers.pages[KEYS_URL] = Document(jwks(jwk(), jwk(OTHER_RSA, "k2")))
    token = sign(key=OTHER_RSA, kid="k2")
    too_soon = await rig.refuse(token)
    rig.clock.turn(10)

    assert too_soon is Reason.UNKNOWN_SIGNER
    assert known_as(await rig.identify(token))[2] == "ada"


async def test_whoever_makes_key_ids_up_makes_us_ask_once_in_ten_seconds(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    reasons = {await rig.refuse(sign(kid=f"made-up-{i}")) for i in range(20)}
    rig.clock.turn(10)
    reasons |= {await rig.refuse(sign(kid=f"made-up-{i}")) for i in range(20)}

    assert reasons == {Reason.UNKNOWN_SIGNER}
    assert len(rig.issuers.asked) == 2


async def test_service_accounts_are_verified_by_the_keys_in_the_table(rig: Rig) -> None:
    issuer = "https://kubernetes.default.svc"
    account = subject("web", issuer=issuer, jwks_url=None, wanted={"sub": ["system:serviceaccount:chat:web"]})
    rig.apply(table(tenant(account), cluster_keys=jwks(jwk(EC, "c1"))))
    whole = claims(iss=issuer, aud=["headgate"], sub="system:serviceaccount:chat:web")
    token = sign(whole, EC, "ES256", "c1")
    other = sign({**whole, "sub": "system:serviceaccount:chat:api"}, EC, "ES256", "c1")

    assert known_as(await rig.identify(token)) == ("chat/team", "web", "system:serviceaccount:chat:web")
    assert await rig.refuse(other) is Reason.NO_TENANT
    assert rig.issuers.asked == []


async def test_an_issuer_that_is_away_is_no_fault_of_the_caller(rig: Rig) -> None:
    rig.issuers.pages[KEYS_URL] = Unfetched("its server answered 503")
    rig.apply(table(tenant(subject())))
    away = await rig.refuse(sign())
    rig.issuers.pages[KEYS_URL] = Document(jwks())
    rig.clock.turn(1)

    assert away is Reason.NO_KEYS
    assert known_as(await rig.identify(sign()))[2] == "ada"


async def test_when_the_issuer_is_away_for_a_day_nobody_is_believed_any_more(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    token = sign(claims(exp=UNIX_S + 10 * AWAY_S))
    await rig.identify(token)
    rig.issuers.pages[KEYS_URL] = Unfetched("its server answered 503")
    rig.clock.turn(AWAY_S - 1)
    before = rig.recognize(token)
    rig.clock.turn(1)

    assert before is not None
    assert rig.recognize(token) is None
    assert await rig.refuse(token) is Reason.NO_KEYS


async def test_a_quota_with_a_dead_url_delays_nobody_elses_tokens(rig: Rig) -> None:
    """Once it is known to be dead; and what comes behind it is looked at anew each minute."""
    dead, alive = tenant(subject(jwks_url=OTHER_URL), name="a"), tenant(subject(), name="b")
    rig.apply(table(dead, alive))
    await rig.identify(sign())
    asked = len(rig.issuers.asked)
    rig.clock.turn(5)
    rig.issuers.open.clear()
    token = sign(claims(sub="bob"))
    found = await rig.identify(token)
    rig.clock.turn(DOUBTFUL_S)

    assert known_as(found) == ("chat/b", "people", "bob")
    assert len(rig.issuers.asked) == asked
    assert rig.recognize(token) is None


async def test_keys_of_another_url_are_no_keys_of_the_issuer(rig: Rig) -> None:
    victim, forger = tenant(subject(), name="a"), tenant(subject(jwks_url=OTHER_URL), name="b")
    rig.issuers.pages[OTHER_URL] = Document(jwks(jwk(OTHER_RSA, "k1")))
    rig.apply(table(victim, forger))

    assert known_as(await rig.identify(sign()))[0] == "chat/a"
    assert known_as(await rig.identify(sign(key=OTHER_RSA)))[0] == "chat/b"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (compact({"alg": "none"}, claims()), Reason.UNSIGNED),
        (compact({"alg": "HS256", "kid": "k1"}, claims(), b"x" * 32), Reason.ALGORITHM),
        (sign(claims(iss="https://other.example.com")), Reason.UNKNOWN_ISSUER),
        (sign(claims(iss=f"{ISSUER}/")), Reason.UNKNOWN_ISSUER),
        (sign(kid="k9"), Reason.UNKNOWN_SIGNER),
        (sign(key=EC, algorithm="ES256"), Reason.UNKNOWN_SIGNER),
        (sign(key=OTHER_RSA), Reason.BAD_SIGNATURE),
        (sign(claims(exp=None)), Reason.WITHOUT_END),
        (sign(claims(exp=UNIX_S - 60, iat=UNIX_S - 600)), Reason.EXPIRED),
        (sign(claims(nbf=UNIX_S + 60)), Reason.NOT_YET),
        (sign(claims(iat=UNIX_S + 60)), Reason.NOT_YET),
        (sign(claims(aud="other")), Reason.WRONG_AUDIENCE),
        (sign(claims(aud=None)), Reason.WRONG_AUDIENCE),
        (sign(claims(team="green")), Reason.NO_TENANT),
        (sign(claims(team="blue", pad="x" * 13_000)), Reason.TOO_LONG),
        (f"{sign()}x.", Reason.UNKNOWN_KEY),
        ("eyJ.eyJ.eyJ" * 20, Reason.UNKNOWN_KEY),
    ],
)
async def test_a_token_that_does_not_do_is_refused_for_its_reason(
    rig: Rig, token: str, reason: Reason
) -> None:
    rig.apply(table(tenant(subject(wanted={"team": ["blue"]}))))

    assert await rig.refuse(token) is reason
    assert rig.recognize(token) is None


async def test_keys_that_sign_nothing_verify_nothing(rig: Rig) -> None:
    rig.issuers.pages[KEYS_URL] = Document(jwks(jwk(RSA, "k1", use="enc"), jwk(EC, "ec")))
    rig.apply(table(tenant(subject())))

    assert await rig.refuse(sign()) is Reason.UNKNOWN_SIGNER


async def test_a_table_without_tokens_knows_none(rig: Rig) -> None:
    rig.apply(table(tenant(keys=[KEY])))

    assert await rig.refuse(sign()) is Reason.UNKNOWN_KEY
    assert await rig.refuse(compact({"alg": "none"}, claims())) is Reason.UNKNOWN_KEY


async def test_a_token_that_was_refused_is_not_remembered(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    token = sign(claims(nbf=UNIX_S + 60))
    early = await rig.refuse(token)
    rig.clock.turn(60)

    assert early is Reason.NOT_YET
    assert known_as(await rig.identify(token))[2] == "ada"


async def test_keys_are_fetched_before_the_first_token_comes(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    async with rig.renewing():
        await rig.issuers.wait_for(1)
        found = await rig.identify(sign())

    assert known_as(found)[2] == "ada"
    assert len(rig.issuers.asked) == 1


# -- proxies

MESH = ProxySubject(
    name="mesh", addresses=("10.0.0.0/8",), header="x-team", value="blue", user_header="x-user"
)
FROM_MESH = Sender("10.0.0.1", {"x-team": "blue", "x-user": "ada"})


async def test_behind_a_proxy_no_key_is_needed(rig: Rig) -> None:
    rig.apply(table(tenant(proxies=(MESH,))))

    assert known_as(rig.recognize(None, FROM_MESH)) == ("chat/team", "mesh", "ada")
    assert await rig.identify(None, Sender("11.0.0.1", FROM_MESH.headers)) == Rejection(Reason.NO_KEY)


async def test_whom_no_proxy_names_is_anonymous(rig: Rig) -> None:
    rig.apply(table(tenant(proxies=(MESH,), name="a"), tenant(anonymous=True, name="b")))

    assert known_as(rig.recognize(None, FROM_MESH))[0] == "chat/a"
    assert known_as(rig.recognize(None, Sender("10.0.0.1"))) == ("chat/b", None, None)
    assert known_as(rig.recognize(None)) == ("chat/b", None, None)


async def test_a_request_with_a_key_is_served_by_its_key(rig: Rig) -> None:
    rig.apply(table(tenant(proxies=(MESH,), name="a"), tenant(keys=[KEY], name="b")))

    assert known_as(rig.recognize(KEY, FROM_MESH)) == ("chat/b", KEY_ID, None)
    assert await rig.identify("wrong", FROM_MESH) == Rejection(Reason.UNKNOWN_KEY)


async def test_with_another_table_other_proxies_are_believed(rig: Rig) -> None:
    rig.apply(table(tenant(proxies=(MESH,))))
    first = rig.recognize(None, FROM_MESH)
    rig.apply(table(tenant()))

    assert first is not None
    assert rig.recognize(None, FROM_MESH) is None
