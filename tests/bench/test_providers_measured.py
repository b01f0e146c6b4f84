"""The same benchmark, small: each gateway answers each row of it, in the mock's words."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.providers.cases import NATIVE
from bench.providers.gateways import ALONE, BEFORE, LITELLM, Started, start_gateways
from bench.providers.own import measure
from bench.providers.rounds import Rounds, Row, list_rows
from bench.speed.environment import find_own
from bench.speed.machine import Cores
from bench.speed.programs import Programs, build_programs, find_cache

CORE = min(os.sched_getaffinity(0))
"""One for everything: this is about answers, not about time."""
ROWS = [row for row in list_rows() if row.gateway != BEFORE]


@pytest.fixture(scope="module")
def programs() -> Programs:
    return build_programs(find_cache())


@pytest.fixture(scope="module")
def upstream(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with programs.start_mock(CORE, tmp_path_factory.mktemp("mock")) as ports:
        yield ports[0]


@pytest.fixture(scope="module")
def gateways(upstream: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Started]]:
    folder = tmp_path_factory.mktemp("gateways")
    with start_gateways(None, upstream, Cores(CORE, CORE), folder, find_own()) as (started, absent):
        assert absent == {}
        yield started


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_answered(
    row: Row, gateways: dict[str, Started], programs: Programs, tmp_path: Path
) -> None:
    port = gateways[row.gateway].port
    chat = replace(row.build_order(60, 0), connections=4, requests=20)
    streams = replace(row.build_order(60, 10), connections=4, requests=8)

    whole = programs.run_load(port, chat, CORE, tmp_path)
    streamed = programs.run_load(port, streams, CORE, tmp_path)

    assert (whole.requests, whole.errors) == (20, {})
    assert (streamed.requests, streamed.chunks, streamed.lost_chunks, streamed.errors) == (8, 80, 0, {})


def test_litellm_is_seen_where_it_is_and_nowhere_else(gateways: dict[str, Started]) -> None:
    seen = {name: started.count_litellm_modules() for name, started in gateways.items()}

    assert seen.pop(LITELLM) > 100
    assert set(seen.values()) == {0}
    assert gateways[ALONE].count_litellm_files() == 0


def test_a_row_without_its_gateway_keeps_the_reason(
    gateways: dict[str, Started], programs: Programs, tmp_path: Path
) -> None:
    rows = [row for row in ROWS if row.gateway in (ALONE, LITELLM)]
    only = {ALONE: gateways[ALONE]}
    rounds = Rounds(programs, Cores(CORE, CORE), tmp_path, only, {LITELLM: "gone"}, 2, 0.1, lambda _: None)

    results = rounds.measure("smoke", rows)

    assert results.absent == {row.name: "gone" for row in rows if row.gateway == LITELLM}
    assert [len(samples) for samples in results.samples.values()] == [2]
    assert all(sample.cpu_s > 0 for samples in results.samples.values() for sample in samples)


def test_a_translation_is_timed_by_itself(upstream: int) -> None:
    bedrock = next(case for case in NATIVE if case.wire == "bedrock")

    cost = measure(bedrock, upstream)

    assert 0 < cost.chunk < cost.request
    assert cost.answer > 0
