"""The gateway's books: a Record in, its row in the ledger, exactly once.

    the last of an answer is about to go out   keep(record, status)
    the request is over, and nothing did       keep(record)

`express`, `relay` and `journey` keep a request's row when they have its whole answer in hand, `front` that of
any other: so no caller has an answer whose row a killed process would lose. Requests that no provider was
asked have none.

The row is made positionally, since naming its 32 members would double what it takes: 1.4 µs.
"""

from collections.abc import Sequence

import msgspec

from gateway_runtime.ledger.ledger import Ledger
from gateway_runtime.ledger.row import LARGEST, End, UsageRow
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.record import Record
from gateway_runtime.server.used import find_used


class Books:
    """Of one gateway."""

    __slots__ = ("_clock", "_ledger")

    def __init__(self, ledger: Ledger | None, clock: Clock) -> None:
        """ledger: None keeps nothing."""
        self._ledger = ledger
        self._clock = clock

    def keep(self, record: Record, status: int = 0) -> None:
        """status: of the whole answer that goes out now; 0: there is none. The second call does nothing."""
        if record.is_kept:
            return
        record.is_kept = True
        ledger = self._ledger
        if ledger is None:
            return
        now_s = self._clock.now()
        if status:
            record.status = status
            if record.first_byte_s is None:
                record.first_byte_s = now_s
        row = build_row(record, now_s, self._clock.unix(), whole=status != 0)
        if row is not None:
            ledger.record(row)


def build_row(record: Record, now_s: float, unix_s: float, *, whole: bool) -> UsageRow | None:
    """now_s: on the clock of the record's times. whole: all of an answer goes out. None: no provider was
    asked.
    """
    tenant, provider, route, operation = record.tenant, record.provider, record.route, record.operation
    if tenant is None or provider is None or route is None or operation is None or record.attempts == 0:
        return None
    used = find_used(record)
    usage, cost, rates, unpriced = used.usage, used.cost_usd_picos, used.rates, used.unpriced
    if cost is not None and not 0 <= cost <= LARGEST:
        cost, unpriced = None, True  # no request costs millions: what the provider told cannot be true
    asked = answered = cached = written = thought = None
    if usage is not None:
        asked, answered, cached = usage.input_tokens, usage.output_tokens, usage.cached_tokens
        written, thought = usage.cache_write_tokens, usage.reasoning_tokens
    rate_in = rate_out = rate_cached = rate_written = rate_thought = None
    if rates is not None:
        rate_in, rate_out = rates.input_usd_picos, rates.output_usd_picos
        rate_cached, rate_written = rates.cached_input_usd_picos, rates.cache_write_usd_picos
        rate_thought = rates.reasoning_usd_picos
    error, fallback, first_s, status = record.error, record.fallback, record.first_byte_s, record.status
    started_s = record.started_s
    return UsageRow(
        record.request_id,
        int(unix_s * 1000),
        tenant.id,
        record.user,
        record.key_id,
        route.id,
        provider.id,
        record.model or "",
        record.upstream_model,
        operation.path,
        status,
        None if error is None else error.id,
        record.stream,
        asked,
        answered,
        cached,
        written,
        thought,
        cost,
        not unpriced,
        used.estimated,
        int((now_s - started_s) * 1000),
        None if first_s is None else int((first_s - started_s) * 1000),
        record.attempts,
        None if fallback is None else fallback.model,
        "answered" if whole and error is None and status < 400 else find_end(record, whole=whole),
        build_tags(record.tags) if record.tags else None,
        rate_in,
        rate_out,
        rate_cached,
        rate_written,
        rate_thought,
    )


def find_end(record: Record, *, whole: bool) -> End:
    """How it ended."""
    if record.error is not None:
        return "failed" if record.status >= 400 else "broke-off"
    if not whole:
        return "left"
    return "answered" if record.status < 400 else "refused"


def build_tags(tags: Sequence[tuple[str, str]]) -> str:
    """As JSON, sorted; of a name that comes twice, its last text."""
    return msgspec.json.encode(dict(sorted(tags))).decode()
