"""`GET /v1/limits`: how a caller stands with each limit that holds for it, its tenant's own and the parent's.

`front` asks once the caller is known. Amounts are whole ones, overrides included, as in `tenant_report`; what
is used and held is this gateway's own unless a store told what all have, and what remains is what this
gateway may still admit. Money is decimal, in text.

The one subtle rule: of a limit that is for each user or key the caller's own is told, where it is known who
that is; else, as in `tenant_report`, the one with least room.
"""

from typing import Final

import msgspec

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.book import Met
from gateway_runtime.engine.limits import share_of
from gateway_runtime.ledger.usd import format_usd
from gateway_runtime.server.state import LiveState

LIMITS: Final = "/v1/limits"

_encoder = msgspec.json.Encoder()


def describe_limits(
    state: LiveState, tenant: Tenant, user: str | None, key_id: str | None, now_s: float
) -> bytes:
    """user, key_id: the caller's, as far as they are known."""
    unix_s = state.clock.unix()
    return _encoder.encode(
        {
            "object": "list",
            "tenant": tenant.id,
            "data": [_describe(state, met, now_s, unix_s) for met in state.list_met(tenant, user, key_id)],
            "shared_by_gateways": state.share.gateways,
        }
    )


def _describe(state: LiveState, met: Met, now_s: float, unix_s: float) -> dict[str, object]:
    owner, limit, built, value = met
    amount = find_amount(limit, unix_s)
    used = held = 0
    remaining = _find_part(state, amount)
    reset_s: float | None = 0.0
    is_shared = False
    if built is not None:
        found = built.state(now_s)
        used, held, remaining, is_shared = found.used, found.held, found.remaining, found.shared
        if used or held:
            reset_s = round(found.reset_s, 3)
    return {
        "name": limit.name,
        "tenant": owner.id,
        "resource": limit.resource,
        "mode": "Shadow" if limit.shadow else "Enforce",
        "scope": limit.scope,
        "of": value,
        "window_s": limit.window_s or None,
        "calendar": limit.calendar,
        "zone": None if limit.calendar is None else limit.zone,
        "amount": _show(limit, amount),
        "used": _show(limit, used),
        "held": _show(limit, held),
        "remaining": _show(limit, remaining),
        "resets_in_s": None if limit.resource == "Concurrency" else reset_s,
        "shared": is_shared,
    }


def _find_part(state: LiveState, amount: int) -> int:
    """Of it, this gateway's."""
    if state.desk is not None:
        return amount
    return share_of(amount, state.share.index, state.share.gateways)


def _show(limit: Limit, amount: int) -> int | str:
    return format_usd(amount) if limit.resource == "USD" else amount
