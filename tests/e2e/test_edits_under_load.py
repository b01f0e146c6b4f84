"""Two hundred edits of routes and providers while 64 clients send 20,000 requests and 500 streams: nothing
fails, nothing is torn.
"""

import asyncio
import itertools
import json
from collections.abc import Iterator

import pytest

from tests.e2e.load import Callers
from tests.e2e.manifests import provider, quota, route
from tests.e2e.system import Gateway, Operator, Provider, System

pytestmark = [pytest.mark.kube, pytest.mark.e2e, pytest.mark.timeout(400)]

KEY = "sk-load-91bc"
EDITS = 200
REQUESTS = 20_000
STREAMS = 500


def test_edits_under_load_fail_no_request_and_tear_no_stream(system: System) -> None:
    first, second = Provider(system, "fake-a"), Provider(system, "fake-b")
    with first, second, Operator(system, "operator-0") as operator:
        operator.wait_leading()
        system.fetch_ca()
        urls = (operator.stream_url,)
        with Gateway(system, "gateway-0", urls) as left, Gateway(system, "gateway-1", urls) as right:
            manifests = (
                provider("a", first.url),
                provider("b", second.url),
                route("chat", "a", "b"),
                quota("team", KEY),
            )
            system.cluster.apply("".join(manifests))
            for gateway in (left, right):
                gateway.wait_routing("default/chat")

            callers = Callers([left.url, right.url], KEY, stream_every=(REQUESTS + STREAMS) // STREAMS)
            edits = asyncio.run(_edit_while_calling(system, callers))

    assert callers.tally.first_failures == []
    assert callers.tally.failures == 0
    assert callers.tally.completions >= REQUESTS - 100
    assert callers.tally.streams >= STREAMS
    assert edits == EDITS
    assert set(callers.tally.by_provider) == {"default/a", "default/b"}


async def _edit_while_calling(system: System, callers: Callers) -> int:
    """The edits are spread over the whole run: one for every so many answers."""
    edits = _edits()
    done = 0
    pace = (REQUESTS + STREAMS) // EDITS
    due = asyncio.Semaphore(0)

    def note_answer(count: int) -> None:
        if count % pace == 0:
            due.release()

    async def edit() -> None:
        nonlocal done
        for _ in range(EDITS):
            await due.acquire()
            path, patch = next(edits)
            await asyncio.to_thread(_patch, system, path, patch)
            done += 1

    async with asyncio.TaskGroup() as group:
        editing = group.create_task(edit())
        await callers.run(REQUESTS + STREAMS, on_answer=note_answer)
        editing.cancel() if callers.tally.failures else None
    return done


def _edits() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Order of targets, weights, timeouts, circuit: each a new generation, none a mistake."""
    for number in itertools.count():
        order = ["a", "b"] if number % 4 < 2 else ["b", "a"]
        match number % 4:
            case 0 | 2:
                targets = [{"providerRef": {"name": n}, "priority": i} for i, n in enumerate(order)]
                yield "modelroutes/chat", [{"op": "replace", "path": "/spec/targets", "value": targets}]
            case 1:
                targets = [{"providerRef": {"name": n}, "weight": 1 + number % 7} for n in order]
                yield "modelroutes/chat", [{"op": "replace", "path": "/spec/targets", "value": targets}]
            case _:
                circuit = {"consecutiveFailures": 3 + number % 5, "openFor": "1s"}
                yield "llmproviders/a", [{"op": "replace", "path": "/spec/circuit", "value": circuit}]


def _patch(system: System, path: str, patch: list[dict[str, object]]) -> None:
    kind, name = path.split("/")
    system.cluster.kubectl("patch", kind, name, "-n", "default", "--type=json", "-p", json.dumps(patch))
