"""The Lease, on a real API server: who leads, who follows, and who stops in time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headgate_operator.kube import Conflict, Kube
from headgate_operator.leader import Leader
from headgate_operator.metrics import Metrics
from headgate_operator.settings import LeaseTimes, WrongSettings
from tests.kube.apiproxy import ApiProxy
from tests.kube.cluster import Cluster
from tests.kube.faultproxy import FaultProxy
from tests.shell.operators import SHORT_LEASE, eventually

pytestmark = pytest.mark.kube

LONG_LEASE = LeaseTimes(poll_s=0.02)
"""As in production but for the polling: whoever waits for it to run out fails the test."""


class Candidate:
    """A replica that notes when it began to lead and when it ended."""

    def __init__(self, kube: Kube, namespace: str, name: str, times: LeaseTimes) -> None:
        self.leader = Leader(kube, namespace, "headgate", name, times, Metrics())
        self.terms: list[int] = []
        self.ended = 0
        self._life = asyncio.create_task(self.leader.run(self._serve))

    async def stop(self) -> None:
        self._life.cancel()
        await asyncio.wait((self._life,))

    async def leads(self) -> bool:
        return bool(self.terms) and self.leader.leading

    async def follows(self) -> bool:
        return not self.leader.leading and self.ended == len(self.terms)

    async def sees(self, holder: str) -> bool:
        return self.leader.holder == holder

    async def _serve(self, term: int) -> None:
        self.terms.append(term)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


class Election:
    def __init__(self, kube: Kube, cluster: Cluster, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self._cluster = cluster
        self._candidates: list[Candidate] = []

    def join(self, name: str, times: LeaseTimes = SHORT_LEASE, kube: Kube | None = None) -> Candidate:
        candidate = Candidate(kube or self.kube, self.namespace, name, times)
        self._candidates.append(candidate)
        return candidate

    async def lease(self) -> dict[str, Any]:
        lease = await self.kube.read_lease(self.namespace, "headgate")
        assert lease is not None
        return lease

    async def close(self) -> None:
        for candidate in self._candidates:
            await candidate.stop()


@pytest.fixture
async def election(kube: Kube, cluster: Cluster, namespace: str) -> AsyncIterator[Election]:
    election = Election(kube, cluster, namespace)
    yield election
    await election.close()


async def test_the_first_leads_and_the_second_follows(election: Election) -> None:
    first = election.join("first")
    await eventually(first.leads)
    second = election.join("second")
    await eventually(lambda: second.sees("first"))

    assert second.terms == []
    assert first.leader.explain() == f"leader: first holds Lease {election.namespace}/headgate"
    assert second.leader.explain() == f"follower: Lease {election.namespace}/headgate is held by first"


async def test_a_leader_that_stops_hands_over_at_once(election: Election) -> None:
    first = election.join("first", LONG_LEASE)
    await eventually(first.leads)
    second = election.join("second", LONG_LEASE)
    await eventually(lambda: second.sees("first"))
    await first.stop()

    await eventually(second.leads)
    assert first.ended == 1
    assert second.terms == [first.terms[0] + 1]


async def test_a_leader_that_fell_silent_is_replaced_after_the_lease_has_run_out(
    election: Election, cluster: Cluster, faultproxy: FaultProxy, tmp_path: Path
) -> None:
    through = cluster.access.through(f"https://{faultproxy.address}")
    kube = await Kube.connect(str(through.write_kubeconfig(tmp_path / "kubeconfig")))
    first = election.join("first", kube=kube)
    await eventually(first.leads)
    second = election.join("second")
    await eventually(lambda: second.sees("first"))
    faultproxy.stall()
    await eventually(first.follows)
    had_begun = list(second.terms)
    await eventually(second.leads)
    faultproxy.resume()
    await eventually(lambda: first.sees("second"))

    assert had_begun == []
    assert (first.terms, second.terms) == ([0], [1])
    await first.stop()
    await kube.close()


async def test_a_leader_whose_lease_was_taken_stops_at_its_next_renewal(election: Election) -> None:
    first = election.join("first")
    await eventually(first.leads)

    async def take() -> bool:
        lease = await election.lease()
        lease["spec"]["holderIdentity"] = "rival"
        try:
            await election.kube.replace_lease(lease)
        except Conflict:
            return False
        return True

    await eventually(take)
    await eventually(first.follows)

    assert first.leader.holder == "rival"


async def test_a_label_on_the_lease_does_not_cost_the_lead(election: Election) -> None:
    first = election.join("first")
    await eventually(first.leads)
    lease = await election.lease()
    lease["metadata"].setdefault("labels", {})["by"] = "administrator"
    renewed = lease["spec"]["renewTime"]
    await election.kube.replace_lease(lease)
    await eventually(election.lease, lambda now: now["spec"]["renewTime"] != renewed)

    assert first.terms == [0]
    assert first.leader.leading


async def test_a_lease_that_somebody_deleted_is_made_again(election: Election, cluster: Cluster) -> None:
    first = election.join("first")
    await eventually(first.leads)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{election.namespace}/leases/headgate"
    await asyncio.to_thread(cluster.request, "DELETE", path)

    async def is_back() -> bool:
        return await election.kube.read_lease(election.namespace, "headgate") is not None

    await eventually(is_back)
    assert first.terms == [0]


async def test_a_renewal_is_one_request(election: Election, apiproxy: ApiProxy, tmp_path: Path) -> None:
    kube = await Kube.connect(str(apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")))
    first = election.join("first", kube=kube)
    await eventually(first.leads)
    start = len(apiproxy.requests)
    await asyncio.to_thread(apiproxy.wait_until, lambda p: len(p.requests) >= start + 5)

    assert {request.verb for request in apiproxy.requests[start:]} == {"update"}
    await first.stop()
    await kube.close()


async def test_a_leader_whose_work_fails_fails_with_it(kube: Kube, namespace: str) -> None:
    leader = Leader(kube, namespace, "headgate", "first", SHORT_LEASE, Metrics())

    async def serve(term: int) -> None:
        raise RuntimeError(f"term {term} went wrong")

    with pytest.raises(RuntimeError, match="term 0 went wrong"):
        await leader.run(serve)
    lease = await kube.read_lease(namespace, "headgate")
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")


def test_times_that_would_let_two_lead_are_refused() -> None:
    with pytest.raises(WrongSettings) as caught:
        LeaseTimes(duration_s=10, renew_s=5, deadline_s=15)

    assert str(caught.value) == (
        "the Lease's times must satisfy renew < deadline < duration, not 5 < 15 < 10 seconds"
    )
