"""Whom we believe, and how we show who we are."""

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohappyeyeballs import AddrInfoType

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import MAX_PEM_BYTES
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.tls import build_context
from gateway_runtime.upstream.transport import PooledTransport
from gateway_runtime.upstream.trust import TlsSettings
from tests.server.rawupstream import answering
from tests.upstream.certificates import Authority
from tests.upstream.scripted import Got, ask, scripted

AUTHORITY = Authority()
OTHER = Authority("another authority")
NAME = "provider.example"
TRUSTING = TlsSettings(ca=AUTHORITY.pem)


@pytest.fixture
async def transport() -> AsyncIterator[PooledTransport]:
    """Every name is this machine."""

    async def look_up(_: str, port: int) -> Sequence[AddrInfoType]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    transport = PooledTransport(proxies=Proxies({}), resolver=Resolver(look_up))
    yield transport
    await transport.close()


async def test_a_provider_with_an_authority_of_its_own_is_reached(
    transport: PooledTransport, tmp_path: Path
) -> None:
    async with scripted(answering(b"{}"), AUTHORITY.build_server(tmp_path, NAME)) as upstream:
        url = f"https://{NAME}:{upstream.port}/"
        got = [await ask(transport, url, tls=TRUSTING) for _ in range(3)]

    assert (got, upstream.connections) == ([Got(200, b"{}")] * 3, 1)


@pytest.mark.parametrize(
    ("host", "tls", "reason"),
    [
        (NAME, TlsSettings(), "unable to get local issuer certificate"),
        (NAME, TlsSettings(ca=OTHER.pem), "unable to get local issuer certificate"),
        (
            "other.example",
            TRUSTING,
            "Hostname mismatch, certificate is not valid for 'other.example'.",
        ),
    ],
)
async def test_a_certificate_that_is_not_the_right_one_is_not_accepted(
    transport: PooledTransport, tmp_path: Path, host: str, tls: TlsSettings, reason: str
) -> None:
    async with scripted(answering(b"{}"), AUTHORITY.build_server(tmp_path, NAME)) as upstream:
        with pytest.raises(UpstreamFailure) as caught:
            await ask(transport, f"https://{host}:{upstream.port}/", tls=tls)

    assert (caught.value.outcome, caught.value.reason) == (
        Outcome.CONNECT_FAILED,
        f"certificate not accepted: {reason}",
    )


async def test_the_name_in_the_certificate_may_be_another_than_that_of_the_url(
    transport: PooledTransport, tmp_path: Path
) -> None:
    tls = TlsSettings(ca=AUTHORITY.pem, server_name=NAME)
    async with scripted(answering(b"{}"), AUTHORITY.build_server(tmp_path, NAME)) as upstream:
        assert (await ask(transport, f"https://127.0.0.1:{upstream.port}/", tls=tls)).status == 200


async def test_a_provider_that_wants_our_certificate_gets_it(
    transport: PooledTransport, tmp_path: Path
) -> None:
    ours = AUTHORITY.issue("gateway.example")
    tls = TlsSettings(ca=AUTHORITY.pem, certificate=ours.certificate, key=ours.key)
    server = AUTHORITY.build_server(tmp_path, NAME, wants_client=True)
    async with scripted(answering(b"{}"), server) as upstream:
        assert (await ask(transport, f"https://{NAME}:{upstream.port}/", tls=tls)).status == 200


async def test_a_provider_that_misses_our_certificate_gives_no_answer(
    transport: PooledTransport, tmp_path: Path
) -> None:
    server = AUTHORITY.build_server(tmp_path, NAME, wants_client=True)
    async with scripted(answering(b"{}"), server) as upstream:
        with pytest.raises(UpstreamFailure) as caught:
            await ask(transport, f"https://{NAME}:{upstream.port}/", tls=TRUSTING)

    assert caught.value.outcome is Outcome.RESET


def test_no_version_of_tls_before_1_2_is_spoken() -> None:
    assert build_context(TlsSettings()).minimum_version is ssl.TLSVersion.TLSv1_2


async def test_providers_with_different_identities_share_no_connection(
    transport: PooledTransport, tmp_path: Path
) -> None:
    ours = AUTHORITY.issue("gateway.example")
    known = TlsSettings(ca=AUTHORITY.pem, certificate=ours.certificate, key=ours.key)
    async with scripted(answering(b"{}"), AUTHORITY.build_server(tmp_path, NAME)) as upstream:
        for tls in (TRUSTING, known, TlsSettings(ca=AUTHORITY.pem)):
            await ask(transport, f"https://{NAME}:{upstream.port}/", tls=tls)

    assert upstream.connections == 2


PAIR = AUTHORITY.issue("gateway.example")


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        (TlsSettings(ca=b"not PEM"), "its ca holds no certificate in PEM form"),
        (TlsSettings(ca=b""), "its ca holds no certificate in PEM form"),
        (TlsSettings(ca="ü".encode()), "its ca holds no certificate in PEM form"),
        (
            TlsSettings(certificate=PAIR.certificate),
            "a certificate needs its key and a key its certificate; one of them is missing",
        ),
        (
            TlsSettings(key=PAIR.key),
            "a certificate needs its key and a key its certificate; one of them is missing",
        ),
        (
            TlsSettings(certificate=PAIR.certificate, key=AUTHORITY.issue("x").key),
            "its certificate and its key are not PEM or no pair, or the key is encrypted",
        ),
        (
            TlsSettings(certificate=PAIR.certificate, key=Secret("no key")),
            "its certificate and its key are not PEM or no pair, or the key is encrypted",
        ),
        (
            TlsSettings(certificate=PAIR.certificate, key=Secret("x" * (MAX_PEM_BYTES + 1))),
            f"its certificate or its key is longer than {MAX_PEM_BYTES} bytes",
        ),
        (TlsSettings(server_name="no name"), "its server_name is not a host name"),
    ],
)
def test_settings_that_cannot_be_used_name_the_field(tls: TlsSettings, problem: str) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        build_context(tls)

    assert caught.value.reason == f"the TLS settings cannot be used: {problem}"


def test_settings_are_told_apart_by_each_of_their_fields() -> None:
    key = Secret("a")
    different = [
        TlsSettings(),
        TlsSettings(ca=b"a"),
        TlsSettings(certificate=b"a"),
        TlsSettings(key=key),
        TlsSettings(server_name="a"),
        TlsSettings(ca=b"a", certificate=b"a"),
    ]

    assert len({tls.identity for tls in different}) == len(different)
    assert TlsSettings(key=key).identity == TlsSettings(key=Secret("a")).identity


def test_the_private_key_does_not_show() -> None:
    assert "PRIVATE KEY" not in repr(TlsSettings(certificate=PAIR.certificate, key=PAIR.key))
