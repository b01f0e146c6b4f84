"""How one request stands with its tenant's limits while nothing of them is used: a Bound in, what each limit
has and how often the request fits into it out.

`explain` asks. The limits are those that the gateway would build (`engine.book`), the parent's among them,
and the verdict is that of `admission.charge`, in the gateway's own words. Where gateways share no store,
each has an equal part of an amount, and the smallest part is judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from msgspec import structs

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Calendar, Limit, LimitResource, LimitScope, Tenant
from gateway_runtime.contract.usd import format_usd
from gateway_runtime.engine.amounts import USD, Bound
from gateway_runtime.engine.book import LimitBook, LimitIdentity, LimitKind
from gateway_runtime.engine.calendar import find_period, find_zone
from gateway_runtime.engine.limits import Refused, TenantLimit
from gateway_runtime.engine.local_limits import LocalMaker
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.server.admission import charge
from gateway_runtime.server.refusal import refuse_over_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStep:
    """Amounts of US dollars are decimal text, all others whole numbers."""

    name: str
    quota: str
    """Whose limit it is: the tenant's own, or its parent's."""
    resource: LimitResource
    scope: LimitScope
    shadow: bool
    window_s: float | None
    """None: it has a calendar, or counts what is under way."""
    calendar: Calendar | None
    zone: str | None
    period_ends: str | None
    """The present one, by the calendar."""
    amount: int | str
    """In force now, of all gateways together."""
    override_until: str | None
    own_amount: int | str | None
    """What holds after the override; None: no override holds."""
    part: int | str
    """Of one gateway: the smallest there is."""
    needs: int | str | None
    """What one such request reserves of it. None: what it costs is not known."""
    fits: int | None
    """How many of them have room at a gateway where nothing is used. None: there is no such number."""
    takes_rest: bool
    """The quota's overshoot is OneRequest: what is left will do, however little."""
    refusal: str = ""
    """Why it never has room for one, as the gateway would say it."""
    tightest: bool = False
    """Of the limits that refuse, it has room for the fewest."""


def reserves(live: LiveTable, tenant: Tenant, maker: LocalMaker) -> bool:
    """Whether the request is bounded before it is sent, since some limit counts more than requests."""
    book = LimitBook(maker)
    book.configure(live.table.tenants)
    return book.reserves(tenant)


def build_maker(now_unix_s: float, gateways: int) -> LocalMaker:
    """gateways: how many share each amount."""
    return LocalMaker(lambda: 0.0, lambda: now_unix_s, Share(index=gateways - 1, gateways=gateways))


def list_limits(
    live: LiveTable, tenant: Tenant, maker: LocalMaker, bound: Bound, now_unix_s: float, *, reserved: bool
) -> tuple[LimitStep, ...]:
    """The tenant's own, then its parent's. reserved: see `reserves`."""
    parents = [other for other in live.table.tenants if other.id == tenant.parent]
    return _mark_tightest(
        [
            _describe(owner, rule, tenant, maker, bound, now_unix_s, reserved=reserved)
            for owner in (tenant, *parents)
            for rule in owner.limits
        ]
    )


def _describe(
    owner: Tenant,
    rule: Limit,
    tenant: Tenant,
    maker: LocalMaker,
    bound: Bound,
    now_unix_s: float,
    *,
    reserved: bool,
) -> LimitStep:
    resource = rule.resource
    refusing = structs.replace(rule, shadow=False)  # of one in shadow: what it would say
    built = maker.build(
        owner, refusing, LimitIdentity(LimitKind(owner.id, rule.name, resource, rule.scope), "")
    )
    need = bound.by_place()[built.place]
    override = next((one for one in rule.overrides if now_unix_s < one.until_unix_s), None)
    ends = None
    if rule.calendar is not None:
        ends = find_period(now_unix_s, rule.calendar, find_zone(rule.zone)).end_unix_s
    takes_rest = tenant.one_over and built.place <= USD
    return LimitStep(
        name=rule.name,
        quota=owner.id,
        resource=resource,
        scope=rule.scope,
        shadow=rule.shadow,
        window_s=rule.window_s or None,
        calendar=rule.calendar,
        zone=None if rule.calendar is None else rule.zone,
        period_ends=None if ends is None else _build_moment(ends, rule.zone),
        amount=_tell(resource, find_amount(rule, now_unix_s)),
        override_until=None if override is None else _build_moment(override.until_unix_s, "UTC"),
        own_amount=None if override is None else _tell(resource, rule.amount),
        part=_tell(resource, built.amount),
        needs=None if need is None else _tell(resource, need),
        fits=None if takes_rest or not need else built.amount // need,
        takes_rest=takes_rest,
        refusal=_judge(rule, built, tenant, bound if reserved else None, now_unix_s),
    )


def _judge(rule: Limit, limit: TenantLimit, tenant: Tenant, bound: Bound | None, now_unix_s: float) -> str:
    outcome = charge((limit,), tenant, bound, 0.0)
    if not isinstance(outcome, Refused):
        return ""
    error = refuse_over_limit(rule, outcome, now_unix_s)
    return f"{error.code.id} {error.message}"


def _mark_tightest(steps: Sequence[LimitStep]) -> tuple[LimitStep, ...]:
    least = min((step.fits for step in steps if step.fits is not None and not step.shadow), default=None)
    if least is None:
        return tuple(steps)
    return tuple(replace(step, tightest=step.fits == least and not step.shadow) for step in steps)


def _build_moment(unix_s: float, zone: str) -> str:
    """RFC 3339."""
    moment = datetime.fromtimestamp(unix_s, UTC if zone == "UTC" else find_zone(zone))
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _tell(resource: LimitResource, amount: int) -> int | str:
    return format_usd(amount) if resource == "USD" else amount
