"""What limits cost, whether they hold, what a crash loses: the figures, what is told, and small runs."""

import asyncio
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from bench.limits.costs import PLAIN, ROWS, find_least, spell_row, tabulate_costs
from bench.limits.crash import Crash, NotedOrder, compare, count_rows
from bench.limits.crash_report import tabulate_crashes
from bench.limits.exact import HEADGATE, Trial, run_trial
from bench.limits.exact_report import judge, tabulate_limits, tabulate_outcomes
from bench.limits.figures import Charge, find_most, find_most_on_the_clock, sum_between
from bench.limits.offer import Outcome, offer
from bench.limits.peer import WAYS, spell_config
from bench.limits.quota import build_quota_table
from bench.limits.scenarios import GATEWAYS, list_scenarios, offer_requests, offer_streams
from bench.limits.store import StoreServer
from bench.limits.upstream import Arrival, Upstream
from bench.speed.environment import find_own
from bench.speed.figures import Results, cpu_us
from bench.speed.machine import Cores
from gateway_runtime.server.check import check_table
from tests.bench.samples import build_sample

USABLE = sorted(os.sched_getaffinity(0))
CORES = Cores(USABLE[0], USABLE[-1])
LEDGER, LEASED = ROWS[2].name, ROWS[3].name


def charge(*moments_s: float, amount: int = 1) -> list[Charge]:
    return [Charge(at_s, amount) for at_s in moments_s]


def build_trial(
    *moments_s: float, outcomes: tuple[Outcome, ...] = (), away: tuple[float, float] | None = None
) -> Trial:
    """Of 17 requests in a second and three windows."""
    calm, _, killed, *_ = list_scenarios(1.0)
    arrivals = [Arrival(at_s, 60, 50) for at_s in moments_s]
    return Trial("Headgate", calm if away is None else killed, 0.0, 0.0, arrivals, outcomes, away)


# -- windows


def test_the_most_is_found_in_any_window_and_not_only_in_those_of_the_clock() -> None:
    charges = charge(0.9, 0.95, 1.0, 1.1, 1.85)

    assert find_most(charges, 1.0) == 5
    assert find_most_on_the_clock(charges, 1.0, 0.0) == 3
    assert find_most_on_the_clock(charges, 1.0, 0.5) == 4


def test_what_is_a_window_away_counts_no_more() -> None:
    assert find_most(charge(0.0, 1.0, 2.0), 1.0) == 1
    assert find_most(charge(0.0, 0.999, amount=7), 1.0) == 14
    assert find_most([], 1.0) == 0


def test_a_sum_has_its_begin_and_not_its_end() -> None:
    assert sum_between(charge(0.0, 0.5, 1.0), 0.0, 1.0) == 2


# -- what is offered


def test_five_times_of_the_limit_is_offered_and_the_money_ends_in_the_third_window() -> None:
    for scenario in list_scenarios(60.0)[:3]:
        requests, money = scenario.limits
        once = 60 * 150_000 + 60 * 600_000

        assert scenario.rate_per_s * 60 == pytest.approx(5 * requests.amount)
        assert 2 * requests.amount < money.amount / once < 3 * requests.amount
    streams = offer_streams(60.0)
    assert streams.rate_per_s * 60 * 300 == pytest.approx(5 * streams.limits[0].amount)


def test_redis_is_away_for_a_third_of_the_second_window() -> None:
    outages = [scenario.outage for scenario in list_scenarios(60.0)]

    assert outages == [None, (90.0, 110.0), (66.0, 86.0), None, (66.0, 86.0)]


def test_tables_are_accepted_by_a_gateway(tmp_path: Path) -> None:
    for number, scenario in enumerate(list_scenarios(10.0)):
        table = build_quota_table(scenario.limits, 8080, tmp_path / str(number), deny_without_store=True)

        assert check_table(table) == ()
        assert table.tenants[0].limits == scenario.limits


