"""The short comparison: ratios of one run, and what is said of them."""

import pytest

from bench.quick import BARE, NotMeasured, Ratios, compare, find_ratio
from bench.speed.contestants import HEADGATE
from bench.speed.figures import Results, cpu_us
from tests.bench.samples import build_sample

RECORDED = Ratios(chat=0.30, streams=1.00, day="2026-11-21")


def test_the_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    ours = tuple(build_sample(cpu_s=s) for s in (0.1, 0.4, 0.1))  # the second round saw a busy machine,
    bare = tuple(build_sample(cpu_s=s) for s in (0.2, 0.8, 0.4))  # and so did the other

    assert find_ratio(Results({HEADGATE: ours, BARE: bare}), cpu_us) == pytest.approx(0.5)


def test_without_figures_of_both_there_is_no_ratio() -> None:
    results = Results({HEADGATE: (build_sample(),)}, {BARE: "it ended"})

    with pytest.raises(NotMeasured, match=r"^bare aiohttp: it ended$"):
        find_ratio(results, cpu_us)


def test_a_higher_ratio_than_recorded_is_a_loss_from_fifteen_percent_on() -> None:
    assert compare(RECORDED, Ratios(chat=0.36, streams=1.10, day="2026-12-01")) == [
        "CPU per request, 1 KB: 0.36 x the bare aiohttp proxy, recorded 0.30 x (+20%): "
        "LOSS: look at what changed on the hot path",
        "CPU per chunk: 1.10 x the bare aiohttp proxy, recorded 1.00 x (+10%): no loss",
        "recorded on 2026-11-21",
    ]


def test_without_a_record_the_figures_stand_alone() -> None:
    assert compare(None, RECORDED) == [
        "CPU per request, 1 KB: 0.30 x the bare aiohttp proxy",
        "CPU per chunk: 1.00 x the bare aiohttp proxy",
        "nothing recorded yet: --record does",
    ]
