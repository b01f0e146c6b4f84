"""What `docs/providers.md` says of providers in its tables is what the wires do."""

import os
from collections.abc import Iterator

import pytest

from gateway_runtime.contract.table import WireName
from gateway_runtime.media.fetcher import LIMIT_BYTES, LIMIT_COUNT, TIMEOUT_S
from gateway_runtime.providers.operations import OPERATIONS
from tests.docs.provider_callers import THINGS
from tests.docs.provider_requests import FEATURES, Feature, judge_all
from tests.docs.provider_sdks import CALLERS
from tests.docs.provider_table import PAGE, TABLES, build_page
from tests.docs.provider_wires import NAMES, find_pairs

KINDS = ("answer", "stream", "error")


@pytest.fixture(autouse=True, scope="module")
def _own_environment() -> Iterator[None]:
    """Loading litellm takes variables out of the process; other tests get theirs back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_tables_of_the_page_are_what_the_wires_do(update_golden: bool) -> None:
    page = PAGE.read_text()
    expected = build_page(page)
    if update_golden:
        PAGE.write_text(expected)
        page = expected

    assert page == expected, "docs/providers.md is stale: run this with --update-golden"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_a_provider_does_not_hear_of_is_told(feature: Feature, name: WireName) -> None:
    assert "lost" not in judge_all(name, feature)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", [path for path in CALLERS if path in OPERATIONS])
def test_every_golden_pair_of_a_wire_reaches_every_caller(path: str, name: WireName) -> None:
    broken = {thing: find_broken(path, name) for thing, find_broken in THINGS.items()}

    assert {thing: pairs for thing, pairs in broken.items() if pairs} == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_wire_has_pairs_to_look_at(name: WireName) -> None:
    assert all(find_pairs(kind, name) for kind in KINDS)


def test_the_page_has_each_table_once() -> None:
    page = PAGE.read_text()

    assert [page.count(f"<!-- {name}: ") for name in TABLES] == [1] * len(TABLES)
    assert [page.count(f"<!-- end of {name} ") for name in TABLES] == [1] * len(TABLES)


def test_what_is_fetched_is_bounded_as_the_page_says() -> None:
    bounds = f"Up to {LIMIT_COUNT} of them and {LIMIT_BYTES >> 20} MiB for a\nrequest, within {TIMEOUT_S:g} s"

    assert bounds in PAGE.read_text()
