"""The table of provider types, against what else must know all of them."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from gateway_runtime.contract.table import WireName
from gateway_runtime.providers.wires.litellm.providers import SUPPORTED
from headgate_operator.api.provider import LLMProviderSpec
from headgate_operator.api.provider_types import TYPES, LitellmProvider, ProviderType, find_types


def test_every_type_has_its_facts_and_they_are_found_in_the_order_of_the_documentation() -> None:
    assert tuple(TYPES) == get_args(ProviderType)
    assert find_types(lambda _: True) == get_args(ProviderType)


def test_every_wire_is_that_of_a_type() -> None:
    assert {facts.wire for facts in TYPES.values()} == set(get_args(WireName))


def test_the_providers_of_type_litellm_are_those_that_the_gateways_serve() -> None:
    assert get_args(LitellmProvider) == tuple(SUPPORTED)


@pytest.mark.parametrize("name", get_args(ProviderType))
def test_kubectl_explain_says_what_each_type_is(name: str) -> None:
    description = LLMProviderSpec.model_fields["type"].description or ""

    assert name in re.findall("[a-z]+(?:-[a-z]+)*", description)
