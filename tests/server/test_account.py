"""A request's row: made once, before the last of its answer, with what is known then."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.ledger.journal import Journal
from gateway_runtime.ledger.ledger import Ledger
from gateway_runtime.providers.models.prices import Prices, Tier
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.account import Books, build_row
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.record import Record
from gateway_runtime.server.settle import find_spent
from tests.contract.tables import build_provider, build_route, build_tenant
from tests.ledger.test_ledger import MemoryStore, unix

PRICES = Prices(
    input_usd_picos=3,
    output_usd_picos=5,
    cached_input_usd_picos=1,
    tiers=(Tier(input_usd_picos=7, output_usd_picos=11, above_input_tokens=1000),),
)


@pytest.fixture
def record() -> Record:
    record = Record("r", "/v1/chat/completions", 10.0)
    record.tenant, record.route, record.provider = build_tenant("key"), build_route("gpt"), build_provider()
    record.model, record.upstream_model = "gpt", "gpt-1"
    record.attempts = 1
    return record


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def books(store: MemoryStore, tmp_path: Path) -> Iterator[Books]:
    ledger = Ledger(store, Journal(tmp_path, "me", unix), unix, keep_days=None)
    ledger.start()
    yield Books(ledger, Clock(lambda: 12.5, unix))
    ledger.close()


def test_a_request_is_kept_once_as_it_was_the_first_time(
    books: Books, record: Record, store: MemoryStore
) -> None:
    record.note_usage(Usage(10, 2), PRICES)
    books.keep(record, 200)
    record.note_usage(Usage(99, 99), PRICES)  # of a copy in a race, too late
    books.keep(record)
    store.wait(lambda: store.ids == ["r"])

    assert record.is_kept
    assert record.status == 200
    assert find_spent(record) == (10, 2, 40)


def test_what_comes_too_late_for_the_row_comes_too_late_for_the_limits(record: Record) -> None:
    record.note_usage(Usage(10, 2), PRICES)
    row = build_row(record, 12.5, 0.0, whole=True)
    record.note_usage(Usage(99, 99), PRICES)

    assert row is not None
    assert (row.input_tokens, row.output_tokens, row.cost_usd_picos) == find_spent(record)


def test_a_row_has_the_rates_of_the_tier_that_was_billed(record: Record) -> None:
    record.note_usage(Usage(2000, 10, cached_tokens=500), PRICES)
    row = build_row(record, 12.5, 0.0, whole=True)

    assert row is not None
    assert (row.input_usd_picos, row.output_usd_picos, row.cached_input_usd_picos) == (7, 11, None)
    assert row.cost_usd_picos == 2000 * 7 + 10 * 11


def test_tags_are_a_json_object_in_order_and_nothing_is_null(record: Record) -> None:
    bare = build_row(record, 12.5, 0.0, whole=True)
    record.tags = (("unit", "b"), ("team", 'a"ü'))
    row = build_row(record, 12.5, 0.0, whole=True)

    assert bare is not None
    assert row is not None
    assert (bare.tags, row.tags) == (None, '{"team":"a\\"ü","unit":"b"}')


@pytest.mark.parametrize(
    ("status", "error", "whole", "end"),
    [
        (200, None, True, "answered"),
        (400, None, True, "refused"),
        (502, ErrorCode.UPSTREAM_UNREACHABLE, True, "failed"),
        (200, ErrorCode.STREAM_INTERRUPTED, False, "broke-off"),
        (200, None, False, "left"),
        (499, None, False, "left"),
    ],
)
def test_a_row_says_how_its_request_ended(
    record: Record, status: int, error: ErrorCode | None, whole: bool, end: str
) -> None:
    record.status, record.error = status, error
    row = build_row(record, 12.5, 0.0, whole=whole)

    assert row is not None
    assert row.end == end


def test_a_whole_answer_begins_and_ends_now(books: Books, record: Record) -> None:
    books.keep(record, 200)
    row = build_row(record, 12.5, 0.0, whole=True)

    assert row is not None
    assert (row.first_token_ms, row.duration_ms) == (2500, 2500)


def test_what_no_provider_was_asked_has_no_row(books: Books, record: Record, store: MemoryStore) -> None:
    record.attempts = 0
    books.keep(record, 404)
    other = Record("other", "/v1/models", 0.0)
    books.keep(other, 200)

    assert build_row(record, 12.5, 0.0, whole=True) is None
    assert (record.is_kept, other.is_kept, store.ids) == (True, True, [])
