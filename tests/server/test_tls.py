"""TLS on the front: certificates that change while requests run, and files that do not make sense."""

import asyncio
import dataclasses
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.main import Gateway
from gateway_runtime.server.settings import TlsFiles
from gateway_runtime.server.tls import FrontTls, UnusableCertificate, build_context
from tests.server.certificates import Authority
from tests.server.rig import CHAT, KEY, Rig, provider, read_head, serving, settings, table


class Caller:
    """One TLS connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def server(self) -> str:
        """The name in the certificate that the gateway has shown."""
        subject = self._writer.get_extra_info("peercert")["subject"]
        return str(dict(field[0] for field in subject)["commonName"])

    @property
    def protocol(self) -> str | None:
        connection: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return connection.selected_alpn_protocol()

    async def ask(self, method: str = "POST", path: str = "/v1/chat/completions") -> bytes:
        """Returns the status line."""
        body = json.dumps(CHAT).encode() if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        return (await read_head(self._reader)).split(b"\r\n")[0]

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def calling(port: int, trusted: Authority, identity: TlsFiles | None = None) -> AsyncIterator[Caller]:
    context = ssl.create_default_context(cafile=trusted.path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    caller = Caller(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
    try:
        yield caller
    finally:
        await caller.close()


@asynccontextmanager
async def serving_tls(fake: FakeProvider, files: TlsFiles) -> AsyncIterator[Rig]:
    async with serving(table(provider(fake.url)), dataclasses.replace(settings(), tls=files)) as rig:
        yield rig


async def find_server(port: int, trusted: Authority) -> str:
    async with calling(port, trusted) as caller:
        return caller.server


async def test_callers_are_served_over_tls_on_both_ways_through_the_front(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(tmp_path / "secret", "gateway")
    async with serving_tls(fake, files) as rig, calling(rig.gateway.port, authority) as caller:
        statuses = [await caller.ask(), await caller.ask("GET", "/v1/models"), await caller.ask()]

        assert (caller.server, caller.protocol) == ("gateway", "http/1.1")
    assert statuses == [b"HTTP/1.1 200 OK"] * 3


def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    context = build_context(Authority(tmp_path).issue(tmp_path / "secret", "gateway"))

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_new_connections_see_a_new_certificate_and_old_ones_never_notice(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(tmp_path / "secret", "first")
    async with serving_tls(fake, files) as rig, calling(rig.gateway.port, authority) as old:
        await old.ask()
        authority.issue(tmp_path / "secret", "second")
        with capture_logs() as logs:
            rig.gateway.reread_certificate()
            rig.gateway.reread_certificate()
        server = await find_server(rig.gateway.port, authority)
        status = await old.ask()

    assert (server, status) == ("second", b"HTTP/1.1 200 OK")
    assert [line["event"] for line in logs] == ["certificate taken"]


async def test_a_secret_that_kubernetes_swaps_by_a_symlink_is_noticed(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority = Authority(tmp_path)
    for name in ("first", "second"):
        authority.issue(tmp_path / name, name)
    (tmp_path / "..data").symlink_to("first")
    files = TlsFiles(tmp_path / "..data" / "tls.crt", tmp_path / "..data" / "tls.key")
    async with serving_tls(fake, files) as rig:
        (tmp_path / "new").symlink_to("second")
        (tmp_path / "new").rename(tmp_path / "..data")
        rig.gateway.reread_certificate()
        server = await find_server(rig.gateway.port, authority)

    assert server == "second"


async def test_files_that_change_are_noticed_without_being_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = FrontTls(authority.issue(tmp_path / "secret", "first"))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls.context)
    port = server.sockets[0].getsockname()[1]
    looking = asyncio.create_task(tls.run(every_s=0.001))
    before = await find_server(port, authority)
    authority.issue(tmp_path / "secret", "second")
    async with asyncio.timeout(10):
        while (after := await find_server(port, authority)) == "first":
            pass
    looking.cancel()
    server.close()

    assert (before, after) == ("first", "second")


async def test_a_pair_that_does_not_match_is_refused_in_one_line_until_it_is_mended(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(tmp_path / "secret", "first")
    other = authority.issue(tmp_path / "other", "second")
    async with serving_tls(fake, files) as rig:
        shutil.copy(other.certificate, files.certificate)
        with capture_logs() as logs:
            rig.gateway.reread_certificate()
            rig.gateway.reread_certificate()
        during = await find_server(rig.gateway.port, authority)
        shutil.copy(other.key, files.key)
        rig.gateway.reread_certificate()
        after = await find_server(rig.gateway.port, authority)

    assert logs == [
        {
            "event": "certificate refused, the one before serves on",
            "reason": f"--tls-key {files.key} does not belong to --tls-cert {files.certificate}: "
            "give the two files of one Secret",
            "log_level": "warning",
        }
    ]
    assert (during, after) == ("first", "second")


async def test_a_file_that_is_gone_for_a_moment_is_refused_as_well(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(tmp_path / "secret", "first")
    async with serving_tls(fake, files) as rig:
        files.key.unlink()
        with capture_logs() as logs:
            rig.gateway.reread_certificate()
        server = await find_server(rig.gateway.port, authority)

    assert [line["log_level"] for line in logs] == ["warning"]
    assert server == "first"


async def test_only_callers_of_the_given_authority_get_in(tmp_path: Path, fake: FakeProvider) -> None:
    authority = Authority(tmp_path)
    callers, strangers = Authority(tmp_path, "callers"), Authority(tmp_path, "strangers")
    files = authority.issue(tmp_path / "secret", "gateway")
    files = dataclasses.replace(files, client_authority=callers.path)
    known = callers.issue(tmp_path / "known", "team")
    unknown = strangers.issue(tmp_path / "unknown", "stranger")
    async with serving_tls(fake, files) as rig:
        async with calling(rig.gateway.port, authority, known) as caller:
            status = await caller.ask()
        for identity in (unknown, None):
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                async with calling(rig.gateway.port, authority, identity) as caller:
                    await caller.ask()

    assert status == b"HTTP/1.1 200 OK"


async def test_a_new_authority_for_callers_holds_from_the_next_connection(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority = Authority(tmp_path)
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    client_ca = Path(shutil.copy(old.path, tmp_path / "ca.crt"))
    files = dataclasses.replace(authority.issue(tmp_path / "secret", "gateway"), client_authority=client_ca)
    known, late = old.issue(tmp_path / "known", "team"), new.issue(tmp_path / "late", "team")
    async with serving_tls(fake, files) as rig:
        shutil.copy(new.path, client_ca)
        rig.gateway.reread_certificate()
        async with calling(rig.gateway.port, authority, late) as caller:
            status = await caller.ask()
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            async with calling(rig.gateway.port, authority, known) as caller:
                await caller.ask()

    assert status == b"HTTP/1.1 200 OK"


def spoil(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "certificate",
            None,
            "--tls-cert {certificate} cannot be read (No such file or directory): "
            "give the path of a PEM file that this process may read",
        ),
        (
            "key",
            None,
            "--tls-key {key} cannot be read (No such file or directory): "
            "give the path of a PEM file that this process may read",
        ),
        (
            "certificate",
            b"hello",
            "--tls-cert {certificate} holds no certificate in PEM: "
            "give the chain, the server's certificate first",
        ),
        (
            "key",
            b"-----BEGIN PRIVATE KEY-----\nMIG",
            "--tls-cert {certificate} and --tls-key {key} do not load: "
            "both must be whole PEM files, the key without a passphrase",
        ),
        (
            "client_authority",
            b"hello",
            "--tls-client-ca {client_authority} holds no certificate in PEM: "
            "give the authority that signs your callers' certificates",
        ),
    ],
)
async def test_a_file_that_is_no_use_at_the_start_is_named_with_the_remedy(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(tmp_path / "secret", "gateway")
    files = dataclasses.replace(files, client_authority=authority.path)
    spoil(getattr(files, name), content)
    gateway = Gateway(dataclasses.replace(settings(), tls=files))

    with pytest.raises(UnusableCertificate) as caught:
        await gateway.start()

    assert str(caught.value) == message.format(
        certificate=files.certificate, key=files.key, client_authority=files.client_authority
    )


def test_a_key_with_a_passphrase_is_refused_instead_of_asked_for(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue(tmp_path / "secret", "gateway", passphrase=b"secret")

    with pytest.raises(UnusableCertificate, match="the key without a passphrase"):
        build_context(files)


async def test_a_caller_without_tls_gets_no_answer_and_harms_nobody(
    tmp_path: Path, fake: FakeProvider
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(tmp_path / "secret", "gateway")
    async with serving_tls(fake, files) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await reader.read()
        writer.close()
        async with calling(rig.gateway.port, authority) as caller:
            status = await caller.ask()

    assert (answer[:1] in (b"", b"\x15"), status) == (True, b"HTTP/1.1 200 OK")  # at most a TLS alert
