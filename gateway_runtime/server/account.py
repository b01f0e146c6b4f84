"""A request that is over as a row of the ledger: a Record in, a UsageRow out.

`front` asks for each request; those that no provider was asked have none. Positional, since naming its 25
members would double what a row takes: 1 µs.
"""

from typing import Final

from gateway_runtime.ledger.row import LARGEST, UsageRow
from gateway_runtime.providers.operation import Operation
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.record import Record

_KEY_DIGITS: Final = 12
_ASKING: Final = frozenset({"GET", "DELETE"})
_NOTHING: Final = Usage(0, 0)


def build_row(record: Record, now_s: float, unix_s: float) -> UsageRow | None:
    """now_s: on the clock of the record's times. None: no provider was asked."""
    tenant, provider, route, operation = record.tenant, record.provider, record.route, record.operation
    if tenant is None or provider is None or route is None or operation is None or record.attempts == 0:
        return None
    usage, cost, priced = record.usage, record.cost_usd_picos, not record.unpriced
    if usage is None and record.status < 400 and _is_free(operation):
        usage, cost = _NOTHING, 0
    if cost is not None and not 0 <= cost <= LARGEST:
        cost, priced = None, False  # no request costs millions: what the provider told cannot be true
    key, error, fallback, first_s = record.key_hash, record.error, record.fallback, record.first_byte_s
    started_s = record.started_s
    return UsageRow(
        record.request_id,
        int(unix_s * 1000),
        tenant.id,
        record.user,
        None if key is None else key[:_KEY_DIGITS],
        route.id,
        provider.id,
        record.model or "",
        record.upstream_model,
        operation.path,
        record.status,
        None if error is None else error.id,
        record.stream,
        None if usage is None else usage.input_tokens,
        None if usage is None else usage.output_tokens,
        None if usage is None else usage.cached_tokens,
        None if usage is None else usage.cache_write_tokens,
        None if usage is None else usage.reasoning_tokens,
        cost,
        priced,
        False,
        int((now_s - started_s) * 1000),
        None if first_s is None else int((first_s - started_s) * 1000),
        record.attempts,
        None if fallback is None else fallback.model,
    )


def _is_free(operation: Operation) -> bool:
    """To count tokens, to look at what is kept, to delete it: no provider bills any of these."""
    return operation.kind == "count" or operation.method in _ASKING
