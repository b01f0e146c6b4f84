"""The benchmark itself, small: the Go programs are built, and a gateway as users run it answers them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.speed.bodies import build_body
from bench.speed.contestants import HEADGATE, UPSTREAM
from bench.speed.environment import find_own
from bench.speed.machine import Cores, find_tree, read_cpu_s, read_memory_mb
from bench.speed.programs import SOURCES, LoadFailed, Order, build_programs, find_cache
from bench.speed.rounds import Bench, Shot


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One core for everything: this is about answers, not about time."""
    core = min(os.sched_getaffinity(0))
    folder = tmp_path_factory.mktemp("bench")
    programs = build_programs(find_cache())
    with programs.start_mock(core, folder) as upstreams:
        yield Bench(programs, Cores(core, core), find_own(), folder, upstreams, 1, 1.0, lambda _: None)


def test_a_gateway_answers_every_request_of_the_loader_and_its_cpu_time_is_seen(bench: Bench) -> None:
    order = Order(body=build_body(1024), connections=8, requests=200, seconds=60)
    results = bench.measure("smoke", [Shot(HEADGATE, HEADGATE, order)])

    assert results.absent == {}
    (sample,) = results.samples[HEADGATE]
    assert (sample.load.requests, sample.load.errors) == (200, {})
    assert sample.cpu_s > 0
    assert sample.memory_peak_mb > 10


def test_a_gateway_loses_no_chunk_of_many_streams(bench: Bench) -> None:
    body = build_body(1024, chunks=10, delay_us=1000)
    order = Order(body=body, connections=20, chunks=10, ramp_s=0.05)
    results = bench.measure("smoke streams", [Shot(HEADGATE, HEADGATE, order)])

    (sample,) = results.samples[HEADGATE]
    assert (sample.load.requests, sample.load.chunks, sample.load.lost_chunks) == (20, 200, 0)
    assert sample.load.errors == {}


def test_an_open_loop_sends_at_its_rate_whoever_answers(bench: Bench) -> None:
    order = Order(body=build_body(1024), connections=4, rate=400, seconds=0.5)
    results = bench.measure("smoke rate", [Shot(UPSTREAM, UPSTREAM, order)])

    (sample,) = results.samples[UPSTREAM]
    # Longer than asked for where the machine is busy; at the rate all the same.
    assert sample.load.requests >= 199
    assert sample.load.requests == pytest.approx(400 * sample.load.seconds, abs=2)
    assert sample.cpu_s == 0


def test_a_loader_that_finds_nobody_says_so(bench: Bench) -> None:
    order = Order(body=build_body(1024), connections=1, requests=1)

    with pytest.raises(LoadFailed, match=r"^load: connect: connection refused$"):
        bench.programs.run_load(1, order, bench.cores.load, bench.folder)


def test_a_tree_of_processes_counts_as_one() -> None:
    with subprocess.Popen(["sh", "-c", "cat; true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(b"x")
        parent.stdin.flush()
        parent.stdout.read(1)  # now cat runs
        tree = find_tree(parent.pid)

        assert tree[0] == parent.pid
        assert len(tree) == 2
        assert read_cpu_s(parent.pid) > 0
        assert read_memory_mb(parent.pid) > 0

    assert find_tree(parent.pid) == ()


def test_the_go_programs_pass_their_own_tests() -> None:
    go = shutil.which("go")
    assert go is not None, "go is not on PATH: install Go 1.22 or newer"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    for task in (("vet",), ("test",)):
        ran = subprocess.run(
            [go, *task, "./..."], cwd=SOURCES, env=environment, capture_output=True, text=True, check=False
        )

        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_go_sources_are_formatted() -> None:
    gofmt = shutil.which("gofmt")
    assert gofmt is not None, "gofmt is not on PATH: it comes with Go"

    listed = subprocess.run([gofmt, "-l", SOURCES], capture_output=True, text=True, check=True)

    assert Path(listed.stdout.strip()) == Path()
