"""What a TenantQuota's status shows of its limits and keys, and the text of its two columns.

In: the limits of the table, the gateways' views, what the status said before. Out: `LiveValues`. Money is
decimal text, exact to the picodollar; everything else whole numbers.

The subtle rule: a time of reset that differs by no more than `_SLACK_S` from the one shown is shown as
before. Gateways make it out of two clocks that drift apart, and a status must not be written for that.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Final

import msgspec

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.contract.usd import PICOS, format_usd
from headgate_operator.api.reasons import ConditionType
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup.judgement import keep_judgement
from headgate_operator.rollup.key_uses import join_key_uses
from headgate_operator.rollup.live_values import LiveValues
from headgate_operator.rollup.previous import PreviousStatus
from headgate_operator.rollup.usage import LimitUse, add_up
from headgate_operator.rollup.views import GatewayView
from headgate_operator.rollup.within_limits import find_tightest, judge_limits

_SLACK_S: Final = 2
_CENTS: Final = 2
"""Digits behind the point that a column has at least."""
_NONE: Final = "-"
_UNKNOWN: Final = "Unknown"


def build_quota_values(
    verdict: Verdict,
    previous: PreviousStatus,
    gateways: Sequence[GatewayView],
    now_s: float,
    observed_at: str,
) -> LiveValues:
    now = datetime.fromisoformat(observed_at)
    tenant = TenantId(verdict.meta.id)
    use = add_up(tenant, verdict.limits, gateways, now_s, now.timestamp())
    fields = _begin_fields(verdict)
    fields["spend"] = _show_spend(use.limits)
    fields["tightest"] = _show_tightest(use.limits)
    if use.limits:
        fields["limits"] = [_show_limit(limit, previous) for limit in use.limits]
    if keys := join_key_uses(tenant, gateways, previous):
        fields["keys"] = keys
    fields["observedAt"] = observed_at
    return LiveValues(judge_limits(verdict, use, previous, now), fields)


def keep_quota_values(verdict: Verdict, previous: PreviousStatus) -> LiveValues | None:
    """None when the status says nothing about this generation."""
    judgement = keep_judgement(previous, ConditionType.WITHIN_LIMITS, verdict.meta.generation)
    if judgement is None:
        return None
    fields = _begin_fields(verdict)
    fields |= {"spend": previous.spend or _UNKNOWN, "tightest": previous.tightest or _UNKNOWN}
    if verdict.limits:
        fields["limits"] = [_keep_limit(limit, previous) for limit in verdict.limits]
    if previous.keys:
        fields["keys"] = [msgspec.to_builtins(key) for key in previous.keys]
    if previous.observed_at is not None:
        fields["observedAt"] = previous.observed_at
    return LiveValues(judgement, fields)


def _begin_fields(verdict: Verdict) -> dict[str, object]:
    return {"subjects": f"{verdict.refs_resolved}/{verdict.refs_total}"}


def _show_limit(use: LimitUse, previous: PreviousStatus) -> dict[str, object]:
    shown = _begin_limit(use.limit) | {"amount": _show_amount(use.limit, use.amount)}
    if use.used is None:
        return shown
    shown |= {
        "used": _show_amount(use.limit, use.used),
        "held": _show_amount(use.limit, use.held),
        "remaining": _show_amount(use.limit, use.remaining),
        "utilization": use.percent,
    }
    if use.resets_unix_s is not None:
        said = previous.limit(use.limit.name)
        shown["resetsAt"] = _show_reset(use.resets_unix_s, None if said is None else said.resets_at)
    return shown


def _keep_limit(limit: Limit, previous: PreviousStatus) -> dict[str, object]:
    said = previous.limit(limit.name)
    kept: dict[str, object] = {} if said is None else msgspec.to_builtins(said)
    return kept | _begin_limit(limit)


def _begin_limit(limit: Limit) -> dict[str, object]:
    return {
        "name": limit.name,
        "resource": limit.resource,
        "scope": limit.scope,
        "mode": "Shadow" if limit.shadow else "Enforce",
    }


def _show_amount(limit: Limit, amount: int) -> int | str:
    return format_usd(amount) if limit.resource == "USD" else amount


def _show_reset(unix_s: float, shown: str | None) -> str:
    at = datetime.fromtimestamp(ceil(unix_s), UTC)
    if shown is not None:
        try:
            before = datetime.fromisoformat(shown)
        except ValueError:
            before = None
        if before is not None and before.tzinfo and abs((at - before).total_seconds()) <= _SLACK_S:
            return shown
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _show_spend(limits: Sequence[LimitUse]) -> str:
    """`12.40/50.00`: in as many digits as the amount has, cents at least, so that a small budget is no row of
    zeros.
    """
    dollars = next((limit for limit in limits if limit.limit.resource == "USD"), None)
    if dollars is None:
        return _NONE
    if dollars.used is None:
        return _UNKNOWN
    _, _, rest = format_usd(dollars.amount).partition(".")
    digits = max(_CENTS, len(rest))
    return f"{_show_dollars(dollars.used, digits)}/{_show_dollars(dollars.amount, digits)}"


def _show_dollars(picos: int, digits: int) -> str:
    """Rounded down: spent is what was spent, and not what is about to be."""
    whole, rest = divmod(picos, PICOS)
    return f"{whole}.{rest:012d}"[: len(str(whole)) + 1 + digits]


def _show_tightest(limits: Sequence[LimitUse]) -> str:
    binding = [limit for limit in limits if not limit.limit.shadow]
    known = [limit for limit in binding if limit.used is not None]
    if not known:
        return _UNKNOWN if binding else _NONE
    tightest = find_tightest(known)
    return f"{tightest.limit.name} {tightest.percent}%"
