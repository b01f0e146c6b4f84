"""`GET /v1/usage`: a tenant's own sums, and nobody else's."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.ledger.query import build_query
from gateway_runtime.ledger.report import build_json, build_report
from gateway_runtime.ledger.sqlite import SqliteStore
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.ledgers import PRICED, count_rows, with_ledger
from tests.server.rig import CHAT, Rig, provider, serving, table, tenant
from tests.upstream.scripted import wait_until

OTHER_KEY = "the-others-key"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


@pytest.fixture
async def rig(path: Path, fake: FakeProvider) -> AsyncIterator[Rig]:
    """Two requests of one tenant stand in its ledger, and one of another."""
    fake.script = FakeScript(answer="one two three")
    other = replace(tenant(key=OTHER_KEY), id=TenantId("chat/z-other"), uid="uid-other")
    made = table(provider(fake.url, models=[PRICED]), tenants=[tenant(), other])
    async with serving(made, with_ledger(path)) as rig:
        await rig.ask({**CHAT, "user": "alice"})
        await rig.ask()
        await rig.ask(key=OTHER_KEY)
        await wait_until(lambda: count_rows(path) == 3)
        yield rig


async def look(rig: Rig, query: str = "", **options: Any) -> Any:
    return await rig.ask(method="GET", path=f"/v1/usage{query}", **options)


async def test_a_tenant_sees_its_own_sums_alone(rig: Rig) -> None:
    mine, others = await look(rig, "?by=tenant,user"), await look(rig, "?by=tenant", key=OTHER_KEY)

    assert mine.status == 200
    assert mine.headers["content-type"] == "application/json"
    assert [(one["tenant"], one["user"], one["requests"], one["cost_usd"]) for one in mine.json["data"]] == [
        ("chat/team", None, 1, "0.00000195"),
        ("chat/team", "alice", 1, "0.00000195"),
    ]
    assert mine.json["total"]["cost_usd"] == "0.0000039"
    assert [(one["tenant"], one["requests"]) for one in others.json["data"]] == [("chat/z-other", 1)]


async def test_it_is_what_the_ledger_says_to_anyone_who_asks_the_same(rig: Rig, path: Path) -> None:
    answer = await look(rig, "?by=model,day&by=provider&since=2020-01-01&until=2100-01-01")
    query = build_query(["model,day,provider"], "2020-01-01", "2100-01-01", "chat/team", 0.0)

    assert answer.json == build_json(build_report(query, SqliteStore(path).sum_usage(query)))


async def test_another_tenant_cannot_be_asked_for(rig: Rig) -> None:
    answer = await look(rig, "?tenant=chat/z-other")

    assert answer.status == 400
    assert answer.error["message"] == (
        "/v1/usage takes no query parameter `tenant` here. Those that pass: by, since, until."
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?by=colour", 'Sums cannot be made by "colour".'),
        ("?since=soon", '"soon" is no time'),
        ("?since=1d&until=2d", "`until` is not after `since`"),
    ],
)
async def test_a_question_that_makes_no_sense_is_told_what_does(rig: Rig, query: str, message: str) -> None:
    answer = await look(rig, query)

    assert (answer.status, answer.error["headgate"]) == (400, "HG1004")
    assert answer.error["message"].startswith(message)


async def test_without_a_key_and_with_a_wrong_one_nothing_is_told(rig: Rig) -> None:
    assert [(await look(rig, key=key)).status for key in (None, "wrong")] == [401, 401]


async def test_nothing_but_get_is_answered(rig: Rig) -> None:
    answer = await rig.ask(path="/v1/usage")

    assert (answer.status, answer.headers["allow"]) == (405, "GET")


async def test_a_ledger_that_is_gone_is_told_without_its_path(rig: Rig, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    answer = await look(rig)

    assert (answer.status, answer.error["headgate"]) == (503, "HG1030")
    assert answer.error["message"] == (
        "The ledger cannot be read now; requests are served all the same. Ask again later, or whoever runs "
        "this gateway: its log has the reason."
    )


async def test_a_gateway_without_a_ledger_says_which_has_one(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await look(rig)
        stranger = await look(rig, key="wrong")

    assert answer.status == 404
    assert answer.error["message"] == (
        "This gateway keeps no ledger. `headgate up` does, and `headgate gateway --ledger PATH`; "
        "/v1/usage is there then."
    )
    assert stranger.status == 401


async def test_on_the_admin_port_are_all_tenants_or_the_one_that_is_named(rig: Rig) -> None:
    everybody = (await rig.look("/usage?by=tenant")).json
    one = (await rig.look("/usage?by=user&tenant=chat/team")).json

    assert [(one["tenant"], one["requests"]) for one in everybody["data"]] == [
        ("chat/team", 2),
        ("chat/z-other", 1),
    ]
    assert [(one["user"], one["requests"]) for one in one["data"]] == [(None, 1), ("alice", 1)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?by=colour", 'Sums cannot be made by "colour".'),
        (
            "?colour=red",
            "/usage takes no query parameter `colour` here. Those that pass: by, since, until, tenant.",
        ),
    ],
)
async def test_the_admin_port_says_what_is_wrong_with_a_question(rig: Rig, query: str, message: str) -> None:
    answer = await rig.look(f"/usage{query}")

    assert answer.status == 400
    assert answer.json["error"].startswith(message)


async def test_the_admin_port_of_a_gateway_without_a_ledger_says_so(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.look("/usage")

    assert answer.status == 404
    assert answer.json["error"].startswith("This gateway keeps no ledger.")
