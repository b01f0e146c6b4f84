"""The way through a proxy that the environment names."""

import asyncio
import base64
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohappyeyeballs import AddrInfoType

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.origin import Origin
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.transport import PooledTransport
from gateway_runtime.upstream.trust import TlsSettings
from tests.server.rawupstream import RawUpstream, answering
from tests.upstream.certificates import Authority
from tests.upstream.scripted import Got, ask, listening, only, scripted

AUTHORITY = Authority()
CONNECTED = b"HTTP/1.1 200 Connection established\r\nvia: proxy\r\n\r\n"


class ScriptedProxy:
    """Answers CONNECT as told, and then connects to this machine whatever name was asked for."""

    def __init__(self, answer: bytes = CONNECTED) -> None:
        self.answer = answer
        self.heads: list[str] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.answer)
        if b" 200 " not in self.answer:
            writer.close()
            return
        port = int(head.split()[1].rpartition(":")[2])
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass  # the other direction tells
    finally:
        writer.close()


def through(port: int, credentials: str = "", no: str = "") -> PooledTransport:
    url = f"http://{credentials}127.0.0.1:{port}"
    return PooledTransport(proxies=Proxies({"http": url, "https": url, "no": no}))


async def test_a_plain_request_goes_to_the_proxy_with_its_whole_url() -> None:
    async with scripted(answering(b"{}")) as proxy:
        transport = through(proxy.port, "user:p%40ss@")
        got = [await ask(transport, "http://provider.example/v1/models?a=b") for _ in range(2)]
        place = only(transport).place
        await transport.close()

    token = base64.b64encode(b"user:p@ss").decode()
    assert got == [Got(200, b"{}")] * 2
    assert proxy.connections == 1
    assert proxy.heads[0].decode().splitlines()[:3] == [
        "POST http://provider.example/v1/models?a=b HTTP/1.1",
        "host: provider.example",
        f"proxy-authorization: Basic {token}",
    ]
    assert place == f"http://provider.example via 127.0.0.1:{proxy.port}"


async def test_tls_goes_through_the_proxy_which_sees_no_credential_but_its_own(tmp_path: Path) -> None:
    proxy = ScriptedProxy()
    server = AUTHORITY.build_server(tmp_path, "provider.example")
    async with scripted(answering(b"{}"), server) as upstream, listening(proxy.handle) as port:
        transport = through(port, "user:pw@")
        tls = TlsSettings(ca=AUTHORITY.pem)
        url = f"https://provider.example:{upstream.port}/v1/models"
        got = [await ask(transport, url, tls=tls) for _ in range(2)]
        await transport.close()

    token = base64.b64encode(b"user:pw").decode()
    assert got == [Got(200, b"{}")] * 2
    assert proxy.heads == [
        f"CONNECT provider.example:{upstream.port} HTTP/1.1\r\n"
        f"host: provider.example:{upstream.port}\r\n"
        f"proxy-authorization: Basic {token}\r\n\r\n"
    ]
    assert upstream.heads[0].startswith(b"POST /v1/models HTTP/1.1\r\n")
    assert b"proxy-authorization" not in upstream.heads[0]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "it refused the way to provider.example:443 with status 407",
        ),
        (b"HTTP/1.1 403\r\n\r\n", "it refused the way to provider.example:443 with status 403"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it does not speak HTTP"),
        (b"", "it did not answer to CONNECT"),
        (b"HTTP/1.1 403 For" + b"x" * 20_000, "it did not answer to CONNECT"),
        (CONNECTED.replace(b"200", b"201") + b"\x16\x03", "it sent bytes behind its answer to CONNECT"),
    ],
)
async def test_a_proxy_that_does_not_let_us_through_is_named_without_its_credential(
    answer: bytes, problem: str
) -> None:
    proxy = ScriptedProxy(answer)
    async with listening(proxy.handle) as port:
        transport = through(port, "user:secret@")
        with pytest.raises(UpstreamFailure) as caught:
            await ask(transport, "https://provider.example/")
        await transport.close()

    assert (caught.value.outcome, caught.value.reason) == (
        Outcome.CONNECT_FAILED,
        f"proxy 127.0.0.1:{port}: {problem}",
    )


async def test_a_proxy_that_is_not_there_is_named() -> None:
    transport = through(1)
    with pytest.raises(UpstreamFailure) as caught:
        await ask(transport, "http://provider.example/")
    await transport.close()

    assert caught.value.reason == "proxy 127.0.0.1:1: connection refused"


