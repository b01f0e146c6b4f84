"""What a provider with an API of its own costs: bodies, tables, differences and what is said of them."""

import json
from pathlib import Path

import pytest

from bench.providers.bodies import build_chat, build_messages
from bench.providers.cases import NATIVE, OPENAI, THROUGH_LITELLM
from bench.providers.figures import find_added, find_ratio
from bench.providers.gateways import (
    ALONE,
    LITELLM,
    NoSuchCommit,
    build_table,
    count_imports,
    count_mapped,
    extract_commit,
)
from bench.providers.in_process import Cost, Costs, run_module
from bench.providers.report import InProcess, Look, tabulate_chat, tabulate_memory, tabulate_streams
from bench.providers.rounds import ALONE_ROW, BEFORE_ROW, PASSING
from bench.speed.environment import find_own
from bench.speed.figures import Results, Sample, cpu_us
from gateway_runtime.server.check import check_table
from tests.bench.samples import build_sample

NOTHING = InProcess(Costs(absent="it ended"), Costs(absent="litellm is not installed"))


def build_costs(wire: str, *us: float) -> Costs:
    return Costs({wire: Cost(*us)})


def build_results(absent: dict[str, str] | None = None, /, **cpu_s: list[float]) -> Results:
    """Rows by the names of NAMES; each sample has 1,000 requests, so that 0.05 s are 50 µs a request."""
    names = {"passing": PASSING, "alone": ALONE_ROW, "before": BEFORE_ROW}
    taken: dict[str, tuple[Sample, ...]] = {
        names.get(name, name.capitalize()): tuple(build_sample(cpu_s=s, chunks=10_000) for s in seconds)
        for name, seconds in cpu_s.items()
    }
    return Results(taken, absent or {})


# -- what is sent, and to what


@pytest.mark.parametrize("chunks", [0, 200])
def test_every_body_is_a_kilobyte_for_its_route(chunks: int) -> None:
    for case in (OPENAI, *NATIVE, THROUGH_LITELLM):
        for body in (build_chat(case.wire, chunks=chunks), build_messages(case.wire, chunks=chunks)):
            assert len(body) == 1024
            assert json.loads(body)["model"] == case.wire
            assert (b"@mock chunks=200 " in body) == (json.loads(body).get("stream", False)) == bool(chunks)


def test_callers_of_anthropics_api_have_their_system_prompt_beside_the_messages() -> None:
    request = json.loads(build_messages("openai", chunks=200))

    assert request["system"].startswith("You help the platform team.")
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "user"]
    assert "stream_options" not in request


def test_each_provider_of_the_table_has_a_route_named_after_its_wire(tmp_path: Path) -> None:
    table = build_table((OPENAI, *NATIVE), 8080, tmp_path)

    wires = ["anthropic", "bedrock", "cohere", "google", "ollama", "openai"]
    assert [provider.wire for provider in table.providers] == wires
    assert [route.models for route in table.routes] == [(wire,) for wire in wires]
    assert [route.targets[0].provider for route in table.routes] == [p.id for p in table.providers]
    assert table.tenants[0].models == tuple(wires)
    assert len(table.tenants[0].limits) == 3
    assert check_table(table) == ()


# -- litellm, and whether it is there


def test_litellms_modules_are_told_from_the_gateways_own_package_for_it() -> None:
    listed = """\
import time: self [us] | cumulative | imported package
import time:       120 |        320 |   gateway_runtime.providers.wires.litellm
import time:       120 |        320 | litellm
import time:        12 |         12 |     litellm.types.utils
import time:        12 |         12 |     litellm_proxy_extras
{"event": "import time: 1 | 2 | litellm"}
"""

    assert count_imports(listed) == 2


def test_mapped_files_of_litellm_are_counted_once_each() -> None:
    maps = """\
7f0000000000-7f0000001000 r--p 00000000 08:01 1 /usr/lib/libc.so.6
7f0000001000-7f0000002000 r--p 00000000 08:01 2 /env/lib/python3.11/site-packages/litellm/rust/_native.abi3.so
7f0000002000-7f0000003000 r-xp 00000000 08:01 2 /env/lib/python3.11/site-packages/litellm/rust/_native.abi3.so
7f0000003000-7f0000004000 rw-p 00000000 00:00 0
"""

    assert count_mapped(maps) == 1


