"""When a quota's keys were last used: what the gateways told and what the status said before, joined.

In: views of all gateways, stale ones too, since a use stays one. Out: the keys as they stand in the status,
the newest first. What was told before stays when all gateways start anew: they remember nothing, the status
does. A key that has left the quota stays until 32 others were used: it tells when it was used last.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gateway_runtime.contract.ids import TenantId
from headgate_operator.rollup.previous import PreviousStatus
from headgate_operator.rollup.views import GatewayView

SHOWN_KEYS: Final = 32
_STEP_S: Final = 60
"""Uses are shown in whole minutes: a key in constant use is one write a minute, not one a second."""


def join_key_uses(
    tenant: TenantId, gateways: Sequence[GatewayView], previous: PreviousStatus
) -> list[dict[str, object]]:
    last: dict[str, str] = {key.id: key.last_used for key in previous.keys if key.last_used is not None}
    for view in gateways:
        heard = view.tenants.get(tenant)
        for use in () if heard is None else heard.report.keys:
            at = _show_minute(use.last_unix_s)
            last[use.key_id] = max(at, last.get(use.key_id, ""))
    newest = sorted(sorted(last), key=lambda key: last[key], reverse=True)[:SHOWN_KEYS]
    return [{"id": key, "lastUsed": last[key]} for key in newest]


def _show_minute(unix_s: float) -> str:
    whole = int(unix_s) // _STEP_S * _STEP_S
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
