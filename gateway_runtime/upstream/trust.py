"""What makes one way of speaking TLS another: TlsSettings, as pools and contexts are keyed by.

`settings_of` makes them of what the table says of a provider; `tls` makes an SSLContext of them.

The one subtle rule: a provider's settings are made once, not per request, since their identity is a hash over
all of it. They are found again by their content, so that they outlive tables as pools do.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Provider, ProviderTls

_KEPT: Final = 4096
"""Providers with settings of their own; beyond these each request pays some 20 µs for the hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Of one provider. `identity` stands for all of it in the keys of pools and contexts."""

    ca: bytes | None = None
    """PEM: the authorities that are trusted, instead of the system's."""
    certificate: bytes | None = None
    """PEM: ours, with its chain, for a provider that wants one (mTLS)."""
    key: Secret | None = None
    """PEM, unencrypted."""
    server_name: str | None = None
    """The name in the provider's certificate, where it is not the host of the URL."""
    identity: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256()
        key = None if self.key is None else self.key.reveal().encode()
        name = None if self.server_name is None else self.server_name.encode()
        for part in (self.ca, self.certificate, key, name):
            digest.update(b"-" if part is None else b"%d:%b" % (len(part), part))
        object.__setattr__(self, "identity", digest.hexdigest())


DEFAULT_TLS: Final = TlsSettings()


def settings_of(provider: Provider) -> TlsSettings:
    return DEFAULT_TLS if provider.tls is None else build_settings(provider.tls)


@lru_cache(_KEPT)
def build_settings(tls: ProviderTls) -> TlsSettings:
    return TlsSettings(
        ca=None if tls.ca is None else tls.ca.encode(),
        certificate=None if tls.certificate is None else tls.certificate.encode(),
        key=tls.key,
        server_name=tls.server_name,
    )
