"""Who signs the tokens of the cluster's service accounts, and with which keys: kept in the store, up to date.

In: `Kube`. Out: `Store.cluster`, which compile puts into the table, so that gateways know the tokens of pods
without asking anybody. `main` calls `read` once before the first pass, then runs `run`.

The one subtle rule: what cannot be read is no reason to forget. The API server keeps a key in its list for as
long as tokens that it signed are valid, so keys of an hour ago are good ones.
"""

import asyncio

import structlog

from headgate_operator.compile.resources import Cluster, UnknownCluster
from headgate_operator.kube import Kube, KubeError
from headgate_operator.settings import WatchTimes
from headgate_operator.store import Store

log = structlog.get_logger()


class ClusterReader:
    def __init__(self, kube: Kube, store: Store, times: WatchTimes) -> None:
        self._kube = kube
        self._store = store
        self._times = times
        self._problem = ""

    async def read(self) -> None:
        """Raises nothing of the API server's: the operator does all else without."""
        try:
            issuer, keys = await self._kube.read_token_issuer()
        except KubeError as error:
            self._note(str(error))
            self._store.put_cluster(UnknownCluster(self._problem))
        else:
            self._note("")
            self._store.put_cluster(Cluster(issuer, keys))

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self._times.cluster_retry_s if self._problem else self._times.cluster_s)
            await self.read()

    def _note(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("the issuer of service accounts' tokens could not be read", error=problem)
        self._problem = problem
