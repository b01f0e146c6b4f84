"""The endpoints that there are, as the transport needs to know them: a table's providers in, Upstreams out.

`main` hands them to `Transport.retain` in the step in which a table begins to serve.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from gateway_runtime.contract.table import Provider, UpstreamLimits
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings, settings_of

DEFAULT_LIMITS: Final = UpstreamLimits()


class Upstream(NamedTuple):
    url: str
    """Its base URL; the origin alone matters."""
    tls: TlsSettings = DEFAULT_TLS
    limits: UpstreamLimits = DEFAULT_LIMITS


def list_upstreams(providers: Iterable[Provider]) -> Iterator[Upstream]:
    for provider in providers:
        tls = settings_of(provider)
        for endpoint in provider.endpoints:
            yield Upstream(endpoint.url, tls, provider.limits)
