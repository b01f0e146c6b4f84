"""The tables of the report: pure text out of results. One row for each contestant, absent ones with their
reason, and in the last two columns what is asked of Headgate against that row, and whether it holds.

Called by `loads`; tests read what comes out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.speed.figures import Results, Sample
from bench.speed.goals import NOTHING_ASKED, Judged

Figure = Callable[[Sample], float | None]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    figure: Figure
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def render(self) -> list[str]:
        lines = [f"### {self.title}", "", _line(self.head), _line(["---"] * len(self.head))]
        lines += [_line(row) for row in self.rows]
        if self.notes:
            lines += ["", *self.notes]
        return [*lines, ""]


def tabulate(
    title: str,
    results: Results,
    rows: Sequence[str],
    columns: Sequence[Column],
    judged: Mapping[str, Judged],
    notes: Sequence[str] = (),
) -> Table:
    """Medians of all rounds. `judged` is by row."""
    return build_table(
        title,
        ("", *(column.title for column in columns), "goal", "verdict"),
        [
            (row, *_cells(results, row, columns), *judged.get(row, NOTHING_ASKED))
            for row in rows
            if row in results.samples or row in results.absent
        ],
        (*notes, *tell_errors(results, rows)),
    )


def build_table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> Table:
    return Table(title, tuple(head), tuple(map(tuple, rows)), tuple(notes))


def tell_errors(results: Results, rows: Sequence[str]) -> list[str]:
    """A sentence for each contestant that did not answer everything well."""
    return [
        f"{row}, errors over all rounds: "
        + ", ".join(f"{count} {kind}" for kind, count in errors.items())
        + "."
        for row in rows
        if (errors := results.errors(row))
    ]


def show(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _cells(results: Results, row: str, columns: Sequence[Column]) -> list[str]:
    if row in results.absent:
        reason = results.absent[row].replace("|", "/").replace("\n", " ")
        return [f"absent: {reason}", *[""] * (len(columns) - 1)]
    return [show(results.median(row, column.figure), column.digits) for column in columns]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
