"""The report's tables, whole."""

from bench.speed.figures import latency_ms, per_core
from bench.speed.goals import at_least_times
from bench.speed.tables import Column, show, tabulate
from tests.bench.samples import build_results, build_sample

COLUMNS = (Column("requests/s per core", per_core), Column("p99 ms", latency_ms("p99"), 2))


def test_a_table_has_a_row_for_each_contestant_with_goal_and_verdict() -> None:
    results = build_results(
        Headgate=[build_sample(requests=n) for n in (15_000, 14_000, 16_000)],
        Envoy=[build_sample(requests=10_000)],
    )
    judged = {"Envoy": at_least_times(1.0, 15_000, 10_000)}

    assert tabulate("1 KB", results, ("Headgate", "Envoy"), COLUMNS, judged).render() == [
        "### 1 KB",
        "",
        "|  | requests/s per core | p99 ms | goal | verdict |",
        "| --- | --- | --- | --- | --- |",
        "| Headgate | 30,000 | 0.10 |  |  |",
        "| Envoy | 20,000 | 0.10 | Headgate >= 1 x | met: 1.50 x |",
        "",
    ]


def test_who_is_absent_has_a_row_with_the_reason() -> None:
    results = build_results({"nginx": "not on this machine | run\nset-up"}, Headgate=[build_sample()])

    rows = tabulate("1 KB", results, ("Headgate", "nginx"), COLUMNS, {}).rows

    assert rows[1] == ("nginx", "absent: not on this machine / run set-up", "", "", "")


def test_errors_are_named_under_the_table() -> None:
    results = build_results(Headgate=[build_sample(errors={"closed": 2})])

    notes = tabulate("1 KB", results, ("Headgate",), COLUMNS, {}).notes

    assert notes == ("Headgate, errors over all rounds: 2 closed.",)


def test_a_figure_that_is_missing_is_a_dash() -> None:
    assert (show(None), show(1234.5678, 2)) == ("–", "1,234.57")
