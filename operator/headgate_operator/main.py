"""The operator process: its life from the first request to the last, and its exit code.

    connect -> salt -> config stream -> first list -> Kopf, reconcile, sweep, Lease
    leading -> publish, statuses, Events

In: `OperatorSettings`. `headgate operator` calls `run_operator`; tests run an `Operator` in a loop of their
own.

The one subtle rule: the API server may be away at any moment, also at the start, and so may the CRDs.
Waiting is a state with one log line and a /readyz that says so, never an end of the process. What ends it:
a signal, the end of Kopf, or a bug in a task.
"""

import asyncio
import gc
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog

from gateway_runtime.contract.secret import Secret
from headgate_operator.kube import Kube, KubeError, MalformedSecret, NotFound
from headgate_operator.log import configure_logging
from headgate_operator.metrics import Metrics
from headgate_operator.probes import Probes
from headgate_operator.rooms import Rooms
from headgate_operator.settings import OperatorSettings

log = structlog.get_logger()

T = TypeVar("T")

SALT_SECRET: Final = "headgate-installation"
SALT_KEY: Final = "key-salt"
FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 5.0
FENCE_CHECK_S: Final = 5.0
MISSING_CRDS: Final = (
    "the API server does not know Headgate's resources; install them: kubectl apply --server-side -f crds/"
)


async def run_operator(settings: OperatorSettings) -> int:
    """Until SIGTERM or SIGINT. The exit code: 0 after a signal, 1 when it could not go on."""
    configure_logging(settings.log_format)
    operator = Operator(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, operator.stop)
    try:
        await operator.run()
    except KubeError as error:
        log.error("no way to the API server", error=str(error))  # noqa: TRY400 (a sentence; the stack says nothing)
        return 1
    except OSError as error:
        log.error("operator failed", error=str(error))  # noqa: TRY400 (mostly a port that is taken)
        return 1
    except Exception:
        log.exception("operator failed")
        return 1
    log.info("operator stopped")
    return 0


class Operator:
    """`run` is its whole life; `stop`, called in the same loop, ends it."""

    def __init__(self, settings: OperatorSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.probes = Probes(self._find_problems, self._explain_readiness, self.metrics.registry)
        self.rooms: Rooms | None = None
        """None before the API server has answered for the first time."""
        self._stopping = asyncio.Event()
        self._state = "starting"

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Raises KubeError for settings that lead to no API server, OSError for a port that is taken, and
        what ended a task; nothing after `stop`.
        """
        work = asyncio.create_task(self._work(), name="operator")
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (work, stopping):
                task.cancel()
            await asyncio.gather(work, stopping, return_exceptions=True)

    async def _work(self) -> None:
        settings = self.settings
        await self.probes.start(settings.probe_host, settings.probe_port)
        kube: Kube | None = None
        try:
            kube = await Kube.connect(settings.kubeconfig, on_answer=self.metrics.count_request)
            salt = await self._insist(lambda: self._ensure_salt(kube))
            rooms = Rooms(settings, kube, salt, self.metrics)
            try:
                await self._insist(rooms.publisher.start)
                self.rooms = rooms
                await self._insist(rooms.sweeper.fill)
                await rooms.cluster.read()
                _spare_what_stays()
                await self._run_rooms(rooms)
            finally:
                await rooms.publisher.stop()
        finally:
            await self.probes.stop()
            if kube is not None:
                await kube.close()

    async def _ensure_salt(self, kube: Kube) -> Secret:
        """What makes the hashes of callers' keys this installation's own. Made once; a new one would lock
        every caller out until the next table.
        """
        namespace = self.settings.own_namespace
        try:
            kept = await kube.ensure_secret(
                namespace, SALT_SECRET, lambda: {SALT_KEY: secrets.token_hex(32).encode()}
            )
        except NotFound as error:
            raise NotFound(
                f"namespace {namespace} does not exist; make it: kubectl create namespace {namespace}",
                status=404,
                retryable=True,
            ) from error
        if not (salt := kept.data.get(SALT_KEY)):
            raise MalformedSecret(
                f"Secret {namespace}/{SALT_SECRET} has no {SALT_KEY}. Put it back, or delete the Secret: "
                "the operator then makes a new one, and callers are refused until their gateway has the next "
                "table"
            )
        return Secret(salt.decode())

    async def _run_rooms(self, rooms: Rooms) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rooms.watcher.run(), name="kopf")
            tasks.create_task(rooms.reconciler.run(), name="reconcile")
            tasks.create_task(rooms.sweeper.run(), name="sweep")
            tasks.create_task(rooms.cluster.run(), name="cluster")
            tasks.create_task(rooms.leader.run(lambda term: self._lead(rooms, term)), name="lease")

    async def _lead(self, rooms: Rooms, term: int) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish(rooms, term), name="publish")
                tasks.create_task(rooms.board.run(), name="board")
                tasks.create_task(rooms.writer.run(), name="status writer")
                tasks.create_task(rooms.announcer.run(), name="events")
        finally:
            rooms.reconciler.follow()
            rooms.publisher.resign()

    async def _publish(self, rooms: Rooms, term: int) -> None:
        while True:
            await self._insist(lambda: rooms.publisher.become_leader(term))
            rooms.reconciler.lead()
            while rooms.publisher.leading:
                await rooms.reconciler.wait_fenced(FENCE_CHECK_S)
            # Somebody else claimed the bootstrap though the Lease is ours: a clock that jumped, or a Secret
            # restored
            # from a backup. A new term with a higher epoch puts it right; if a rival lives, the Lease
            # decides.
            rooms.reconciler.follow()
            log.warning("fenced off; beginning a new term of publishing")
            await asyncio.sleep(LONGEST_RETRY_S)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Until the API server lets it be done, with the Secrets of ours as we wrote them."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                result = await call()
            except (KubeError, MalformedSecret) as error:
                missing_kinds = isinstance(error, NotFound) and "/apis/headgate.dev/" in str(error)
                state = MISSING_CRDS if missing_kinds else str(error)
                if state != self._state:
                    log.warning("waiting", reason=state)
                self._state = state
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_RETRY_S)
            else:
                self._state = "starting"
                return result

    def _find_problems(self) -> Sequence[str]:
        return self.rooms.find_problems(time.monotonic()) if self.rooms else ()

    def _explain_readiness(self) -> tuple[bool, str]:
        rooms = self.rooms
        if rooms is None or not rooms.store.synced:
            return False, f"not ready: {self._state}"
        if rooms.leader.leading and not rooms.publisher.leading:
            return False, f"not ready: leader, but not publishing yet: {self._state}"
        return rooms.leader.leading, rooms.leader.explain()


def _spare_what_stays() -> None:
    """The store is read for weeks and is no garbage: with 10,000 objects each full collection would stop the
    loop for a fifth of a second.
    """
    gc.collect()
    gc.freeze()
