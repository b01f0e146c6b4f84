"""A transport that remembers what it was to send, for places that no test can reach."""

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import parse_qsl

import pytest

from gateway_runtime.contract.table import Provider
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.tokens import Tokens
from gateway_runtime.upstream.endpoint import Upstream
from gateway_runtime.upstream.exchange import (
    PoolStatistics,
    Prepared,
    UpstreamAnswer,
    UpstreamFailure,
    UpstreamRequest,
)
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings
from tests.tokens.rig import TurnedClock


class DeafTransport:
    """Reaches nobody."""

    def __init__(self) -> None:
        self.requests: list[UpstreamRequest] = []

    @property
    def form(self) -> dict[str, str]:
        """Of the last request."""
        return dict(parse_qsl((self.requests[-1].body or b"").decode()))

    async def send(
        self,
        request: UpstreamRequest,
        connected: Callable[[], None],
        tls: TlsSettings = DEFAULT_TLS,
        *,
        again: bool = False,
    ) -> UpstreamAnswer:
        self.requests.append(request)
        raise UpstreamFailure(Outcome.CONNECT_FAILED, "no route to host")

    def prepare(self, url: str, headers: Mapping[str, str], tls: TlsSettings = DEFAULT_TLS) -> Prepared:
        raise NotImplementedError

    def retain(self, upstreams: Iterable[Upstream]) -> None:
        raise NotImplementedError

    def statistics(self) -> Iterable[PoolStatistics]:
        return ()

    async def close(self) -> None:
        pass


async def ask_once(transport: DeafTransport, provider: Provider, environment: Mapping[str, str]) -> str:
    """Returns why it failed."""
    clock = TurnedClock()
    tokens = Tokens(transport, clock.now, clock.unix, environment)
    with pytest.raises(UpstreamFailure) as caught:
        await tokens.get(provider, next(iter(provider.credentials), None))
    return caught.value.reason
