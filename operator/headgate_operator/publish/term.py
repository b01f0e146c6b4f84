"""One term of leadership: who is connected, what is on offer to them, what they answer.

In: tables from `publisher`, messages from the `session`s. Out: a wake for each session that has something to
get, a `Change` for the status, a word to the bootstrap's writer. Nothing here waits.

The one subtle rule: a new leader is not `settled` before its gateways have had time to dial. Until then it
knows less than the status says already, and rollup leaves alone what depends on gateways.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
from aiohttp import WSCloseCode

from gateway_runtime.contract.codec import BUCKET_COUNT, SCHEMA_VERSION, snapshot_digest
from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import Ack, Fault, Hello, Nack, Version
from gateway_runtime.contract.table import RoutingTable
from headgate_operator.publish.bootstrap import Claimed
from headgate_operator.publish.change import Change
from headgate_operator.publish.clock import Alarm, Clock
from headgate_operator.publish.fleet import Fleet
from headgate_operator.publish.metrics import PublishMetrics
from headgate_operator.publish.naming import is_gateway_name, name_gateway
from headgate_operator.publish.offer import Offer
from headgate_operator.publish.session import Session, Unwelcome
from headgate_operator.publish.shares import Shares
from headgate_operator.publish.versions import MAX_EPOCH, Versions
from headgate_operator.rollup.views import GatewayView, Published

log = structlog.get_logger()

SETTLING_S: Final = 15.0
"""Gateways back off to 10 s at most while nobody leads."""

NOT_LEADING: Final = "this operator does not lead any more; dial again"


class Term:
    def __init__(
        self,
        claimed: Claimed,
        clock: Clock,
        metrics: PublishMetrics,
        on_change: Callable[[Change], None],
        keep: Callable[[Offer, Sequence[GatewayId]], None],
    ) -> None:
        """`keep`: told what the bootstrap should hold."""
        self._clock = clock
        self._metrics = metrics
        self._on_change = on_change
        self._keep = keep
        self._versions = Versions(claimed.epoch)
        self._fleet = Fleet()
        self._shares = Shares()
        self._sessions: dict[GatewayId, Session] = {}
        self._alarm: Alarm | None = None
        self._kept: tuple[Offer, Sequence[GatewayId]] | None = None
        self._ended = False
        now_s = clock.time()
        self._settled = False
        self._settled_at_s = now_s + SETTLING_S
        self._expected = frozenset(claimed.roster)
        self._fleet.expect(claimed.roster, now_s)
        self._shares.restore(claimed.roster, now_s)
        self._set_alarm()

    @property
    def offer(self) -> Offer | None:
        return self._versions.offer

    @property
    def published(self) -> Published | None:
        return self._versions.published

    @property
    def table(self) -> RoutingTable | None:
        return self._versions.table

    def views(self) -> tuple[GatewayView, ...]:
        return self._fleet.views()

    def settled(self, now_s: float) -> bool:
        return self._settled or now_s >= self._settled_at_s

    def publish(self, table: RoutingTable, *, shrink_confirmed: bool) -> Published | None:
        before = self._versions.published
        if self._versions.take(table, shrink_confirmed=shrink_confirmed):
            self._spread()
        after = self._versions.published
        if after is not before and after is not None:
            log.info("published", version=str(after.version), resources=len(after.since))
        return after

    def end(self) -> None:
        """Sends every gateway away, to dial the next leader."""
        self._ended = True
        if self._alarm is not None:
            self._alarm.cancel()
        for session in self._sessions.values():
            session.end(WSCloseCode.TRY_AGAIN_LATER, NOT_LEADING)
        self._sessions.clear()
        self._metrics.gateways.set(0)

    def join(self, session: Session, hello: Hello) -> GatewayId:
        if self._ended:
            raise Unwelcome(NOT_LEADING)
        if not is_gateway_name(hello.gateway):
            raise Unwelcome("a gateway's name has 1 to 253 letters, digits and .~/@:_-")
        gateway = name_gateway(hello.gateway, session.caller.pod, self._fleet.connected)
        if hello.schema_version != SCHEMA_VERSION:
            raise self._turn_away(gateway, hello)
        if len(hello.bucket_digests) not in (0, BUCKET_COUNT):
            raise Unwelcome(f"a table has {BUCKET_COUNT} buckets, not {len(hello.bucket_digests)}")
        if hello.version is not None:
            self._learn_version(gateway, hello.version, hello.bucket_digests)
        replaced = self._sessions.get(gateway)
        if replaced is not None:
            replaced.end(WSCloseCode.POLICY_VIOLATION, "the same gateway has dialled again")
        self._sessions[gateway] = session
        self._fleet.join(gateway, hello.version)
        self._shares.join(gateway)
        log.info("gateway connected", gateway=gateway, software=hello.software, version=str(hello.version))
        self._tell(Change("Connected", gateway, hello.version))
        self._note_membership()
        self._settle()
        return gateway

    def leave(self, session: Session) -> None:
        gateway = session.gateway
        if gateway is None or self._sessions.get(gateway) is not session:
            return  # replaced by a newer connection, or the term has ended
        del self._sessions[gateway]
        now_s = self._clock.time()
        self._fleet.leave(gateway, now_s)
        self._shares.leave(gateway, now_s)
        log.info("gateway disconnected", gateway=gateway)
        self._tell(Change("Disconnected", gateway))
        self._note_membership()

    def hear_answer(self, session: Session, answer: Ack | Nack) -> None:
        gateway = session.gateway
        if gateway is None or self._sessions.get(gateway) is not session:
            return
        if isinstance(answer, Ack):
            self._fleet.acknowledge(gateway, answer.version)
            self._tell(Change("Acked", gateway, answer.version))
        else:
            self._fleet.refuse(gateway, answer)
            self._metrics.refusals.inc()
            faults = [f"{fault.resource}: {fault.message}".removeprefix(": ") for fault in answer.faults]
            log.warning("version refused", gateway=gateway, version=str(answer.version), faults=faults)
            self._tell(Change("Refused", gateway, answer.version))
        self._settle()

    def hear_report(self, session: Session, report: HealthReport) -> None:
        gateway = session.gateway
        if gateway is None or self._sessions.get(gateway) is not session:
            return
        news = self._fleet.report(gateway, report, self._clock.time())
        self._tell(Change("Reported", gateway, endpoints=news.endpoints, tenants=news.tenants))

    def _turn_away(self, gateway: GatewayId, hello: Hello) -> Unwelcome:
        """It stays listed as one that runs nothing of ours, and says why."""
        message = (
            f"gateway {gateway} ({hello.software}) reads tables of schema version {hello.schema_version}, "
            f"this operator writes {SCHEMA_VERSION}; run the same version of Headgate on both sides"
        )
        if gateway not in self._sessions:
            offer = self.offer
            version = offer.version if offer else Version(self._versions.epoch, 0)
            self._fleet.join(gateway, None)
            nack = Nack(version=version, faults=(Fault(resource="", message=message),))
            is_news = self._fleet.refuse(gateway, nack)
            self._fleet.leave(gateway, self._clock.time())
            self._set_alarm()
            if is_news:
                self._tell(Change("Refused", gateway, version))
        return Unwelcome(message)

    def _learn_version(self, gateway: GatewayId, version: Version, bucket_digests: Sequence[str]) -> None:
        if not 0 <= version.epoch < MAX_EPOCH:
            raise Unwelcome(f"version {version} is none that an operator has published")
        digest = snapshot_digest(bucket_digests) if bucket_digests else ""
        if self._versions.rise_above(version, digest):
            log.warning(
                "epoch lifted above a gateway's",
                gateway=gateway,
                runs=str(version),
                epoch=self._versions.epoch,
            )
            self._spread()

    def _spread(self) -> None:
        for session in self._sessions.values():
            session.wake()
        self._note_bootstrap()

    def _note_bootstrap(self) -> None:
        offer, row = self.offer, self._shares.row
        if offer is not None and (offer, row) != self._kept:
            self._kept = (offer, row)
            self._keep(offer, row)

    def _note_membership(self) -> None:
        """Those who were here hear of their smaller part first, then the one who joins of its own."""
        self._metrics.gateways.set(len(self._sessions))
        shares = self._shares.current()
        for gateway, session in self._sessions.items():
            session.give_share(shares[gateway])
        self._note_bootstrap()
        self._set_alarm()

    def _set_alarm(self) -> None:
        due = [self._shares.next_expiry_s, self._fleet.next_expiry_s]
        if not self._settled:
            due.append(self._settled_at_s)
        if self._alarm is not None:
            self._alarm.cancel()
        times = [at_s for at_s in due if at_s is not None]
        self._alarm = self._clock.call_at(min(times), self._ring) if times else None

    def _ring(self) -> None:
        now_s = self._clock.time()
        self._shares.expire(now_s)
        for gateway in self._fleet.forget(now_s):
            self._tell(Change("Forgotten", gateway))
        if not self._settled and now_s >= self._settled_at_s:
            self._settled = True
            self._tell(Change("Settled"))
        self._note_membership()

    def _settle(self) -> None:
        """Earlier than `SETTLING_S`, when all that the last leader knew (or else all that dialled) have
        answered a version of this term.
        """
        if self._settled:
            return
        awaited = self._expected or self._fleet.connected
        if awaited and awaited <= self._fleet.answered(self._versions.epoch):
            self._settled = True
            self._tell(Change("Settled"))

    def _tell(self, change: Change) -> None:
        self._on_change(change)
