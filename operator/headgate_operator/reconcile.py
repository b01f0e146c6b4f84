"""The loop from resources to a published table: level-based, single-flight, debounced.

    mark -> quiet for 50 ms (500 ms at most) -> read Secrets -> compile -> publish -> statuses

In: the store, marked dirty by events. Out: a table for the publisher (while we lead), verdicts for the
board. `main` runs it, also on followers, so that a new leader has everything ready.

Rules. Nothing is compiled before the store is synced. What is published last keeps serving when a pass
fails; the pass is tried again with growing pauses. A table that lost most of a kind is published only after
a fresh list agrees: then it says so (`shrink_confirmed`), and the gateways believe it. Publishing comes
first, statuses after it and elsewhere.
"""

import asyncio
import contextlib
import time
from typing import Final, Protocol

import structlog

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Version, is_sharp_loss
from gateway_runtime.contract.table import RoutingTable
from headgate_operator.compile import Compiled, compile_resources
from headgate_operator.kube import KubeError
from headgate_operator.metrics import Metrics
from headgate_operator.rollup.views import Published
from headgate_operator.status import Board
from headgate_operator.store import Store
from headgate_operator.sweep import Sweeper

log = structlog.get_logger()

QUIET_S: Final = 0.05
LONGEST_WAIT_S: Final = 0.5
"""A burst that never pauses is published twice a second."""
THREAD_FROM: Final = 500
"""Objects. A compile of fewer takes less than the few milliseconds that the loop can spare."""
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 30.0
FIRST_SECRET_RETRY_S: Final = 2.0
LONGEST_SECRET_RETRY_S: Final = 180.0
STUCK_S: Final = 120.0
"""A pass of 10,000 objects takes seconds."""


class TablePublisher(Protocol):
    """What `publish.Publisher` does for us."""

    def publish(self, table: RoutingTable, *, shrink_confirmed: bool) -> Published | None: ...

    def last_published_table(self) -> RoutingTable | None: ...


class Reconciler:
    def __init__(
        self,
        store: Store,
        sweeper: Sweeper,
        publisher: TablePublisher,
        board: Board,
        key_salt: Secret,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._sweeper = sweeper
        self._publisher = publisher
        self._board = board
        self._key_salt = key_salt
        self._metrics = metrics
        self._dirty = asyncio.Event()
        self._marked_at = 0.0
        self._compiled: Compiled | None = None
        self._published: Published | None = None
        self._must_confirm = False
        self._confirmed: Version | None = None
        self._first_of_term = False
        self._publishing = False
        self._busy_since: float | None = None
        self._secret_retry: asyncio.TimerHandle | None = None
        self._secret_retry_s = FIRST_SECRET_RETRY_S
        self._fenced = asyncio.Event()

    @property
    def version(self) -> Version | None:
        """What is published; None while we do not lead."""
        return self._published.version if self._published else None

    def mark(self) -> None:
        """There is something to do."""
        self._marked_at = time.monotonic()
        self._dirty.set()

    def lead(self) -> None:
        """The publisher has begun a term: the next pass starts from what was published last."""
        self._publishing = self._first_of_term = True
        self._confirmed = None
        self._fenced.clear()
        self.mark()

    def follow(self) -> None:
        self._publishing = False
        self._published = None

    async def wait_fenced(self, timeout_s: float) -> None:
        """Until the publisher publishes nothing though we lead (somebody else has begun a term), or the
        time is up.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._fenced.wait()

    def confirm(self, version: Version | None) -> None:
        """A gateway refused `version`, perhaps because it lost too much for it: list anew, then say that it
        is meant. Once per version; a refusal for another reason stays one.
        """
        if version is not None and version == self.version and version != self._confirmed:
            self._must_confirm = True
            self.mark()

    def is_stuck(self) -> bool:
        return self._busy_since is not None and time.monotonic() - self._busy_since > STUCK_S

    async def run(self) -> None:
        """For ever."""
        retry_s = FIRST_RETRY_S
        while True:
            await self._dirty.wait()
            await self._wait_until_quiet()
            self._dirty.clear()
            if not self._store.synced:
                continue  # `Sweeper.fill` marks again
            try:
                await self._time_pass()
            except Exception as error:
                self._metrics.reconcile_error.inc()
                if isinstance(error, KubeError):
                    log.warning("pass failed; what is published stays", error=str(error), again_in_s=retry_s)
                else:
                    log.exception("pass failed; what is published stays", again_in_s=retry_s)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
                self.mark()
            else:
                retry_s = FIRST_RETRY_S

    async def _wait_until_quiet(self) -> None:
        latest = time.monotonic() + LONGEST_WAIT_S
        while True:
            pause_s = min(self._marked_at + QUIET_S, latest) - time.monotonic()
            if pause_s <= 0:
                return
            await asyncio.sleep(pause_s)

    async def _time_pass(self) -> None:
        self._busy_since = started = time.monotonic()
        try:
            await self._pass()
        finally:
            self._busy_since = None
        self._metrics.reconcile_success.inc()
        self._metrics.reconcile_seconds.observe(time.monotonic() - started)

    async def _pass(self) -> None:
        compiled = await self._compile()
        if self._publishing:
            confirmed = self._must_confirm or self._has_lost_much(compiled.table)
            if confirmed:
                await self._sweeper.confirm()
                compiled = await self._compile()
            # Between the last await and here leadership may have ended: then this publishes nothing.
            self._publish(compiled.table, confirmed=confirmed)
        self._board.update(compiled.verdicts, self._published)
        self._ask_again_for_secrets()

    def _ask_again_for_secrets(self) -> None:
        """Those that could not be read, for want of an answer or of rights."""
        if self._secret_retry is not None:
            self._secret_retry.cancel()
            self._secret_retry = None
        if not self._store.secrets.unread:
            self._secret_retry_s = FIRST_SECRET_RETRY_S
            return
        self._secret_retry = asyncio.get_running_loop().call_later(self._secret_retry_s, self.mark)
        self._secret_retry_s = min(2 * self._secret_retry_s, LONGEST_SECRET_RETRY_S)

    async def _compile(self) -> Compiled:
        await self._sweeper.read_secrets()
        resources = self._store.resources(self._key_salt)
        previous = None if self._first_of_term else self._compiled
        # What it knows is in `previous` from the first compile on, and to look it up anew doubles an edit.
        last_good = self._publisher.last_published_table() if previous is None else None
        if len(self._store.objects) < THREAD_FROM:
            compiled = compile_resources(resources, previous, last_good)
        else:
            compiled = await asyncio.to_thread(compile_resources, resources, previous, last_good)
        self._compiled = compiled
        return compiled

    def _publish(self, table: RoutingTable, *, confirmed: bool) -> None:
        if not self._publishing:
            return
        self._published = self._publisher.publish(table, shrink_confirmed=confirmed)
        if self._published is None:
            self._fenced.set()
            return
        self._first_of_term = False
        self._must_confirm = False
        if confirmed:
            self._confirmed = self._published.version
            log.info("loss confirmed by a fresh list", version=str(self._confirmed))
        self._metrics.config_version.labels("epoch").set(self._published.version.epoch)
        self._metrics.config_version.labels("sequence").set(self._published.version.sequence)

    def _has_lost_much(self, table: RoutingTable) -> bool:
        last = self._publisher.last_published_table()
        return last is not None and any(
            is_sharp_loss(len(had), len(has))
            for had, has in (
                (last.providers, table.providers),
                (last.routes, table.routes),
                (last.tenants, table.tenants),
            )
        )
