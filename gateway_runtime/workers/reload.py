"""The pod's table: what the parent's Reloader has built and judged, run by all workers before it counts.

`pod` gives it to the config stream and the table keeper, which know it as a Reloader. In between stands the
handing out: only when no worker refuses does the version become the pod's own, is kept on disk and acked.

A version that some worker refused is the pod's Nack. The others run it on, since nothing ever goes back; the
next version is given to each as a difference from what it runs.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway_runtime.contract.stream import Ack, Fault, Nack, Share, Version, judge_offer
from gateway_runtime.server.build import BuiltTable, UnservableTable
from gateway_runtime.server.reload import Reloader
from gateway_runtime.server.state import WHOLE, LiveState

log = structlog.get_logger()


class PodReloader(Reloader):
    def __init__(
        self,
        state: LiveState,
        hand_out: Callable[[Version, BuiltTable], Awaitable[tuple[Fault, ...]]],
        tell_share: Callable[[], None],
    ) -> None:
        """tell_share: called when `share` has changed."""
        super().__init__(state)
        self.share = WHOLE
        """The pod's."""
        self._hand_out = hand_out
        self._tell_share = tell_share

    def find_table(self) -> tuple[Version, BuiltTable] | None:
        """The one that runs."""
        if self.running is None or self._built is None:
            return None
        return self.running.version, self._built

    def apply_share(self, share: Share) -> None:
        super().apply_share(share)
        self.share = share
        self._tell_share()

    async def _apply(
        self, version: Version, build: Callable[[], BuiltTable], *, aside: bool, shrink_confirmed: bool
    ) -> Ack | Nack:
        faults: tuple[Fault, ...]
        try:
            built = await asyncio.to_thread(build) if aside else build()
        except UnservableTable as error:
            faults = error.faults
        else:
            running = (self.running.version, self.running.counts) if self.running else None
            objection = judge_offer(running, version, built.counts, shrink_confirmed=shrink_confirmed)
            if objection is None:
                faults = await self._hand_out(version, built)
                if not faults:
                    self._swap(version, built)
                    return Ack(version=version, digest=built.digest)
            else:
                faults = (Fault(resource="", message=objection),)
        for fault in faults:
            log.error("table refused", version=str(version), resource=fault.resource, reason=fault.message)
        return Nack(version=version, faults=faults)
