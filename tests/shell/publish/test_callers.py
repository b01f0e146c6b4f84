"""Who may read the routing table, and what the others are told."""

import asyncio

import pytest

from headgate_operator.kube import Reviewed
from headgate_operator.publish.callers import MAX_KEPT, Caller, Callers, Refusal
from tests.shell.publish.fakes import ACCOUNT, AUDIENCE, FakeKube, make_token

NOW_S = 2_000_000.0


class Door:
    """Callers at a time that the test sets."""

    def __init__(self, kube: FakeKube, *accounts: str) -> None:
        self.kube = kube
        self.now_s = NOW_S
        self.callers = Callers(kube, AUDIENCE, accounts or (ACCOUNT,), lambda: self.now_s)

    async def knock(self, token: str) -> Caller | Refusal:
        return await self.callers.identify(f"Bearer {token}")


@pytest.fixture
def door(kube: FakeKube) -> Door:
    return Door(kube)


async def test_a_gateway_is_known_by_its_account_and_its_pod(door: Door) -> None:
    assert await door.knock(door.kube.admit(pod="gw-1")) == Caller(ACCOUNT, "gw-1")


async def test_a_token_of_no_pod_is_let_in_without_a_name(door: Door) -> None:
    assert await door.knock(door.kube.admit()) == Caller(ACCOUNT, None)


async def test_where_gateways_live_in_several_namespaces_the_pod_is_named_with_its_own(
    kube: FakeKube,
) -> None:
    door = Door(kube, ACCOUNT, "edge:gateway")

    assert await door.knock(kube.admit(pod="gw-1", account="edge:gateway")) == Caller(
        "edge:gateway", "edge/gw-1"
    )


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcg=="])
async def test_without_a_token_the_answer_says_which_one_to_send(door: Door, header: str | None) -> None:
    assert await door.callers.identify(header) == Refusal(
        401,
        "no token: send Authorization: Bearer <token>, a projected ServiceAccount token "
        'with audience "headgate-operator"',
    )


@pytest.mark.parametrize("token", ["opaque", "a.b", "a.%%%.c", "e30.bm90IGpzb24.x", "e30.W10.x"])
async def test_what_is_no_jwt_is_refused_without_asking_the_api_server(door: Door, token: str) -> None:
    assert await door.knock(token) == Refusal(401, "the bearer token is not a ServiceAccount token")
    assert door.kube.reviews == 0


@pytest.mark.parametrize("aud", ["https://kubernetes.default.svc", ["a", "b"], []])
async def test_a_token_for_another_audience_is_refused_without_asking(door: Door, aud: object) -> None:
    assert await door.knock(make_token(aud=aud)) == Refusal(
        401,
        "the token is meant for another audience; project the gateway's ServiceAccount token "
        'with audience "headgate-operator"',
    )
    assert door.kube.reviews == 0


async def test_an_audience_that_is_one_text_counts(door: Door) -> None:
    token = make_token(aud=AUDIENCE)
    door.kube.tokens[token] = Reviewed(f"system:serviceaccount:{ACCOUNT}", "uid", (), None)

    assert await door.knock(token) == Caller(ACCOUNT, None)


async def test_an_expired_token_is_refused_without_asking(door: Door) -> None:
    assert await door.knock(make_token(exp=NOW_S)) == Refusal(
        401, "the token has expired; read it from its file again, the kubelet renews it there"
    )
    assert door.kube.reviews == 0


async def test_a_token_that_the_api_server_does_not_know_is_refused(door: Door) -> None:
    assert await door.knock(make_token()) == Refusal(401, "the API server does not accept the token")


@pytest.mark.parametrize("username", ["system:serviceaccount:team:app", "headgate-system:headgate-gateway"])
async def test_somebody_elses_good_token_is_told_which_account_may(door: Door, username: str) -> None:
    token = make_token()
    door.kube.tokens[token] = Reviewed(username, "uid", (), None)

    assert await door.knock(token) == Refusal(
        403,
        f"{username} may not read the routing table; run the gateway as "
        "system:serviceaccount:headgate-system:headgate-gateway, or name its account with --gateway-account",
    )


async def test_a_good_answer_is_kept_for_five_minutes(door: Door) -> None:
    token = door.kube.admit()
    await door.knock(token)
    door.now_s += 299
    await door.knock(token)
    door.now_s += 1
    await door.knock(token)

    assert door.kube.reviews == 2


async def test_a_revoked_token_is_refused_once_the_answer_is_old(door: Door) -> None:
    token = door.kube.admit()
    await door.knock(token)
    del door.kube.tokens[token]
    door.now_s += 300

    assert await door.knock(token) == Refusal(401, "the API server does not accept the token")


async def test_a_bad_answer_is_kept_for_ten_seconds(door: Door) -> None:
    token = make_token()
    await door.knock(token)
    door.now_s += 9
    await door.knock(token)
    door.kube.tokens[token] = Reviewed(f"system:serviceaccount:{ACCOUNT}", "uid", (), None)
    door.now_s += 1

    assert await door.knock(token) == Caller(ACCOUNT, None)
    assert door.kube.reviews == 2


async def test_during_an_outage_a_token_that_was_known_is_good_until_its_own_end(door: Door) -> None:
    token = make_token(exp=NOW_S + 3600)
    door.kube.tokens[token] = Reviewed(f"system:serviceaccount:{ACCOUNT}", "uid", (), "gw-1")
    await door.knock(token)
    door.kube.down = True
    door.now_s += 3599
    during = await door.knock(token)
    door.now_s += 1
    after = await door.knock(token)

    assert during == Caller(ACCOUNT, "gw-1")
    assert isinstance(after, Refusal)


async def test_during_an_outage_a_token_without_an_end_is_good_for_an_hour(door: Door) -> None:
    token = make_token(exp=None)
    door.kube.tokens[token] = Reviewed(f"system:serviceaccount:{ACCOUNT}", "uid", (), None)
    await door.knock(token)
    door.kube.down = True
    door.now_s += 3599
    during = await door.knock(token)
    door.now_s += 1
    after = await door.knock(token)

    assert during == Caller(ACCOUNT, None)
    assert isinstance(after, Refusal)


async def test_during_an_outage_a_token_that_was_never_known_stays_outside(door: Door) -> None:
    token = door.kube.admit()
    door.kube.down = True

    assert await door.knock(token) == Refusal(
        503, "the API server cannot be asked who this token belongs to; dial again"
    )


async def test_during_an_outage_a_token_that_was_refused_stays_outside(door: Door) -> None:
    token = make_token()
    await door.knock(token)
    door.kube.down = True
    door.now_s += 60

    refusal = await door.knock(token)

    assert isinstance(refusal, Refusal)
    assert refusal.status == 503


async def test_a_flood_of_tokens_is_forgotten_from_its_beginning(door: Door) -> None:
    tokens = [make_token(jti=f"flood-{i}") for i in range(MAX_KEPT + 10)]
    await asyncio.gather(*map(door.knock, tokens))

    assert door.callers.statistics() == {"kept": MAX_KEPT}