@pytest.mark.parametrize("way", WAYS.values())
def test_the_peer_is_told_the_same_limits(way: str) -> None:
    asked = yaml.safe_load(spell_config(way, offer_requests(60.0), 8080, 6379))
    streamed = yaml.safe_load(spell_config(way, offer_streams(60.0), 8080, 6379))

    assert asked["model_list"][0]["litellm_params"]["rpm"] == 1000
    assert asked["router_settings"]["provider_budget_config"]["openai"]["budget_limit"] == 0.1125
    assert streamed["model_list"][0]["litellm_params"]["tpm"] == 100_000
    assert "provider_budget_config" not in streamed["router_settings"]
    assert asked["router_settings"].items() >= yaml.safe_load(way).items()


# -- what is said of limits


def test_a_limit_that_was_used_whole_and_not_exceeded_is_met() -> None:
    trial = build_trial(*[0.01 * n for n in range(17)], *[1.01 + 0.01 * n for n in range(17)])
    requests, money = (judge(trial, limit) for limit in trial.scenario.limits)

    assert (requests.most, requests.over, requests.used) == (17, 0, 1.0)
    assert (money.most, money.over) == (34 * 39_000_000, 0)
    assert [row[-1] for row in tabulate_limits([trial]).rows] == ["met", "met"]


def test_one_request_too_many_is_over_and_missed() -> None:
    trial = build_trial(*[0.01 * n for n in range(18)], *[1.5 + 0.01 * n for n in range(17)])
    first, _ = tabulate_limits([trial]).rows

    assert first[3:] == ("18 requests", "1 requests", "102.94%", "0 over; >= 99% used", "**missed**")


def test_a_limit_that_is_not_used_is_missed_too() -> None:
    first, second = tabulate_limits([build_trial(0.1, 1.2)]).rows

    assert first[5:] == ("5.88%", "0 over; >= 99% used", "**missed**")
    assert second[-2:] == ("0 over", "met")


def test_what_callers_got_without_redis_stands_by_itself() -> None:
    outcomes = (
        Outcome(0.5, 200, "", 0.1),
        Outcome(1.2, 503, "limit_store_unavailable", 0.02),
        Outcome(1.3, 429, "rate_limit_exceeded", 0.01),
        Outcome(1.5, 0, "TimeoutError", 30.0),
        Outcome(1.6, 200, "", 0.1),
    )
    table = tabulate_outcomes([build_trial(outcomes=outcomes, away=(1.1, 1.4))])
    whole, during = table.rows

    assert whole[2:] == ("5", "2", "1", "1 503 limit_store_unavailable, 1 no answer TimeoutError", "30.00")
    assert during[1:] == (
        "of these, in the 0.3 s without Redis",
        "2",
        "0",
        "1",
        "1 503 limit_store_unavailable",
        "0.02",
    )
    assert table.notes[0].endswith("the first answer came 0.3 s after it was back.")


def test_a_contestant_that_is_absent_keeps_its_reason() -> None:
    trial = Trial("LiteLLM", offer_requests(60.0), absent="it is not | installed")

    assert tabulate_limits([trial]).rows[0][:3] == (
        "LiteLLM",
        "requests and money",
        "absent: it is not / installed",
    )
    assert tabulate_outcomes([trial]).rows == ()


# -- what is said of costs


def test_what_limits_add_is_judged_by_the_median_and_shown_by_the_least() -> None:
    # The second round saw a busy machine, and so did both.
    plain = tuple(build_sample(cpu_s=s) for s in (0.050, 0.150, 0.052))
    ledger = tuple(build_sample(cpu_s=s) for s in (0.057, 0.160, 0.058))
    leased = tuple(build_sample(cpu_s=s) for s in (0.063, 0.165, 0.066))
    results = Results({PLAIN: plain, LEDGER: ledger, LEASED: leased}, {ROWS[4].name: "it ended"})
    rows = {row[0]: row[1:] for row in tabulate_costs(results).rows}

    assert find_least(results, LEDGER) == pytest.approx(57.0)
    assert rows[PLAIN][:4] == ("52.0", "", "50.0", "")
    assert rows[LEDGER][:4] == ("58.0", "+7.0", "57.0", "+7.0")
    assert rows[LEDGER][-2:] == ("<= 8 µs more", "met: 7 µs more")
    assert rows[LEASED][-2:] == ("<= 12 µs more", "**missed**: 14 µs more")
    assert rows[ROWS[4].name][0] == "absent: it ended"
    assert results.median(PLAIN, cpu_us) == pytest.approx(52.0)


