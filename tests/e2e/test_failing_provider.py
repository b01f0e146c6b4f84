"""A provider that starts to fail: its circuit opens, `kubectl get llmp` says so in seconds, no caller
notices, and it comes back.
"""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.e2e.load import Callers
from tests.e2e.manifests import provider, quota, route
from tests.e2e.processes import wait_until
from tests.e2e.system import Gateway, Operator, Provider, System

pytestmark = [pytest.mark.kube, pytest.mark.e2e]

KEY = "sk-fail-55d0"
SEEN_WITHIN_S = 3.0


def test_a_failing_provider_is_taken_out_shown_and_taken_back_without_a_client_error(system: System) -> None:
    failing, spare = Provider(system, "fake-a"), Provider(system, "fake-b")
    with failing, spare, Operator(system, "operator-0") as operator:
        operator.wait_leading()
        system.fetch_ca()
        urls = (operator.stream_url,)
        with Gateway(system, "gateway-0", urls) as left, Gateway(system, "gateway-1", urls) as right:
            manifests = (provider("a", failing.url), provider("b", spare.url), route("chat", "a", "b"))
            system.cluster.apply("".join((*manifests, quota("team", KEY))))
            for gateway in (left, right):
                gateway.wait_routing("default/chat")
            system.wait_condition("llmprovider", "a", "default")
            callers = Callers([left.url, right.url], KEY, clients=8)

            opened_s, closed_s = asyncio.run(_fail_and_recover(system, callers, failing))

    assert callers.tally.first_failures == []
    assert callers.tally.by_provider["default/b"] > 0
    assert opened_s < SEEN_WITHIN_S
    assert closed_s < 15


async def _fail_and_recover(system: System, callers: Callers, failing: Provider) -> tuple[float, float]:
    """Seconds from the failure to `Open` in kubectl, and from the recovery to `Closed`."""
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(callers.run())
        try:
            await asyncio.to_thread(
                wait_until, lambda: callers.tally.by_provider.get("default/a", 0) > 50, "traffic on a"
            )
            assert (await asyncio.to_thread(_row, system))[3:5] == ["Healthy", "Closed"]

            opened_s = await _timed_change(failing, {"failing": True}, lambda: _row(system)[4] == "Open")
            unhealthy = await asyncio.to_thread(system.condition, "llmprovider", "a", "default", "Healthy")
            assert (unhealthy["status"], unhealthy["reason"]) == ("False", "Unhealthy")
            assert "503" in unhealthy["message"]

            closed_s = await _timed_change(failing, {}, lambda: _row(system)[3:5] == ["Healthy", "Closed"])
            used = callers.tally.by_provider["default/a"]
            await asyncio.to_thread(
                wait_until, lambda: callers.tally.by_provider["default/a"] > used + 50, "traffic on a again"
            )
        finally:
            callers.stop()
            await calling
    return opened_s, closed_s


async def _timed_change(provider: Provider, script: dict[str, object], shown: Callable[[], bool]) -> float:
    began = time.monotonic()
    await asyncio.to_thread(provider.follow, script)
    await asyncio.to_thread(wait_until, shown, f"kubectl shows what {script or 'the recovery'} did")
    return time.monotonic() - began


def _row(system: System) -> list[str]:
    """What `kubectl get llmp a` shows: name, type, ready, health, circuit."""
    row = system.cluster.kubectl("get", "llmp", "a", "--no-headers").stdout.split()
    return [row[0], row[1], row[2], row[4], row[5]]
