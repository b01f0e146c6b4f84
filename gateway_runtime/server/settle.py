"""A request is over: its Record in, its hold settled by what it used, as the ledger has it.

`front` calls `settle` when a request is over, however it ended, and nobody else ends a hold. The one subtle
rule: more than was held is never settled; `Hold.settle` sees to that, and it is told.
"""

import structlog

from gateway_runtime.engine.amounts import NOTHING, Spent
from gateway_runtime.server.record import Record
from gateway_runtime.server.reservation import Reservation
from gateway_runtime.server.used import find_used

log = structlog.get_logger()


def settle(record: Record, reservation: Reservation, now_s: float) -> None:
    """reservation: the record's."""
    hold = reservation.hold
    hold.settle(find_spent(record), now_s)
    if hold.cut:
        # Our bound was none, or the provider's usage is not to be believed: somebody has to look.
        log.warning("used more than was reserved", request_id=record.request_id, limits=hold.cut)


def find_spent(record: Record) -> Spent:
    used = find_used(record)
    if used.usage is None:
        return NOTHING
    return Spent(used.usage.input_tokens, used.usage.output_tokens, used.cost_usd_picos or 0)
