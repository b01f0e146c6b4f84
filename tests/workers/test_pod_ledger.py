"""A pod's ledger in PostgreSQL: all workers write to it, and the pod's one admin port tells of all tenants."""

from pathlib import Path

import pytest

from gateway_runtime.ledger.place import make_store
from gateway_runtime.ledger.postgres_url import PASSWORD as PASSWORD_VARIABLE
from gateway_runtime.server.fake_provider import FakeProvider
from tests.ledger.conftest import postgres as postgres  # a fixture
from tests.ledger.postgres_server import PASSWORD, PostgresServer
from tests.ledger.rows import ask
from tests.server.rig import provider, table
from tests.workers.podrig import serving_pod


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
    rows = [
        row for batch in make_store(place, {PASSWORD_VARIABLE: PASSWORD}).list_rows(ask()) for row in batch
    ]

    assert told["object"] == "usage"
    assert told["by"] == ["tenant"]
    assert len({row.request_id for row in rows}) == len(rows) == asked
    assert {row.end for row in rows} == {"answered"}
    assert list((state / "ledger-spool").iterdir()) == []
    assert PASSWORD not in said
