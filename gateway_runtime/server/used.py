"""What a request used, for its row in the ledger and for its limits alike: a Record in, a Used out.

    its usage was told              that, and its price
    text was answered, no usage     an estimate: a quarter of the body's bytes, and a token for each event
    pictures, sound, no usage       not known: what they used is in no relation to what can be seen
    nothing was answered            nothing: providers do not bill refusals

`account` asks when it writes the row, `settle` when it ends the hold. The one subtle rule: it is found once,
and stays: what the ledger adds up to is what was settled, also where something is told too late.
"""

from typing import Final

from gateway_runtime.engine.amounts import Bound
from gateway_runtime.providers.models.prices import find_rates, price_usage
from gateway_runtime.providers.operation import Operation
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.record import Record, Used, add_usage

_BYTES_PER_TOKEN: Final = 4
"""Of English; other languages have fewer, and then more tokens were used than are counted here."""
_ASKING: Final = frozenset({"GET", "DELETE"})
_NOTHING: Final = Usage(0, 0)
_FREE: Final = Used(_NOTHING, 0)
_UNKNOWN: Final = Used(None, None)


def find_used(record: Record) -> Used:
    used = record.used
    if used is None:
        operation, usage = record.operation, record.usage
        if operation is not None and (operation.kind == "count" or operation.method in _ASKING):
            # To count tokens, to look at what is kept, to delete it: no provider bills any of these.
            used = _FREE if 0 < record.status < 400 else _UNKNOWN
        elif record.asked_bytes and operation is not None and _is_text(operation):
            used = _add_estimate(record, record.asked_bytes)
        elif usage is None:
            used = _UNKNOWN
        else:
            used = Used(usage, record.cost_usd_picos, record.rates, record.unpriced)
        record.used = used
    return used


def _add_estimate(record: Record, asked_bytes: int) -> Used:
    """To what other attempts told."""
    told, prices = record.usage or _NOTHING, record.prices
    tokens_in, tokens_out = -(-asked_bytes // _BYTES_PER_TOKEN), record.events
    cost, rates = record.cost_usd_picos, record.rates
    bound = _find_bound(record)
    if bound is not None:
        tokens_in = max(0, min(tokens_in, bound.input_tokens - told.input_tokens))
        tokens_out = max(0, min(tokens_out, bound.output_tokens - told.output_tokens))
    estimate = Usage(tokens_in, tokens_out)
    if prices is not None:
        before = cost or 0
        cost, rates = before + price_usage(prices, estimate), find_rates(prices, estimate)
        if bound is not None and bound.usd_picos is not None:
            cost = min(cost, max(before, bound.usd_picos))
    return Used(
        add_usage(told, estimate), cost, rates, unpriced=record.unpriced or prices is None, estimated=True
    )


def _find_bound(record: Record) -> Bound | None:
    """Above which no estimate is: so much was held. None: it may use whatever it does."""
    reservation = record.reservation
    return None if reservation is None or reservation.hold.may_exceed else reservation.bound


def _is_text(operation: Operation) -> bool:
    """What is answered is text, or a number for each text."""
    return operation.kind != "other" or operation.asks_usage
