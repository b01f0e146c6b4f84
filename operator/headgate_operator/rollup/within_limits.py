"""WithinLimits: is there room under every limit of a quota.

| of the tightest limit that refuses | condition           |
|------------------------------------|---------------------|
| nothing is left                    | False, Exhausted    |
| 80 % or more is taken              | True, NearLimit     |
| less                               | True, WithinLimits  |
| no gateway has told                | Unknown, NoReports  |

Taken is what is used and what is held for running requests. A limit in Shadow refuses nobody and says nothing
here.

The subtle rule: a tenant at its limit is over it and under it by turns, many times a minute, and each turn
would be a write and a transition that nobody can read. So Exhausted is said at once, and taken back when a
minute has passed and a twentieth of the amount is free. An edit of the quota ends that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from gateway_runtime.contract.tenant import LimitScope
from headgate_operator.api.reasons import ConditionType, Reason
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup.judgement import Judgement, count, enumerate_some
from headgate_operator.rollup.previous import ConditionStatus, PreviousStatus
from headgate_operator.rollup.usage import LimitUse, QuotaUse
from headgate_operator.rollup.views import STALE_S

NEAR_PERCENT: Final = 80
FREE_AGAIN_PERCENT: Final = 95
"""Below this Exhausted is taken back. A window that is kept full frees a sixtieth at a time."""
EXHAUSTED_AT_LEAST_S: Final = 60.0
"""The shortest window: two transitions a minute are as many as a status should have. A guess."""

_WHOSE: Final[Mapping[LimitScope, str]] = {
    "Tenant": "",
    "PerUser": " of one user",
    "PerKey": " of one key",
    "PerModel": " of one model",
}


def judge_limits(verdict: Verdict, use: QuotaUse, previous: PreviousStatus, now: datetime) -> Judgement:
    """`now`: the wall clock's, which wrote the transition times in `previous`."""
    if verdict.serving == "Nothing":
        message = "nothing of this object is in the routing table, so nothing is counted"
        return _say("Unknown", Reason.NOT_PUBLISHED, message)
    binding = [limit for limit in use.limits if not limit.limit.shadow]
    if not binding:
        shadow = "no limit refuses anything: all have mode Shadow"
        return _say("True", Reason.WITHIN_LIMITS, shadow if use.limits else "there is no limit")
    known = [limit for limit in binding if limit.used is not None]
    if not known:
        message = f"no gateway has told within {STALE_S:.0f} s what is used"
        return _say("Unknown", Reason.NO_REPORTS, message)
    note = ""
    if any(limit.missing for limit in binding):
        note = f"; {count(use.told, use.gateways, 'gateway', ('has', 'have'))} told"
    if spent := [limit for limit in known if limit.remaining == 0]:
        names = enumerate_some([_name(limit) for limit in spent])
        message = (
            f"used up: {names}; what does not fit waits or is refused until some is free again, "
            "or the amount is raised"
        )
        return _say("False", Reason.EXHAUSTED, message + note)
    tightest = find_tightest(known)
    if _lingers(verdict, tightest.percent, previous, now):
        message = f"used up a moment ago; the tightest now: {_tell(tightest)}"
        return _say("False", Reason.EXHAUSTED, message + note)
    if near := [limit for limit in known if limit.percent >= NEAR_PERCENT]:
        names = enumerate_some([_tell(limit) for limit in near])
        return _say("True", Reason.NEAR_LIMIT, f"{NEAR_PERCENT}% or more is taken: {names}{note}")
    if untold := [limit.limit.name for limit in binding if limit.used is None]:
        message = f"no gateway has told yet what is used of {enumerate_some(untold)}"
        return _say("Unknown", Reason.NO_REPORTS, message)
    return _say("True", Reason.WITHIN_LIMITS, f"less than {NEAR_PERCENT}% of every limit is taken{note}")


def find_tightest(limits: Sequence[LimitUse]) -> LimitUse:
    """The first of those with the highest utilization. limits: at least one."""
    return max(limits, key=lambda limit: limit.percent)


def _lingers(verdict: Verdict, percent: int, previous: PreviousStatus, now: datetime) -> bool:
    said = previous.condition(ConditionType.WITHIN_LIMITS)
    if (
        said is None
        or said.status != "False"
        or said.observed_generation != verdict.meta.generation
        or said.last_transition_time is None
    ):
        return False
    try:
        began = datetime.fromisoformat(said.last_transition_time)
    except ValueError:
        return False  # somebody else's writing
    if began.tzinfo is None:
        return False  # likewise
    return percent >= FREE_AGAIN_PERCENT or (now - began).total_seconds() < EXHAUSTED_AT_LEAST_S


def _name(use: LimitUse) -> str:
    return f"{use.limit.name}{_WHOSE[use.limit.scope]}"


def _tell(use: LimitUse) -> str:
    return f"{_name(use)} {use.percent}%"


def _say(status: ConditionStatus, reason: Reason, message: str) -> Judgement:
    return Judgement(ConditionType.WITHIN_LIMITS, status, reason, message)
