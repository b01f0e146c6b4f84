"""The config stream, against a scripted operator behind real TLS."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway_runtime.contract.codec import SCHEMA_VERSION, build_snapshot
from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.stream import Ack, Fault, Hello, Nack, Share, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.settings import GatewaySettings
from tests.server.operatorend import OperatorEnd, build_deltas, issue_certificate, operator_end
from tests.server.rig import CIRCUIT, DEAD_URL, Rig, provider, route, serving, settings, table, tenant


def wire(folder: Path, *urls: str, state_dir: Path | None = None) -> GatewaySettings:
    (folder / "token").write_text("token-1\n")
    return settings(
        operator_urls=urls,
        operator_ca_file=folder / "ca.pem",
        token_file=folder / "token",
        state_dir=state_dir,
    )


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[Rig, OperatorEnd]]:
    async with (
        operator_end(issue_certificate(folder)) as end,
        serving(chosen=wire(folder, end.url)) as rig,
    ):
        await end.hear(Hello)
        yield rig, end


async def give(end: OperatorEnd, *deltas: object) -> Ack | Nack:
    for delta in deltas:
        await end.say(delta)  # type: ignore[arg-type]
    return await end.hear((Ack, Nack))  # type: ignore[arg-type]


async def test_a_fresh_gateway_greets_and_is_ready_with_its_first_table(
    tmp_path: Path, fake: FakeProvider
) -> None:
    first = table(provider(fake.url))
    async with (
        operator_end(issue_certificate(tmp_path)) as end,
        serving(chosen=wire(tmp_path, end.url)) as rig,
    ):
        hello = await end.hear(Hello)
        before = await rig.look("/readyz")
        answer = await give(end, *build_deltas(first, Version(3, 1)))
        after = await rig.look("/readyz")
        completion = await rig.ask()

    assert (hello.gateway, hello.schema_version) == ("gateway-0", SCHEMA_VERSION)
    assert (hello.version, hello.bucket_digests) == (None, ())
    assert (before.status, before.json) == (503, {"ready": False, "reason": "no routing table yet"})
    assert answer == Ack(version=Version(3, 1), digest=build_snapshot(first).digest)
    assert after.status == 200
    assert completion.status == 200


async def test_a_table_in_parts_is_applied_when_the_last_has_come(tmp_path: Path, fake: FakeProvider) -> None:
    many = table(provider(fake.url), routes=[route(f"m{i}", name=f"r{i}") for i in range(50)])
    async with connected(tmp_path) as (rig, end):
        parts = build_deltas(many, Version(1, 1), parts=3)
        answer = await give(end, parts[2], parts[0], parts[1])
        completion = await rig.ask({"model": "m49"})

    assert isinstance(answer, Ack)
    assert completion.status == 200


async def test_parts_of_a_version_that_was_replaced_are_forgotten(tmp_path: Path, fake: FakeProvider) -> None:
    old = build_deltas(table(provider(DEAD_URL)), Version(1, 1), parts=2)
    new = build_deltas(table(provider(fake.url)), Version(1, 2), parts=2)
    async with connected(tmp_path) as (rig, end):
        answer = await give(end, old[0], *new)
        completion = await rig.ask()

    assert answer.version == Version(1, 2)
    assert completion.status == 200


async def test_an_edit_sends_only_what_changed(tmp_path: Path, fake: FakeProvider) -> None:
    first, second = table(provider(DEAD_URL)), table(provider(fake.url))
    have = [bucket.digest for bucket in build_snapshot(first).buckets]
    async with connected(tmp_path) as (rig, end):
        await give(end, *build_deltas(first, Version(1, 1)))
        (edit,) = build_deltas(second, Version(1, 2), have)
        answer = await give(end, edit)
        completion = await rig.ask()

    assert len(edit.buckets) == 1
    assert isinstance(answer, Ack)
    assert completion.status == 200


async def test_an_older_version_is_refused_and_changes_nothing(tmp_path: Path, fake: FakeProvider) -> None:
    async with connected(tmp_path) as (rig, end):
        await give(end, *build_deltas(table(provider(fake.url)), Version(2, 1)))
        answer = await give(end, *build_deltas(table(provider(DEAD_URL)), Version(1, 9)))
        completion = await rig.ask()

    assert answer == Nack(
        version=Version(1, 9),
        faults=(Fault(resource="", message="version 1.9 is not newer than 2.1, which is running"),),
    )
    assert completion.status == 200


async def test_an_empty_table_is_refused_unless_it_is_meant(tmp_path: Path, fake: FakeProvider) -> None:
    empty = RoutingTable(installation=table().installation)
    async with connected(tmp_path) as (rig, end):
        await give(end, *build_deltas(table(provider(fake.url)), Version(1, 1)))
        refused = await give(end, *build_deltas(empty, Version(1, 2)))
        served = await rig.ask()
        meant = await give(end, *build_deltas(empty, Version(1, 3), shrink_confirmed=True))
        unserved = await rig.ask()

    assert isinstance(refused, Nack)
    assert refused.faults[0].message == (
        "version 1.2 has 0 providers where 1 are running, and the operator did not confirm the loss"
    )
    assert served.status == 200
    assert isinstance(meant, Ack)
    assert unserved.status == 401


async def test_a_table_that_cannot_be_served_names_its_resource(tmp_path: Path, fake: FakeProvider) -> None:
    broken = table(provider("ftp://example.com"), provider(name="azure"), routes=[route(max_attempts=0)])
    async with connected(tmp_path) as (rig, end):
        await give(end, *build_deltas(table(provider(fake.url)), Version(1, 1)))
        answer = await give(end, *build_deltas(broken, Version(1, 2)))
        completion = await rig.ask()
        metrics = (await rig.look("/metrics")).body.decode()

    assert isinstance(answer, Nack)
    assert [(fault.resource, fault.message) for fault in answer.faults] == [
        ("Provider/chat/azure", "the provider has no endpoint"),
        (
            "Provider/chat/openai",
            'the URL "ftp://example.com" of endpoint chat/openai/e0 is not http://host/… or https://host/…',
        ),
        ("Route/chat/route", "retry.max_attempts is 0; a request needs at least 1"),
    ]
    assert completion.status == 200
    assert "headgate_tables_refused_total 1.0" in metrics


async def test_a_delta_that_does_not_add_up_makes_the_gateway_ask_for_everything(
    tmp_path: Path, fake: FakeProvider
) -> None:
    first, second = table(provider(fake.url)), table(provider(fake.url), provider(DEAD_URL, name="azure"))
    async with connected(tmp_path) as (_, end):
        await give(end, *build_deltas(first, Version(1, 1)))
        (edit,) = build_deltas(second, Version(1, 2), [b.digest for b in build_snapshot(first).buckets])
        await end.say(msgspec.structs.replace(edit, digest="0" * 64))
        hello = await end.hear(Hello)
        answer = await give(end, *build_deltas(second, Version(1, 2)))

    assert (hello.version, hello.bucket_digests) == (Version(1, 1), ())
    assert isinstance(answer, Ack)


async def test_a_whole_table_that_does_not_add_up_is_refused(tmp_path: Path) -> None:
    first = table(provider(DEAD_URL))
    found = build_snapshot(first).digest[:12]
    async with connected(tmp_path) as (_, end):
        answer = await give(end, *build_deltas(first, Version(1, 1), digest="0" * 64))

    assert answer == Nack(
        version=Version(1, 1),
        faults=(
            Fault(resource="", message=f"the version says digest 000000000000, its content has {found}"),
        ),
    )


async def test_a_gateway_that_dials_again_tells_what_it_has(tmp_path: Path, fake: FakeProvider) -> None:
    first = table(provider(fake.url))
    async with connected(tmp_path) as (_, end):
        await give(end, *build_deltas(first, Version(1, 1)))
        await end.hang_up()
        hello = await end.hear(Hello)

    assert hello.version == Version(1, 1)
    assert hello.bucket_digests == tuple(bucket.digest for bucket in build_snapshot(first).buckets)


async def test_a_frame_that_makes_no_sense_ends_the_connection_and_not_the_traffic(
    tmp_path: Path, fake: FakeProvider
) -> None:
    async with connected(tmp_path) as (rig, end):
        await give(end, *build_deltas(table(provider(fake.url)), Version(1, 1)))
        await end.say_text('{"type":"Surprise"}')
        hello = await end.hear(Hello)
        completion = await rig.ask()

    assert hello.version == Version(1, 1)
    assert completion.status == 200


async def test_a_follower_is_passed_over_for_the_leader(tmp_path: Path, fake: FakeProvider) -> None:
    context = issue_certificate(tmp_path)
    async with operator_end(context) as follower, operator_end(context) as leader:
        follower.leading = False
        async with serving(chosen=wire(tmp_path, follower.url, leader.url)) as rig:
            await leader.hear(Hello)
            connected_to_leader = (await rig.look("/metrics")).body.decode()

    assert follower.dials == 1
    assert "headgate_config_stream_connected 1.0" in connected_to_leader


async def test_an_operator_that_turns_the_gateway_away_is_dialled_ever_more_slowly(tmp_path: Path) -> None:
    async with operator_end(issue_certificate(tmp_path)) as end:
        end.turning_away = True
        started = time.monotonic()
        async with serving(chosen=wire(tmp_path, end.url)):
            for _ in range(4):
                await end.hear(Hello)

    assert time.monotonic() - started > 0.1 + 0.2 + 0.4


async def test_a_rotated_authority_and_token_are_read_with_the_next_dial(tmp_path: Path) -> None:
    async with (
        operator_end(issue_certificate(tmp_path)) as old,
        operator_end(issue_certificate(tmp_path), token="token-2") as new,
    ):
        chosen = wire(tmp_path, old.url, new.url)
        (tmp_path / "token").write_text("token-2")
        async with serving(chosen=chosen):
            hello = await new.hear(Hello)

    assert old.dials == 0  # its certificate is of an authority that is not trusted any more
    assert hello.version is None


async def test_a_dead_operator_does_not_keep_a_gateway_from_its_saved_table(
    tmp_path: Path, fake: FakeProvider
) -> None:
    issue_certificate(tmp_path)
    chosen = wire(tmp_path, "https://127.0.0.1:1", state_dir=tmp_path / "state")
    async with serving(table(provider(fake.url)), chosen):
        pass
    async with serving(chosen=chosen) as rig:
        completion = await rig.ask()

    assert completion.status == 200


async def test_health_is_told_whole_first_and_changes_at_once(tmp_path: Path) -> None:
    fragile = msgspec.structs.replace(CIRCUIT, consecutive_failures=1)
    async with connected(tmp_path) as (rig, end):
        await give(end, *build_deltas(table(provider(DEAD_URL, circuit=fragile)), Version(1, 1)))
        whole = await end.hear(HealthReport)
        while not whole.endpoints:
            whole = await end.hear(HealthReport)
        await rig.ask()
        change = await end.hear(HealthReport)
        while change.full:
            change = await end.hear(HealthReport)

    (before,), (after,) = whole.endpoints, change.endpoints
    assert (before.endpoint, before.circuit, before.health) == ("chat/openai/e0", "Closed", "Unknown")
    assert (after.circuit, after.reason) == ("Open", "1 failures in a row, last: connection refused")
    assert (after.requests, after.failures) == (1, 1)
    assert change.sequence > whole.sequence


async def test_a_share_of_the_limits_is_obeyed_at_once(tmp_path: Path, fake: FakeProvider) -> None:
    limited = tenant(limits=[Limit(name="rpm", amount=3, window_s=60)])
    async with connected(tmp_path) as (rig, end):
        await end.say(Share(index=1, gateways=2))
        await give(end, *build_deltas(table(provider(fake.url), tenants=[limited]), Version(1, 1)))
        statuses = [(await rig.ask()).status for _ in range(2)]

    assert statuses == [200, 429]


@pytest.mark.parametrize("content", ["", "not a certificate"])
async def test_an_authority_that_cannot_be_read_costs_no_traffic(
    tmp_path: Path, fake: FakeProvider, content: str
) -> None:
    async with operator_end(issue_certificate(tmp_path)) as end:
        (tmp_path / "ca.pem").write_text(content)
        async with serving(table(provider(fake.url)), wire(tmp_path, end.url)) as rig:
            completion = await rig.ask()

    assert completion.status == 200
    assert end.dials == 0