def test_each_row_is_a_gateway_with_just_what_it_says(tmp_path: Path) -> None:
    store = StoreServer(tmp_path, [CORES.load])
    programs = {
        row.name: spell_row(row, 8080, store, tmp_path / str(at), find_own()) for at, row in enumerate(ROWS)
    }
    options = {
        name: [word for word in ("--ledger", "--limit-store") if word in program.command]
        for name, program in programs.items()
    }

    assert list(options.values()) == [
        [],
        [],
        ["--ledger"],
        ["--ledger", "--limit-store"],
        ["--ledger", "--limit-store"],
    ]


# -- what is said of crashes


def test_rows_that_are_missing_or_twice_are_counted(tmp_path: Path) -> None:
    ledger = tmp_path / "usage.db"
    assert count_rows(ledger) == 0
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("CREATE TABLE usage (request_id TEXT)")
        connection.executemany("INSERT INTO usage VALUES (?)", [("a",), ("b",), ("b",), ("c",)])
        connection.commit()

    assert count_rows(ledger) == 4
    assert compare(ledger, ["a", "c"]) == (0, 1)
    assert compare(ledger, ["a", "d", "e", "e"]) == (2, 2)


def test_a_missing_row_is_missed_in_all() -> None:
    good, bad = (
        Crash(1.5, 100, 103, 0, 0, 0.5, {"closed": 64}),
        Crash(2.0, 50, 49, 2, 0, 0.7, {"status 503": 3}),
    )
    table = tabulate_crashes([good, bad])

    assert [row[-1] for row in table.rows] == ["", "", "**missed**"]
    assert table.rows[-1][2:8] == ("150", "152", "2", "0", "4", "0.7 at most")
    assert table.notes == ("Other errors: 3 status 503.",)
    assert tabulate_crashes([good]).rows[-1][-1] == "met"


def test_the_loader_is_told_where_to_note_ids(tmp_path: Path) -> None:
    arguments = list(NotedOrder(body=b"{}", ids=tmp_path / "ids").arguments())

    assert arguments[-2:] == ["-ids", str(tmp_path / "ids")]
    assert "-connections" in arguments


# -- a small run of each part


def test_a_store_that_was_killed_comes_back_at_its_port_and_empty(tmp_path: Path) -> None:
    with StoreServer(tmp_path, [CORES.load]) as store:
        url = store.build_url("bench")
        store.kill()
        store.start()

        assert store.build_url("bench") == url == f"redis://127.0.0.1:{store.port}/0?prefix=bench"


async def test_the_provider_notes_what_it_has_answered_to_callers_at_their_rate() -> None:
    scenario = offer_streams(1.0)
    script = scenario.script._replace(chunk_s=0.001)
    upstream = Upstream(script, random.Random(1))
    await upstream.start()
    began_s = asyncio.get_running_loop().time()
    try:
        outcomes = await offer([upstream.port], scenario.body, 40, began_s, 0.5, streams=True)
    finally:
        await upstream.stop()

    assert [(one.status, one.code) for one in outcomes] == [(200, "")] * 20
    assert len(upstream.arrivals) == 20
    assert all(0 <= one.at_s - began_s < 2 and 150 <= one.output_tokens <= 250 for one in upstream.arrivals)


def test_four_gateways_let_through_what_one_may(tmp_path: Path) -> None:
    scenario = offer_requests(2.0, windows=1)
    trial = run_trial(HEADGATE, scenario, CORES, find_own(), tmp_path)
    found = judge(trial, scenario.limits[0])

    assert trial.absent is None
    assert len(trial.outcomes) == round(scenario.rate_per_s * 2) > GATEWAYS
    assert {one.status for one in trial.outcomes} == {200, 429}
    assert found.over == 0
    assert found.used > 0.9
