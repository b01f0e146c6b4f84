"""Two workers are killed under full load: of what they have answered no row is lost, and none is twice."""

import os
from pathlib import Path

from bench.limits.crash import Stage
from bench.limits.quota import build_quota_table
from bench.speed.environment import find_own
from bench.speed.machine import Cores
from bench.speed.programs import build_programs, find_cache

SERVED_S = 0.7
"""Some thousand requests."""


def test_what_two_killed_workers_have_answered_is_in_the_ledger_once(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    programs = build_programs(find_cache())
    with programs.start_mock(core, tmp_path) as upstreams:
        table = build_quota_table((), upstreams[0], tmp_path / "manifests")
        stage = Stage(programs, Cores(core, core), find_own(), tmp_path, table)
        crash = stage.crash(1, SERVED_S)
        left = [name for name in os.listdir(stage.spool) if name.endswith(".rows")]

    assert crash.answered > 500
    assert (crash.missing, crash.twice) == (0, 0)
    assert 0 <= crash.unanswered <= 64  # a connection has one under way
    assert left == []
