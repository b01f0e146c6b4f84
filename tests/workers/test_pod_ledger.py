"""A pod's ledger in PostgreSQL: all workers write to it, and its one admin port tells of all tenants."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway_runtime.ledger.place import make_store
from gateway_runtime.ledger.postgres_url import PASSWORD as PASSWORD_VARIABLE
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.server.fake_provider import FakeProvider
from tests.ledger.conftest import postgres as postgres  # a fixture
from tests.ledger.postgres_server import PASSWORD, PostgresServer
from tests.ledger.rows import ask
from tests.server.rig import provider, table
from tests.workers.podrig import serving_pod


def read_rows(place: str) -> list[UsageRow]:
    store = make_store(place, {PASSWORD_VARIABLE: PASSWORD})
    return [row for batch in store.list_rows(ask()) for row in batch]


async def test_a_pods_workers_write_to_postgresql_and_its_admin_port_adds_up(
    tmp_path: Path, fake: FakeProvider, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    place = postgres.make_place("guarded")
    state = tmp_path / "state"
    async with serving_pod(state, table(provider(fake.url)), "--ledger", place) as rig:
        asked = await rig.ask_until_both_served()
        told = await rig.look("/usage?by=tenant&tenant=chat/team")
        said = "\n".join(map(str, rig.events))
    rows = await asyncio.to_thread(read_rows, place)

    assert (told["object"], told["by"]) == ("usage", ["tenant"])
    assert len({row.request_id for row in rows}) == len(rows) == asked
    assert {row.end for row in rows} == {"answered"}
    assert await asyncio.to_thread(os.listdir, state / "ledger-spool") == []
    assert PASSWORD not in said