async def test_whoever_leaves_while_a_proxy_keeps_silent_leaves_no_socket() -> None:
    reached, ended = asyncio.Event(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reached.set()
        await reader.read()
        ended.set()

    async with listening(mute) as port:
        transport = through(port)
        asking = asyncio.create_task(ask(transport, "https://provider.example/"))
        await reached.wait()
        asking.cancel()
        await ended.wait()
        await asyncio.wait([asking])
        await transport.close()

    assert (asking.cancelled(), only(transport).busy) == (True, 0)


async def test_bytes_that_somebody_puts_into_the_tls_stream_end_it(tmp_path: Path) -> None:
    async def keep_silent(upstream: RawUpstream, _: Any, __: Any) -> None:
        await upstream.release.wait()

    async def meddle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await ScriptedProxy().handle(reader, writer)

    writers: list[asyncio.StreamWriter] = []
    server = AUTHORITY.build_server(tmp_path, "provider.example")
    async with scripted(keep_silent, server) as upstream, listening(meddle) as port:
        transport = through(port)
        tls = TlsSettings(ca=AUTHORITY.pem)
        url = f"https://provider.example:{upstream.port}/"
        asking = asyncio.create_task(ask(transport, url, tls=tls))
        await upstream.reached.wait()
        writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        with pytest.raises(UpstreamFailure, match=r"^TLS failed: ") as caught:
            await asking
        upstream.release.set()
        await transport.close()

    assert caught.value.outcome is Outcome.RESET


async def test_an_excepted_host_is_reached_without_the_proxy() -> None:
    async def look_up(_: str, port: int) -> Sequence[AddrInfoType]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    proxies = Proxies({"http": "http://127.0.0.1:1", "no": ".svc"})
    transport = PooledTransport(proxies=proxies, resolver=Resolver(look_up))
    async with scripted(answering(b"{}")) as upstream:
        got = await ask(transport, f"http://vllm.models.svc:{upstream.port}/")
    await transport.close()

    assert got == Got(200, b"{}")


@pytest.mark.parametrize(
    ("no", "host", "excepted"),
    [
        ("", "api.openai.com", False),
        ("openai.com", "api.openai.com", True),
        (".openai.com", "api.openai.com", True),
        ("openai.com", "notopenai.com", False),
        ("a.example, api.openai.com:443", "api.openai.com", True),
        ("api.openai.com:8443", "api.openai.com", False),
        ("*", "api.openai.com", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8,x", "11.1.2.3", False),
        ("fd00::/8", "fd00::1", True),
        ("10.1.2.3", "10.1.2.3", True),
    ],
)
def test_who_is_excepted(no: str, host: str, excepted: bool) -> None:
    proxies = Proxies({"https": "http://proxy.example:3128", "no": no})

    assert (proxies.choose(Origin("https", host, 443)) is None) == excepted


@pytest.mark.parametrize("host", ["localhost", "vllm.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine_is_never_reached_through_a_proxy(host: str) -> None:
    assert Proxies({"http": "http://proxy.example"}).choose(Origin("http", host, 80)) is None


@pytest.mark.parametrize(
    "host",
    ["metadata.google.internal", "169.254.169.254", "169.254.170.23", "fe80::a9fe:a9fe", "fd00:ec2::23"],
)
def test_what_tells_a_machine_who_it_is_is_never_asked_through_a_proxy(host: str) -> None:
    assert Proxies({"http": "http://proxy.example"}).choose(Origin("http", host, 80)) is None


def test_each_scheme_has_its_own_proxy() -> None:
    proxy = Proxies({"http": "proxy.example:3128"}).choose(Origin("http", "x.example", 80))

    assert proxy is not None
    assert proxy.origin == Origin("http", "proxy.example", 3128)
    assert Proxies({"http": "proxy.example:3128"}).choose(Origin("https", "x.example", 443)) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("socks5://user:secret@proxy.example:1080", "it does not begin with http://"),
        ("https://proxy.example", "it does not begin with http://"),
        ("http://proxy.example:x", "its host or port cannot be read"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_told_and_not_gone_around(url: str, problem: str) -> None:
    transport = PooledTransport(proxies=Proxies({"https": url}))
    with pytest.raises(UpstreamFailure) as caught:
        await ask(transport, "https://provider.example/")
    await transport.close()

    assert (caught.value.outcome, caught.value.reason) == (
        Outcome.CONNECT_FAILED,
        f"HTTPS_PROXY is not the URL of an HTTP proxy: {problem}",
    )


def test_the_environment_is_read_in_both_cases_and_the_lower_one_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://upper.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://upper.example")
    monkeypatch.setenv("https_proxy", "http://lower.example")
    monkeypatch.setenv("NO_PROXY", "excepted.example")
    proxies = Proxies.from_environment()

    def host(scheme: str, host: str) -> str | None:
        proxy = proxies.choose(Origin(scheme, host, 1))
        return proxy and proxy.origin.host

    assert host("http", "a.example") == "upper.example"
    assert host("https", "a.example") == "lower.example"
    assert host("https", "excepted.example") is None
