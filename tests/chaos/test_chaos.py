"""The short form of the fault run: fixed seeds, every fault, and what the official SDK makes of it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.chaos.run import ChaosRun, chaos
from tests.chaos.scenario import Caller, Fault, Layout, draw
from tests.chaos.sdk import ask_by_sdk

SEEDS = range(1, 201)
PER_FAULT = 6
BY_SDK = 40


@pytest.fixture
async def among() -> AsyncIterator[ChaosRun]:
    async with chaos() as run:
        yield run


async def test_in_hundreds_of_scenarios_every_caller_gets_one_answer_and_nothing_stays_behind(
    among: ChaosRun,
) -> None:
    scenarios = [draw(seed) for seed in SEEDS]
    await among.calm(scenarios[:100])
    await among.batch(scenarios)

    assert among.report.complaints == {}
    assert among.report.leaks == []


@pytest.mark.alone
async def test_a_caller_who_has_nothing_to_do_with_it_keeps_its_latency(among: ChaosRun) -> None:
    scenarios = [draw(seed, callers=[Caller.PATIENT, Caller.LEAVES]) for seed in SEEDS[:100]]
    await among.calm(scenarios)
    for _ in range(3):  # of a single batch's 80 requests one pause of a busy machine would decide
        await among.batch(scenarios)

    assert among.report.innocent_complaints == []
    assert among.report.p99_s <= among.report.bound_s


async def test_callers_who_never_read_hold_nothing_past_their_deadline(among: ChaosRun) -> None:
    await among.calm([draw(seed) for seed in SEEDS[:20]])
    await among.batch([draw(seed, callers=[Caller.SILENT]) for seed in SEEDS[:24]])

    assert among.report.complaints == {}
    assert among.report.leaks == []


async def test_an_answer_that_nobody_takes_is_not_followed_by_another(among: ChaosRun) -> None:
    """Each attempt has a deadline, which passes while the first answer waits to be read."""
    drawn = [draw(seed, faults=[Fault.NONE], callers=[Caller.SILENT]) for seed in (1, 2)]
    large = [
        replace(
            scenario,
            kind="chat",
            way="hot",
            answer_bytes=8_000_000,
            bounds_attempts=True,
            layout=Layout.ENDPOINTS,
        )
        for scenario in drawn
    ]
    await among.batch(large)

    assert among.report.complaints == {}
    assert among.report.leaks == []


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
async def test_patient_callers_get_a_good_answer_where_one_is_to_be_had(
    fault: Fault, among: ChaosRun
) -> None:
    scenarios = [
        draw(seed, faults=[fault], callers=[Caller.PATIENT], layouts=tuple(Layout)[1:])
        for seed in range(1, PER_FAULT + 1)
    ]
    await among.batch(scenarios)

    assert among.report.complaints == {}


async def test_the_official_sdk_gets_the_answer_or_reports_an_error(among: ChaosRun) -> None:
    scenarios = [draw(seed, callers=[Caller.PATIENT]) for seed in range(1, BY_SDK + 1)]
    await among.prepare(scenarios)

    assert await ask_by_sdk(scenarios, among.port) == {}
