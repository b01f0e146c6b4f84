"""The authority's Secrets, shared by replicas, and the TLS context of a server that never stops."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator

import pytest

from headgate_operator.kube import MalformedSecret, Unreachable
from headgate_operator.publish.authority import (
    AUTHORITY_LIFE,
    SERVING_LIFE,
    parse_authority,
    rotate_authority,
)
from headgate_operator.publish.certificates import Certificates
from tests.shell.publish.conftest import SETTINGS
from tests.shell.publish.fakes import FakeKube

# TLS itself reads the machine's clock, so a test on virtual time begins in the past and ends about now.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
ONE_DAY = dt.timedelta(days=1)


class Replica:
    """One operator's certificates and a server that listens with them and answers each line."""

    def __init__(self, kube: FakeKube, now: dt.datetime) -> None:
        self.now = now
        self.certificates = Certificates(kube, SETTINGS, lambda: self.now)
        self.server: asyncio.Server | None = None

    async def listen(self) -> None:
        self.server = await asyncio.start_server(_echo, "127.0.0.1", 0, ssl=self.certificates.context)

    async def connect(self, bundle: bytes) -> "Connection":
        """As a gateway that trusts `bundle`. Raises ssl.SSLCertVerificationError."""
        assert self.server is not None
        trust = ssl.create_default_context(cadata=bundle.decode())
        port = self.server.sockets[0].getsockname()[1]
        return Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=trust))


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @property
    def serial(self) -> str:
        return str(self.writer.get_extra_info("peercert")["serialNumber"])

    async def echo(self, line: bytes) -> bytes:
        self.writer.write(line + b"\n")
        return (await self.reader.readline()).rstrip()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


@pytest.fixture
async def replica(kube: FakeKube) -> AsyncIterator[Replica]:
    replica = Replica(kube, NOW)
    yield replica
    if replica.server is not None:
        replica.server.close()
        await replica.server.wait_closed()


def bundle_of(kube: FakeKube) -> bytes:
    return kube.secrets["headgate-ca-bundle"].data["ca.crt"]


async def test_what_gateways_mount_holds_the_certificates_and_no_key(
    kube: FakeKube, replica: Replica
) -> None:
    await replica.certificates.refresh()

    assert kube.secrets["headgate-ca-bundle"].data == {"ca.crt": kube.secrets["headgate-ca"].data["ca.crt"]}
    assert set(kube.secrets["headgate-ca"].data) == {"ca.crt", "ca.key"}


async def test_replicas_that_start_together_share_one_authority(kube: FakeKube, replica: Replica) -> None:
    other = Replica(kube, NOW)

    await asyncio.gather(replica.certificates.refresh(), other.certificates.refresh())
    await replica.listen()
    await (await replica.connect(bundle_of(kube))).close()

    assert bundle_of(kube) == kube.secrets["headgate-ca"].data["ca.crt"]
    assert kube.writes == ["headgate-ca", "headgate-ca-bundle"]


async def test_at_rest_nothing_is_written(kube: FakeKube, replica: Replica) -> None:
    await replica.certificates.refresh()
    kube.writes.clear()

    await replica.certificates.refresh()

    assert kube.writes == []


async def test_a_deleted_bundle_comes_back(kube: FakeKube, replica: Replica) -> None:
    await replica.certificates.refresh()
    before = bundle_of(kube)
    await kube.delete_secret("", "headgate-ca-bundle")

    await replica.certificates.refresh()

    assert bundle_of(kube) == before


