"""The config stream's messages, and which offered versions a gateway must refuse."""

import msgspec
import pytest

from gateway_runtime.contract.health import EndpointReport, HealthReport
from gateway_runtime.contract.ids import EndpointId, GatewayId
from gateway_runtime.contract.stream import (
    Ack,
    Counts,
    Delta,
    Downward,
    Fault,
    Hello,
    MalformedMessage,
    Nack,
    Share,
    Upward,
    Version,
    encode_message,
    is_sharp_loss,
    judge_offer,
    parse_downward,
    parse_upward,
)

RUNNING = (Version(2, 7), Counts(providers=10, routes=20, tenants=3))


@pytest.mark.parametrize(
    "message",
    [
        Hello(
            gateway=GatewayId("pod-1"),
            software="0.1.0",
            schema_version=1,
            version=Version(1, 2),
            bucket_digests=("a", "b"),
        ),
        Hello(
            gateway=GatewayId("pod-1"), software="0.1.0", schema_version=1, version=None, bucket_digests=()
        ),
        Ack(version=Version(1, 2), digest="d"),
        Nack(version=Version(1, 2), faults=(Fault(resource="Route/chat/gpt", message="no"),)),
        HealthReport(
            sequence=1,
            full=True,
            endpoints=(
                EndpointReport(
                    endpoint=EndpointId("chat/openai/0"),
                    health="Healthy",
                    circuit="Open",
                    reason="5 failures in a row, last: 503 from upstream",
                    since_s=1.5,
                    latency_ms=None,
                    requests=10,
                    failures=5,
                ),
            ),
        ),
    ],
)
def test_what_a_gateway_says_arrives_as_it_was(message: Upward) -> None:
    assert parse_upward(encode_message(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Delta(
            version=Version(1, 2),
            digest="d",
            counts=Counts(1, 2, 3),
            shrink_confirmed=False,
            part=0,
            parts=1,
            buckets={7: msgspec.Raw(b'[{"kind":"Installation"}]')},
        ),
        Share(index=1, gateways=3),
    ],
)
def test_what_an_operator_says_arrives_as_it_was(message: Downward) -> None:
    frame = encode_message(message)

    assert encode_message(parse_downward(frame)) == frame


def test_a_frame_that_is_no_message_is_named_as_such() -> None:
    with pytest.raises(MalformedMessage, match=r"^not a message of the config stream: "):
        parse_downward(b"{}")
    with pytest.raises(MalformedMessage, match=r"^not a message of the config stream: "):
        parse_upward("{")


def test_a_gateway_does_not_take_what_only_an_operator_receives() -> None:
    frame = encode_message(Ack(version=Version(1, 1), digest="d"))

    with pytest.raises(MalformedMessage):
        parse_downward(frame)


def test_versions_are_ordered_by_epoch_first() -> None:
    assert Version(1, 9) < Version(2, 1) < Version(2, 2)
    assert str(Version(2, 1)) == "2.1"


@pytest.mark.parametrize(
    ("offered", "counts", "confirmed", "objection"),
    [
        (Version(2, 8), Counts(10, 20, 3), False, None),
        (Version(3, 1), Counts(10, 20, 3), False, None),
        (Version(2, 7), Counts(10, 20, 3), False, "version 2.7 is not newer than 2.7, which is running"),
        (Version(1, 9), Counts(10, 20, 3), True, "version 1.9 is not newer than 2.7, which is running"),
        (Version(2, 8), Counts(5, 10, 1), False, None),
        (Version(2, 8), Counts(0, 0, 0), True, None),
        (
            Version(2, 8),
            Counts(4, 20, 3),
            False,
            "version 2.8 has 4 providers where 10 are running, and the operator did not confirm the loss",
        ),
        (
            Version(2, 8),
            Counts(10, 9, 3),
            False,
            "version 2.8 has 9 routes where 20 are running, and the operator did not confirm the loss",
        ),
        (
            Version(2, 8),
            Counts(10, 20, 0),
            False,
            "version 2.8 has 0 tenants where 3 are running, and the operator did not confirm the loss",
        ),
    ],
)
def test_an_offer_is_judged(offered: Version, counts: Counts, confirmed: bool, objection: str | None) -> None:
    assert judge_offer(RUNNING, offered, counts, shrink_confirmed=confirmed) == objection


def test_a_gateway_without_a_table_takes_any_version() -> None:
    assert judge_offer(None, Version(0, 0), Counts(0, 0, 0), shrink_confirmed=False) is None


@pytest.mark.parametrize(
    ("had", "has", "sharp"),
    [(0, 0, False), (1, 0, True), (9, 1, False), (10, 5, False), (10, 4, True), (0, 5, False), (3, 9, False)],
)
def test_a_sharp_loss_is_all_of_a_kind_or_more_than_half_of_ten(had: int, has: int, sharp: bool) -> None:
    assert is_sharp_loss(had, has) is sharp