def test_a_gateway_with_openai_alone_must_have_nothing_of_litellm() -> None:
    looks = [Look(ALONE, 48.2, 0, 0), Look(LITELLM, 188.0, 1170, 1)]

    assert tabulate_memory(looks, ["Another is absent."], ALONE).render()[2:] == [
        "| providers in the table | memory MB | litellm modules imported | goal | verdict |",
        "| --- | --- | --- | --- | --- |",
        "| OpenAI alone | 48 | 0 | nothing of litellm | met, modules: 0, mapped files: 0 |",
        "| OpenAI, and Mistral through litellm | 188 | 1,170 |  |  |",
        "",
        "Memory is resident, after all loads. Modules are counted in what Python lists with importtime, "
        "mapped files in /proc/<pid>/maps.",
        "Another is absent.",
        "",
    ]


def test_one_module_of_litellm_is_one_too_many() -> None:
    (row,) = tabulate_memory([Look(ALONE, 48.2, 1, 0)], [], ALONE).rows

    assert row[-1] == "**missed**, modules: 1, mapped files: 0"


# -- figures


def test_what_is_added_is_the_median_of_the_rounds_own_differences() -> None:
    # The second round saw a busy machine, and so did both.
    results = build_results(passing=[0.050, 0.150, 0.052], anthropic=[0.070, 0.180, 0.070])

    assert find_added(results, "Anthropic", PASSING, cpu_us) == pytest.approx(20.0)
    assert find_ratio(results, "Anthropic", PASSING, cpu_us) == pytest.approx(70 / 52)


def test_without_figures_of_both_nothing_is_added() -> None:
    results = build_results(passing=[0.05])

    assert find_added(results, "Anthropic", PASSING, cpu_us) is None
    assert find_ratio(results, PASSING, "Anthropic", cpu_us) is None


# -- tables


def test_a_request_to_a_provider_stands_beside_pass_through_with_its_goal() -> None:
    results = build_results(
        {"Gemini": "it failed: a | b\nc"},
        passing=[0.050],
        anthropic=[0.070],
        bedrock=[0.150],
        ollama=[0.080],
        alone=[0.0505],
        before=[0.0500],
    )
    own = build_costs("anthropic", 12.0, 4.5, 1.4)
    litellm = build_costs("anthropic", 280.0, 110.0, 33.0)

    assert tabulate_chat(results, InProcess(own, litellm)).render() == [
        "### 1 KB chat body, 64 connections: CPU µs per request",
        "",
        "|  | CPU µs | more than pass-through | requests/s | translation by itself | litellm's by itself "
        "| goal | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| OpenAI: pass-through | 50.0 |  | 1,000 |  |  |  |  |",
        "| Anthropic | 70.0 | +20.0 | 1,000 | 16.5 | 390.0 | <= 25 µs more per request "
        "| met: 20 µs more per request |",
        "| Gemini | absent: it failed: a / b c |  |  |  |  |  |  |",
        "| Bedrock | 150.0 | +100.0 | 1,000 | – | – | <= 60 µs more per request "
        "| **missed**: 100 µs more per request |",
        "| Ollama | 80.0 | +30.0 | 1,000 | – | – |  |  |",
        "| OpenAI: pass-through, no other provider | 50.5 | +0.5 | 1,000 |  |  | <= 1.03 x before "
        "| met: 1.01 x |",
        "| the same, before | 50.0 | +0.0 | 1,000 |  |  |  |  |",
        "",
    ]


def test_a_chunk_has_a_goal_of_its_own() -> None:
    results = build_results(passing=[0.040], cohere=[0.030], anthropic=[0.095])

    rows = tabulate_streams(results, InProcess(build_costs("cohere", 9.0, 4.0, 1.5), Costs())).rows

    assert rows == (
        ("OpenAI: pass-through", "4.00", "", "1,000", "", "", "", ""),
        (
            "Anthropic",
            "9.50",
            "+5.50",
            "1,000",
            "–",
            "–",
            "<= 5 µs more per chunk",
            "**missed**: 5.5 µs more per chunk",
        ),
        (
            "Cohere",
            "3.00",
            "-1.00",
            "1,000",
            "1.50",
            "–",
            "<= 8 µs more per chunk",
            "met: -1 µs more per chunk",
        ),
    )


def test_what_could_not_be_timed_by_itself_is_said_under_the_table() -> None:
    notes = tabulate_chat(build_results(passing=[0.05]), NOTHING).notes

    assert notes == (
        "Translation by itself is absent: it ended.",
        "litellm's by itself is absent: litellm is not installed.",
    )


# -- what cannot be had


def test_a_commit_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoSuchCommit, match="no-such-commit"):
        extract_commit("no-such-commit", tmp_path)


def test_a_module_that_ends_badly_has_no_costs_but_a_reason() -> None:
    costs = run_module("bench.providers.nothing", 1, 0, find_own())

    assert costs.by_case == {}
    assert costs.absent is not None
    assert costs.absent.endswith("No module named bench.providers.nothing")
