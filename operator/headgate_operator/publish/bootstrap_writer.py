"""Keeps the bootstrap Secrets near what is published, without ever making a publish wait.

`term` says `refresh` after each version and each change of the roster; the first is written at once, what
comes after at most every ten seconds, always the newest. One writer per term of leadership.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.saved import encode_saved
from headgate_operator.kube import KubeError
from headgate_operator.publish.bootstrap import Bootstrap, Content, Deposed, TooLarge
from headgate_operator.publish.metrics import PublishMetrics
from headgate_operator.publish.offer import Offer

log = structlog.get_logger()

INTERVAL_S: Final = 10.0
"""A megabyte each time for a large installation: at this rate a busy day costs etcd nothing."""


class BootstrapWriter:
    def __init__(
        self,
        bootstrap: Bootstrap,
        metrics: PublishMetrics,
        interval_s: float,
        on_deposed: Callable[[], None],
    ) -> None:
        self._bootstrap = bootstrap
        self._metrics = metrics
        self._interval_s = interval_s
        self._on_deposed = on_deposed
        self._newest: tuple[Offer, tuple[GatewayId, ...]] | None = None
        self._changed = asyncio.Event()

    def refresh(self, offer: Offer, roster: Sequence[GatewayId]) -> None:
        self._newest = (offer, tuple(roster))
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled, or until another leader has taken over."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.write_newest()
            except Deposed as error:
                log.warning("bootstrap belongs to another leader", error=str(error))
                self._on_deposed()
                return
            except KubeError as error:
                log.warning("bootstrap not written, will be tried again", error=str(error))
                self._changed.set()
            await asyncio.sleep(self._interval_s)

    async def write_newest(self) -> None:
        """Nothing before the first `refresh`. Raises Deposed or KubeError."""
        if self._newest is None:
            return
        offer, roster = self._newest
        payloads = [bucket.payload for bucket in offer.snapshot.buckets]
        saved = await asyncio.to_thread(encode_saved, offer.version, offer.digest, payloads, None)
        self._metrics.bootstrap_bytes.set(len(saved))
        try:
            content = Content(offer.version.epoch, offer.version, offer.digest, saved, roster)
            await self._bootstrap.write(content)
        except TooLarge as error:
            self._metrics.bootstrap_too_large.set(1)
            log.warning("bootstrap not written", error=str(error))
        else:
            self._metrics.bootstrap_too_large.set(0)
            log.info("bootstrap written", version=str(offer.version), bytes=len(saved), gateways=len(roster))
