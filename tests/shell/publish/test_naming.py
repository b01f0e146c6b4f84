"""What a gateway is called."""

import pytest

from gateway_runtime.contract.ids import GatewayId
from headgate_operator.publish.naming import is_gateway_name, name_gateway

NOBODY: frozenset[GatewayId] = frozenset()
GW = GatewayId("gw-1")


def test_a_gateway_of_a_pod_is_called_as_its_token_proves() -> None:
    assert name_gateway(GatewayId("made-up"), "gw-1", NOBODY) == "gw-1"


def test_several_processes_of_a_pod_keep_their_names_below_the_pods() -> None:
    assert name_gateway(GatewayId("gw-1/worker-2"), "gw-1", NOBODY) == "gw-1/worker-2"


def test_a_pod_that_dials_again_is_the_same_gateway() -> None:
    assert name_gateway(GW, "gw-1", {GW}) == "gw-1"


def test_without_a_pod_a_gateway_is_called_as_it_says() -> None:
    assert name_gateway(GW, None, NOBODY) == "gw-1"


def test_without_a_pod_a_second_of_the_same_name_gets_a_number() -> None:
    assert name_gateway(GW, None, {GW, GatewayId("gw-1~2")}) == "gw-1~3"


@pytest.mark.parametrize("name", ["gw-1", "ns/gw-1", "gw.example:8080", "gw-1~2", "a" * 253])
def test_a_name_may_stand_in_a_status(name: str) -> None:
    assert is_gateway_name(name)


@pytest.mark.parametrize("name", ["", "a" * 254, "two words", "new\nline", "ümlaut"])
def test_a_name_may_not_stand_in_a_status(name: str) -> None:
    assert not is_gateway_name(name)
