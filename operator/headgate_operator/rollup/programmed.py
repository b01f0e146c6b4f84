"""Programmed: how many of the connected gateways run what the object's present generation became.

A gateway runs it when the version that it applied is not older than the one in which that content was first
published. A gateway that refused that version, or a later one, is named with what it said; what it said about
other objects is not passed on, since they may be another tenant's.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway_runtime.contract.stream import Nack, Version
from headgate_operator.api.reasons import ConditionType, Reason
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup.judgement import Judgement, count, enumerate_some, keep_judgement
from headgate_operator.rollup.previous import ConditionStatus, PreviousStatus
from headgate_operator.rollup.views import GatewayView, Published


class Programmed(NamedTuple):
    judgement: Judgement
    gateways: str | None
    """`n/m`; None when not known."""


def judge_programmed(
    verdict: Verdict, published: Published | None, gateways: Sequence[GatewayView]
) -> Programmed:
    connected = sorted((view for view in gateways if view.connected), key=lambda view: view.gateway)
    if verdict.serving == "Nothing":
        message = "nothing of this object is in the routing table: see Accepted and ResolvedRefs"
        return _say("False", Reason.NOT_PUBLISHED, message, 0, len(connected))
    since = published.since.get(verdict.resource_key) if published is not None else None
    if since is None:
        message = f"generation {verdict.serving_generation} is not published yet"
        return _say("False", Reason.PENDING, message, 0, len(connected))
    lagging = [view for view in connected if view.applied is None or view.applied < since]
    running = len(connected) - len(lagging)
    total = _count_running(running, len(connected), verdict.serving_generation)
    if verdict.serving == "LastGood":
        message = (
            f"generation {verdict.meta.generation} is not published (see Accepted and ResolvedRefs); {total}"
        )
        return _say("False", Reason.NOT_PUBLISHED, message, 0, len(connected))
    if not connected:
        return _say("False", Reason.NO_GATEWAYS, total, 0, 0)
    if not lagging:
        return _say("True", Reason.PROGRAMMED, total, running, len(connected))
    refused = [
        _tell_refusal(view.gateway, view.refused, verdict.resource_key)
        for view in lagging
        if view.refused is not None and _concerns(view.refused, since)
    ]
    waiting = [view.gateway for view in lagging if view.refused is None or not _concerns(view.refused, since)]
    message = total
    if refused:
        message += f"; {enumerate_some(refused)}"
    if waiting:
        message += f"; waiting for {enumerate_some(waiting)}"
    return _say("False", Reason.REFUSED if refused else Reason.PENDING, message, running, len(connected))


def await_gateways(verdict: Verdict, previous: PreviousStatus) -> Programmed:
    """While the gateways of a new leader have not dialled in: what was said of this generation before."""
    kept = keep_judgement(previous, ConditionType.PROGRAMMED, verdict.meta.generation)
    if kept is not None:
        return Programmed(kept, previous.gateways)
    message = "the gateways have not dialled in to this operator yet"
    return Programmed(Judgement(ConditionType.PROGRAMMED, "Unknown", Reason.PENDING, message), None)


def _concerns(refused: Nack, since: Version) -> bool:
    return refused.version >= since


def _tell_refusal(gateway: str, refused: Nack, resource_key: str) -> str:
    own = [fault.message for fault in refused.faults if fault.resource in (resource_key, "")]
    if own:
        return f"{gateway} refused it: {'; '.join(own)}"
    return f"{gateway} refused the table that holds it because of another object"


def _count_running(running: int, connected: int, generation: int | None) -> str:
    if connected == 0:
        return f"no gateway is connected to run generation {generation}"
    return f"{count(running, connected, 'gateway', ('runs', 'run'))} generation {generation}"


def _say(status: ConditionStatus, reason: Reason, message: str, running: int, connected: int) -> Programmed:
    judgement = Judgement(ConditionType.PROGRAMMED, status, reason, message)
    return Programmed(judgement, f"{running}/{connected}")