async def test_a_replica_that_loses_the_race_to_rotate_takes_the_winners_authority(
    kube: FakeKube, replica: Replica
) -> None:
    replica.now = NOW - AUTHORITY_LIFE * 3 / 4
    await replica.certificates.refresh()
    replica.now = NOW

    def rotate_first(name: str) -> None:
        kube.before_write = lambda name: None
        data = kube.secrets["headgate-ca"].data
        rotated = rotate_authority(parse_authority(data["ca.crt"], data["ca.key"]), NOW)
        kube.put("headgate-ca", {"ca.crt": rotated.bundle, "ca.key": rotated.keys})

    kube.before_write = rotate_first
    await replica.certificates.refresh()

    assert bundle_of(kube).count(b"BEGIN") == 2
    assert bundle_of(kube) == kube.secrets["headgate-ca"].data["ca.crt"]


async def test_during_the_overlap_gateways_with_the_old_and_with_the_new_bundle_connect(
    kube: FakeKube, replica: Replica
) -> None:
    replica.now = NOW - AUTHORITY_LIFE * 3 / 4
    await replica.certificates.refresh()
    old_bundle = bundle_of(kube)
    replica.now = NOW
    await replica.certificates.refresh()
    await replica.listen()

    connections = [await replica.connect(old_bundle), await replica.connect(bundle_of(kube))]

    assert bundle_of(kube).startswith(old_bundle)
    assert bundle_of(kube) != old_bundle
    assert [await connection.echo(b"hello") for connection in connections] == [b"hello", b"hello"]
    for connection in connections:
        await connection.close()


async def test_after_the_handover_a_gateway_that_mounted_the_bundle_months_ago_connects(
    kube: FakeKube, replica: Replica
) -> None:
    replica.now = NOW - AUTHORITY_LIFE + ONE_DAY
    await replica.certificates.refresh()
    replica.now = NOW - SERVING_LIFE
    await replica.certificates.refresh()
    mounted = bundle_of(kube)
    replica.now = NOW
    await replica.certificates.refresh()
    await replica.listen()

    connection = await replica.connect(mounted)

    assert connection.writer.get_extra_info("peercert")["issuer"] == _subject_of_last(mounted)
    await connection.close()


def _subject_of_last(bundle: bytes) -> object:
    context = ssl.create_default_context(cadata=bundle.decode())
    newest = max(context.get_ca_certs(), key=lambda found: ssl.cert_time_to_seconds(str(found["notAfter"])))
    return newest["subject"]


async def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_live_on(
    kube: FakeKube, replica: Replica
) -> None:
    replica.now = NOW - SERVING_LIFE * 3 / 4
    await replica.certificates.refresh()
    await replica.listen()
    before = await replica.connect(bundle_of(kube))
    replica.now = NOW
    await replica.certificates.refresh()
    after = await replica.connect(bundle_of(kube))

    assert before.serial != after.serial
    assert await before.echo(b"still here") == b"still here"
    await before.close()
    await after.close()


async def test_a_gateway_that_trusts_another_authority_does_not_connect(
    kube: FakeKube, replica: Replica
) -> None:
    await replica.certificates.refresh()
    await replica.listen()
    elsewhere = FakeKube()
    await Replica(elsewhere, NOW).certificates.refresh()

    with pytest.raises(ssl.SSLCertVerificationError):
        await replica.connect(bundle_of(elsewhere))


async def test_an_edited_authority_is_named_with_the_way_out(kube: FakeKube, replica: Replica) -> None:
    kube.put("headgate-ca", {"ca.crt": b"nothing"})

    with pytest.raises(MalformedSecret) as caught:
        await replica.certificates.refresh()

    assert str(caught.value) == (
        "Secret headgate-system/headgate-ca: ca.crt and ca.key are not as many certificates as EC keys. "
        "Put back what it held, or delete it: the operator then makes a new authority, and gateways connect "
        "once they have mounted its bundle"
    )


async def test_without_an_api_server_the_running_certificate_stays(kube: FakeKube, replica: Replica) -> None:
    await replica.certificates.refresh()
    await replica.listen()
    bundle = bundle_of(kube)
    kube.down = True

    with pytest.raises(Unreachable):
        await replica.certificates.refresh()

    await (await replica.connect(bundle)).close()
