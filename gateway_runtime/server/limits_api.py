"""`GET /v1/limits`: how the caller's tenant stands with each of its limits at this gateway.

`front` asks once the caller is known. Amounts are those in force here: the gateways share an amount out in
equal parts, and the answer says how many there are. Money is decimal, in text.
"""

from typing import Final

import msgspec

from gateway_runtime.contract.table import Tenant
from gateway_runtime.engine.limits import LimitState
from gateway_runtime.ledger.usd import format_usd
from gateway_runtime.server.state import LiveState

LIMITS: Final = "/v1/limits"

_encoder = msgspec.json.Encoder()


def describe_limits(state: LiveState, tenant: Tenant, now_s: float) -> bytes:
    states = [limit.state(now_s) for limit in state.limits_of(tenant)]
    return _encoder.encode(
        {
            "object": "list",
            "tenant": tenant.id,
            "data": [_describe(one) for one in states],
            "shared_by_gateways": state.share.gateways,
        }
    )


def _describe(limit: LimitState) -> dict[str, object]:
    def shown(amount: int) -> int | str:
        return format_usd(amount) if limit.resource == "USD" else amount

    return {
        "name": limit.name,
        "resource": limit.resource,
        "mode": "Shadow" if limit.shadow else "Enforce",
        "amount": shown(limit.amount),
        "used": shown(limit.used),
        "held": shown(limit.held),
        "remaining": shown(limit.remaining),
        "resets_in_s": round(limit.reset_s, 3),
    }
