"""What a request did cost, once it is over: a Record in, its hold settled.

    its usage was told              that, and its price
    an answer began, no usage       an estimate: a quarter of the body's bytes, and a token for each event
    nothing was answered            nothing: providers do not bill refusals

`front` calls `settle` when a request is over, however it ended, and nobody else ends a hold. The one subtle
rule: an estimate is never above the bound, which is what was held; `Hold.settle` sees to that.
"""

from typing import Final

import structlog

from gateway_runtime.engine.amounts import Spent
from gateway_runtime.server.record import Record
from gateway_runtime.server.reservation import Reservation

log = structlog.get_logger()

_BYTES_PER_TOKEN: Final = 4
"""Of English; other languages have fewer, and then more tokens were used than are settled here."""


def settle(record: Record, reservation: Reservation, now_s: float) -> None:
    """reservation: the record's."""
    hold = reservation.hold
    hold.settle(find_spent(record, reservation), now_s)
    if hold.cut:
        # Our bound was none, or the provider's usage is not to be believed: somebody has to look.
        log.warning("used more than was reserved", request_id=record.request_id, limits=hold.cut)


def find_spent(record: Record, reservation: Reservation) -> Spent:
    usage, bound = record.usage, reservation.bound
    if usage is not None:
        cost = record.cost_usd_picos
        return Spent(usage.input_tokens, usage.output_tokens, 0 if cost is None else cost)
    began = record.events > 0 or (record.status == 200 and record.attempts > 0)
    if not began:
        return Spent(0, 0, 0)
    tokens_in = min(-(-reservation.size // _BYTES_PER_TOKEN), bound.input_tokens)
    tokens_out = min(record.events, bound.output_tokens)
    # Money by the share of the bound's tokens: which of its endpoints answered may not be known.
    whole = bound.input_tokens + bound.output_tokens
    money = 0 if not bound.usd_picos or not whole else bound.usd_picos * (tokens_in + tokens_out) // whole
    return Spent(tokens_in, tokens_out, money)
