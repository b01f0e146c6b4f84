"""The operator dies: a second replica takes over, then none is left for twice its Lease. Neither traffic nor
status notice.
"""

import asyncio
import base64
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.load import Callers
from tests.e2e.manifests import provider, quota, route
from tests.e2e.processes import wait_until
from tests.e2e.system import OWN_NAMESPACE, Gateway, Operator, Provider, System

pytestmark = [pytest.mark.kube, pytest.mark.e2e, pytest.mark.timeout(400)]

KEY = "sk-away-2c1e"
AWAY_S = 25.0
OBJECTS = (("llmprovider", "local"), ("modelroute", "chat"), ("tenantquota", "team"))


def test_the_operator_may_die_and_stay_away_and_nobody_notices(system: System) -> None:
    lease = ("--lease-duration", "12")
    fake = Provider(system, "fake")
    leader, follower, late = (Operator(system, f"operator-{i}", *lease) for i in range(3))
    urls = tuple(operator.stream_url for operator in (leader, follower, late))
    with fake, leader, ExitStack() as cleanup:
        cleanup.callback(late.kill)
        leader.wait_leading()
        system.fetch_ca()
        with (
            follower,
            Gateway(system, "gateway-0", urls) as steady,
            Gateway(system, "gateway-1", urls) as moved,
        ):
            system.cluster.apply(
                "".join((provider("local", fake.url), route("chat", "local"), quota("team", KEY)))
            )
            for kind, name in OBJECTS:
                system.wait_condition(kind, name, "default")
                system.wait_gateways(kind, name, "default", "2/2")
            for gateway in (steady, moved):
                gateway.wait_routing("default/chat")
            before = _transitions(system)
            bootstrap = _mount_bootstrap(system, steady.table()["digest"])

            tally = asyncio.run(_outage(system, steady, moved, leader, follower, late, bootstrap))

            assert tally.tally.first_failures == []
            assert tally.tally.completions > 100
            assert _transitions(system) == before
            for kind, name in OBJECTS:
                system.wait_gateways(kind, name, "default", "2/2")
            _edit_goes_live(system, steady, moved)


async def _outage(
    system: System,
    steady: Gateway,
    moved: Gateway,
    leader: Operator,
    follower: Operator,
    late: Operator,
    bootstrap: Path,
) -> Callers:
    """Traffic on the steady gateway from beginning to end; the rest happens meanwhile, in a thread."""
    callers = Callers([steady.url], KEY, clients=8)

    def events() -> None:
        leader.kill()
        follower.wait_leading()
        wait_until(
            lambda: _connected(follower) == 2, "both gateways follow the new leader", explain=follower.tail
        )
        follower.kill()
        began = time.monotonic()
        _restart_from_disk(moved)
        _start_from_bootstrap(system, bootstrap)
        wait_until(
            lambda: time.monotonic() - began > AWAY_S, "the operator is away for twice its lease", AWAY_S + 5
        )
        assert all(_ready(system, kind, name) == "True" for kind, name in OBJECTS)
        late.start()
        late.wait_leading()
        wait_until(lambda: _connected(late) == 2, "both gateways follow the late operator", explain=late.tail)

    async with asyncio.TaskGroup() as group:
        calling = group.create_task(callers.run())
        try:
            await asyncio.to_thread(events)
        finally:
            callers.stop()
            await calling
    return callers


def _restart_from_disk(gateway: Gateway) -> None:
    """SIGTERM and start: without any operator it serves what it served."""
    digest = gateway.table()["digest"]
    assert gateway.stop() == 0
    gateway.start()
    gateway.wait_serving()
    assert gateway.table()["digest"] == digest
    _serve_some(gateway)


def _start_from_bootstrap(system: System, bootstrap: Path) -> None:
    """A new pod, with an empty disk and no operator to ask."""
    with Gateway(system, "gateway-2", ("https://127.0.0.1:9",), "--bootstrap-dir", str(bootstrap)) as fresh:
        fresh.wait_serving()
        _serve_some(fresh)
        assert fresh.stop() == 0


def _serve_some(gateway: Gateway) -> None:
    callers = Callers([gateway.url], KEY, clients=2)
    asyncio.run(callers.run(50))
    assert callers.tally.first_failures == []


def _mount_bootstrap(system: System, digest: str) -> Path:
    """What the kubelet does with the bootstrap Secrets, once they hold the table that is live."""
    folder = system.folder / "bootstrap"
    folder.mkdir()

    def written() -> bool:
        listed = json.loads(
            system.cluster.kubectl("get", "secrets", "-n", OWN_NAMESPACE, "-o", "json").stdout
        )
        parts = [s for s in listed["items"] if s["metadata"]["name"].startswith("headgate-bootstrap-")]
        for secret in parts:
            for key, value in secret.get("data", {}).items():
                (folder / key).write_bytes(base64.b64decode(value))
        return digest in json.dumps([s["metadata"].get("annotations", {}) for s in parts]) or any(
            digest.encode() in file.read_bytes() for file in folder.iterdir()
        )

    wait_until(written, "the bootstrap Secrets hold the live table", 30)
    return folder


def _transitions(system: System) -> dict[str, Any]:
    """Of every condition of every object: its status and when that last changed."""
    return {
        f"{name}/{c['type']}": (c["status"], c["lastTransitionTime"])
        for kind, name in OBJECTS
        for c in system.get(kind, name, "default")["status"]["conditions"]
    }


def _ready(system: System, kind: str, name: str) -> str:
    return str(system.condition(kind, name, "default", "Ready")["status"])


def _connected(operator: Operator) -> int:
    return operator.tail(200).count('"event": "gateway connected"')


def _edit_goes_live(system: System, *gateways: Gateway) -> None:
    patch = '{"spec": {"models": ["gpt-4o-mini", "one-more"]}}'
    system.cluster.kubectl("patch", "modelroute", "chat", "-n", "default", "--type=merge", "-p", patch)
    for gateway in gateways:
        wait_until(
            lambda gateway=gateway: "one-more" in gateway.table()["routes"][0]["models"],
            "the edit is live",
            10,
        )
