"""Which proxy a provider is reached through: the environment in, a Proxy or None out.

    HTTP_PROXY, HTTPS_PROXY    by the scheme of the provider's URL; `http://[user:password@]host[:port]`
    NO_PROXY                   names, suffixes (`.svc`), `host:port`, addresses, networks (`10.0.0.0/8`), `*`

Read once, at start, as urllib reads it (lower case first; networks are our addition: clusters are described
so). This machine itself, and what tells it who it is, are never reached through a proxy.

The one subtle rule: a proxy that cannot be used is told when a request would need it. Going around it instead
would send a credential by a way that somebody has closed.
"""

import base64
import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib import request
from urllib.parse import unquote, urlsplit

from gateway_runtime.contract.secret import Secret
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.origin import MalformedUrl, Origin, parse_url


class Proxy(NamedTuple):
    origin: Origin
    authorization: Secret | None
    """The value of Proxy-Authorization."""


class Proxies:
    """settings: as `urllib.request.getproxies_environment` gives them, by `http`, `https` and `no`."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = dict(settings)

    @classmethod
    def from_environment(cls) -> "Proxies":
        return cls(request.getproxies_environment())

    def choose(self, origin: Origin) -> Proxy | None:
        """Raises UpstreamFailure when there is one that cannot be used."""
        url = self._settings.get(origin.scheme)
        if not url or _is_near(origin.host) or self._is_excepted(origin):
            return None
        try:
            return _parse_proxy(url)
        except MalformedUrl as error:
            name = f"{origin.scheme.upper()}_PROXY"
            raise UpstreamFailure(
                Outcome.CONNECT_FAILED, f"{name} is not the URL of an HTTP proxy: {error}"
            ) from error

    def _is_excepted(self, origin: Origin) -> bool:
        excepted = self._settings.get("no", "")
        bypass = request.proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it
        if bypass(f"{origin.host}:{origin.port}", {"no": excepted}):
            return True
        try:
            address = ipaddress.ip_address(origin.host)
        except ValueError:
            return False
        return any(address in network for network in _parse_networks(excepted))


def _parse_proxy(url: str) -> Proxy:
    if "://" not in url:
        url = f"http://{url}"
    credentials, _, host = urlsplit(url).netloc.rpartition("@")
    if not url.startswith("http://"):
        raise MalformedUrl("it does not begin with http://")
    origin, _ = parse_url(f"http://{host}")
    if not credentials:
        return Proxy(origin, None)
    token = base64.b64encode(unquote(credentials).encode()).decode()
    return Proxy(origin, Secret(f"Basic {token}"))


_METADATA: Final = frozenset(
    {"metadata.google.internal", "fd00:ec2::23", "fd00:ec2::254", "fd20:ce::252", "fd20:ce::254"}
)
"""Where clouds tell a machine its identity, beside the link-local addresses that all of them use."""


def _is_near(host: str) -> bool:
    """No proxy goes there: it would reach its own machine, and answer with its own identity."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    if host in _METADATA:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local


def _parse_networks(excepted: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    for entry in excepted.split(","):
        try:
            networks.append(ipaddress.ip_network(entry.strip(), strict=False))
        except ValueError:
            continue  # a name: urllib's matching has seen it
    return networks
