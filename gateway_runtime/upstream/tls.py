"""How a provider is recognised and how we show who we are: TlsSettings in, an SSLContext out.

`dial` asks `TlsContexts` for a context; it is built once per identity, in a thread, since loading the
system's authorities takes some 20 ms. What cannot be used is an UpstreamFailure that names the field.

The one subtle rule: the private key never touches a disk. OpenSSL reads it by path, and the path is that of a
pipe.
"""

import asyncio
import os
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import MAX_PEM_BYTES, ProviderTls
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.origin import MalformedUrl, parse_host
from gateway_runtime.upstream.trust import TlsSettings, build_settings

_JUDGED: Final = 4096
"""Providers whose settings need not be judged again at the next table; one takes some 0.3 ms."""


class TlsContexts:
    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def find(self, settings: TlsSettings) -> ssl.SSLContext:
        """Raises UpstreamFailure for settings that cannot be used."""
        context = self._contexts.get(settings.identity)
        if context is None:
            loop = asyncio.get_running_loop()
            context = await loop.run_in_executor(None, build_context, settings)
            self._contexts[settings.identity] = context
        return context

    def retain(self, identities: Collection[str]) -> None:
        self._contexts = {key: value for key, value in self._contexts.items() if key in identities}


def build_context(settings: TlsSettings) -> ssl.SSLContext:
    """Raises UpstreamFailure for settings that cannot be used."""
    try:
        # An empty text would mean the system's authorities to ssl; a space means none.
        cadata = None if settings.ca is None else settings.ca.decode("ascii") or " "
        context = ssl.create_default_context(cadata=cadata)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable("its ca holds no certificate in PEM form") from error
    _fit(context, settings)
    return context


@lru_cache(_JUDGED)
def find_tls_problem(tls: ProviderTls) -> str | None:
    """Why OpenSSL cannot use it, in a clause; None when it can. For `check`, which asks about each provider
    of each table.
    """
    settings = build_settings(tls)
    try:
        if settings.ca is None:
            # The system's authorities are most of the work, and there is nothing to judge in them.
            _fit(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings)
        else:
            build_context(settings)
    except UpstreamFailure as failure:
        return failure.reason
    return None


def _fit(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.certificate is not None and settings.key is not None:
        _load_own_certificate(context, settings.certificate, settings.key)
    elif settings.certificate is not None or settings.key is not None:
        raise _unusable("a certificate needs its key and a key its certificate; one of them is missing")
    if settings.server_name is not None:
        try:
            parse_host(settings.server_name)
        except MalformedUrl as error:
            raise _unusable("its server_name is not a host name") from error


def _load_own_certificate(context: ssl.SSLContext, certificate: bytes, key: Secret) -> None:
    try:
        with _readable(certificate) as certificate_path, _readable(key.reveal().encode()) as key_path:
            # Without a password function OpenSSL would ask on the terminal for that of an encrypted key.
            context.load_cert_chain(certificate_path, key_path, password=lambda: "")
    except OSError as error:
        # ssl tells no more: it takes the failed seek in a pipe for the cause.
        problem = "its certificate and its key are not PEM or no pair, or the key is encrypted"
        raise _unusable(problem) from error


@contextmanager
def _readable(pem: bytes) -> Iterator[str]:
    """A path from which the bytes can be read once."""
    if len(pem) > MAX_PEM_BYTES:
        raise _unusable(f"its certificate or its key is longer than {MAX_PEM_BYTES} bytes")
    reading, writing = os.pipe()
    try:
        os.write(writing, pem)
        os.close(writing)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)


def _unusable(problem: str) -> UpstreamFailure:
    return UpstreamFailure(Outcome.CONNECT_FAILED, f"the TLS settings cannot be used: {problem}")
