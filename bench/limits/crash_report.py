"""What was found after each kill, and of all of them together: a table out of `Crash`es."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from bench.limits.crash import CHATS, STREAM_CHUNKS, STREAMS, WORKERS, Crash
from bench.speed.goals import NOTHING_ASKED, Judged
from bench.speed.tables import Table, build_table

_OF_A_KILL: Final = frozenset(("closed", "connect", "cut"))
"""What callers get from a gateway that is gone."""


def describe_crash() -> str:
    return (
        f"A gateway with {WORKERS} workers and a ledger in SQLite serves {CHATS} connections that ask for "
        f"chats and {STREAMS} that ask for streams of {STREAM_CHUNKS} chunks, as fast as they are answered. "
        "At a chance moment all its processes are killed (-9). Another gateway with the same ledger is "
        "started, writes what the dead have left, and is stopped. Then each request whose caller has got "
        "all of its answer is looked for in the ledger, which is one and the same all the time."
    )


def tabulate_crashes(crashes: Sequence[Crash]) -> Table:
    rows = [
        (
            str(number),
            f"{one.served_s:.1f}",
            f"{one.answered:,}",
            f"{one.rows:,}",
            f"{one.missing:,}",
            f"{one.twice:,}",
            f"{one.unanswered:,}",
            f"{one.replay_s:.1f}",
            *NOTHING_ASKED,
        )
        for number, one in enumerate(crashes, 1)
    ]
    missing, twice = sum(one.missing for one in crashes), sum(one.twice for one in crashes)
    judged = Judged("0 missing, 0 twice", "**missed**" if missing or twice else "met")
    rows.append(
        (
            "all",
            f"{sum(one.served_s for one in crashes):.1f}",
            f"{sum(one.answered for one in crashes):,}",
            f"{sum(one.rows for one in crashes):,}",
            f"{missing:,}",
            f"{twice:,}",
            f"{sum(one.unanswered for one in crashes):,}",
            f"{max(one.replay_s for one in crashes):.1f} at most",
            *judged,
        )
    )
    head = (
        "kill",
        "after s",
        "requests answered",
        "rows",
        "missing",
        "twice",
        "rows of requests not answered whole",
        "s until all was taken over",
        "goal",
        "verdict",
    )
    return build_table("Rows after kill -9", head, rows, _tell_errors(crashes))


def _tell_errors(crashes: Sequence[Crash]) -> list[str]:
    """Those that a kill does not explain."""
    total: Counter[str] = Counter()
    for one in crashes:
        total.update({kind: count for kind, count in one.errors.items() if kind not in _OF_A_KILL})
    if not total:
        return []
    return [f"Other errors: {', '.join(f'{count:,} {kind}' for kind, count in total.most_common())}."]
