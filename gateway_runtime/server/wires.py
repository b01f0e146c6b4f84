"""What each provider of the table speaks: a Wire for each endpoint, made when the table is loaded.

`build` prepares them aside, `address`, `lane` and `probe` ask for them. A wire keeps nothing that changes, so
it is made once for each way of speaking and outlives tables.

The one subtle rule: a wire that cannot be made here takes no table down. litellm may be missing in this
gateway, or not serve a provider: requests to it, and its probe, then say why.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import structlog

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import Endpoint, Provider, RoutingTable
from gateway_runtime.providers.models.facts import load_facts
from gateway_runtime.providers.wire import Wire
from gateway_runtime.providers.wires.build import UnusableWire, build_wire
from gateway_runtime.providers.wires.openai.wire import OpenAIWire

log = structlog.get_logger()

_OPENAI: Final = OpenAIWire()


class _Unusable(NamedTuple):
    reason: str


def prepare_wires(table: RoutingTable) -> None:
    """Reads and imports what requests will need: litellm takes three seconds, the table of models 10 ms."""
    wires = {provider.wire for provider in table.providers}
    if wires:
        load_facts()
    if "litellm" in wires:
        for provider in table.providers:
            for endpoint in provider.endpoints:
                found = _find(provider, endpoint)
                if isinstance(found, _Unusable):
                    log.error("provider cannot be used", provider=provider.id, reason=found.reason)


def wire_of(provider: Provider, endpoint: Endpoint) -> Wire:
    """Raises GatewayError when this gateway cannot speak it."""
    if provider.wire == "openai":
        return _OPENAI
    found = _find(provider, endpoint)
    if isinstance(found, _Unusable):
        raise GatewayError(
            ErrorCode.NO_TARGET, f"Provider {provider.id} cannot be used by this gateway: {found.reason}"
        )
    return found


def _find(provider: Provider, endpoint: Endpoint) -> Wire | _Unusable:
    options = provider.azure, provider.vertex, provider.bedrock, provider.litellm
    return _make(provider.wire, *options, endpoint)


@lru_cache(4096)
def _make(*spoken: object) -> Wire | _Unusable:
    try:
        return build_wire(*spoken)  # type: ignore[arg-type]  # as `_find` calls it
    except UnusableWire as error:
        return _Unusable(str(error))
