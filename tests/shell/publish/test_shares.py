"""Places in the row of shares."""

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import Share
from headgate_operator.publish.shares import HOLD_DOWN_S, Shares

A, B, C, D = (GatewayId(name) for name in "abcd")


def joined(*gateways: GatewayId) -> Shares:
    shares = Shares()
    for gateway in gateways:
        shares.join(gateway)
    return shares


def test_each_gateway_has_a_place_of_its_own() -> None:
    assert joined(A, B).current() == {A: Share(index=0, gateways=2), B: Share(index=1, gateways=2)}


def test_a_gateway_that_left_counts_until_its_hold_ends() -> None:
    shares = joined(A, B)
    shares.leave(A, 100.0)
    shares.expire(100.0 + HOLD_DOWN_S - 0.1)

    assert shares.current()[B] == Share(index=1, gateways=2)


def test_a_gateway_that_comes_back_in_time_moves_nobody() -> None:
    shares = joined(A, B, C)
    before = shares.current()
    shares.leave(A, 100.0)
    shares.join(A)
    shares.expire(1000.0)

    assert shares.current() == before


def test_when_the_hold_ends_only_the_last_moves_into_the_gap() -> None:
    shares = joined(A, B, C, D)
    shares.leave(B, 100.0)
    shares.expire(100.0 + HOLD_DOWN_S)

    assert shares.row == (A, D, C)


def test_a_new_leader_holds_every_place_of_the_old_row() -> None:
    shares = Shares()
    shares.restore((A, B, C), 100.0)
    shares.join(C)
    shares.join(D)

    assert shares.current()[C] == Share(index=2, gateways=4)
    assert shares.current()[D] == Share(index=3, gateways=4)


def test_places_that_nobody_came_back_to_are_given_up() -> None:
    shares = Shares()
    shares.restore((A, B, C), 100.0)
    shares.join(C)
    shares.expire(100.0 + HOLD_DOWN_S)

    assert shares.current() == {C: Share(index=0, gateways=1)}


def test_the_next_expiry_is_the_earliest_hold() -> None:
    shares = joined(A, B)
    shares.leave(B, 100.0)
    shares.leave(A, 103.0)

    assert shares.next_expiry_s == 100.0 + HOLD_DOWN_S
    assert joined(A).next_expiry_s is None


def test_who_left_shows_in_the_statistics() -> None:
    shares = joined(A, B)
    shares.leave(B, 100.0)

    assert shares.statistics() == {"row": (A, B), "held": [B]}


STEPS = st.lists(st.tuples(st.sampled_from(["join", "leave", "wait"]), st.sampled_from([A, B, C, D])))


@given(STEPS)
def test_whatever_happens_the_places_are_dense_and_everyone_connected_has_one(
    steps: list[tuple[str, GatewayId]],
) -> None:
    shares, connected, now_s = Shares(), set[GatewayId](), 0.0
    for step, gateway in steps:
        match step:
            case "join":
                shares.join(gateway)
                connected.add(gateway)
            case "leave":
                shares.leave(gateway, now_s)
                connected.discard(gateway)
            case "wait":
                now_s += 10.0
                shares.expire(now_s)
        current = shares.current()

        assert sorted(share.index for share in current.values()) == list(range(len(current)))
        assert {share.gateways for share in current.values()} <= {len(current)}
        assert connected <= current.keys()
