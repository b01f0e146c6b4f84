"""What a verification came to: limit logs and counts in, a Report out, and its text and JSON."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from headgate.verify.limit_log import LimitLog

Verdict: TypeAlias = Literal["Held", "Broken"]
_TITLES: Final = ("LIMIT", "RESOURCE", "WINDOW", "ADMITTED", "FULLEST WINDOW", "OF", "")


class LimitResult(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    resource: str
    window_s: float
    """0 of Concurrency."""
    admitted: int
    fullest_used: int
    """In the window that was fullest, by what it might have held: requests, tokens or picodollars."""
    fullest_amount: int
    fullest_percent: float
    overruns: int
    """How often more was admitted than there was."""
    first_overrun: str | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    store: str
    """Where it ran: "in process, in virtual time", or the store's address."""
    gateways: int
    seed: int
    seconds: float
    """Of the run; of virtual time, where that is."""
    done: Mapping[str, int]
    """How often what happened."""
    limits: tuple[LimitResult, ...]
    problems: tuple[str, ...]
    """Sentences. Empty: every limit held."""
    verdict: Verdict


def build_report(
    *,
    store: str,
    gateways: int,
    seed: int,
    seconds: float,
    done: Mapping[str, int],
    limits: Iterable[LimitResult],
    problems: Iterable[str],
) -> Report:
    """limits: those of one name are taken together. problems: besides overruns."""
    results: dict[str, LimitResult] = {}
    for result in limits:
        before = results.get(result.name)
        results[result.name] = result if before is None else _merge(before, result)
    found = [
        f"limit {result.name} was overrun {result.overruns} times, first with {result.first_overrun}"
        for result in results.values()
        if result.overruns
    ]
    found += problems
    return Report(
        store=store,
        gateways=gateways,
        seed=seed,
        seconds=round(seconds, 1),
        done=dict(done),
        limits=tuple(results.values()),
        problems=tuple(found),
        verdict="Broken" if found else "Held",
    )


def build_json(report: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def build_text(report: Report) -> str:
    done = ", ".join(f"{count:,} {name}" for name, count in report.done.items() if count)
    lines = [
        f"{report.gateways} gateways, store {report.store}, seed {report.seed}, {report.seconds:g} s",
        done,
        "",
        *_build_table(report.limits),
        "",
    ]
    lines += [f"problem: {problem}" for problem in report.problems]
    if report.verdict == "Held":
        lines.append("held: no window of any limit ever had more than its amount")
    else:
        lines.append("BROKEN: see the problems above; the same seed may show them again")
    return "\n".join(lines)


def judge(log: LimitLog) -> LimitResult:
    return LimitResult(
        name=log.name,
        resource=log.resource,
        window_s=log.window_s,
        admitted=log.admitted,
        fullest_used=log.fullest.used,
        fullest_amount=log.fullest.amount,
        fullest_percent=round(log.fullest.percent, 2),
        overruns=log.overruns,
        first_overrun=log.first_overrun,
    )


def _merge(one: LimitResult, other: LimitResult) -> LimitResult:
    fuller = max(one, other, key=lambda result: result.fullest_percent)
    return msgspec.structs.replace(
        fuller,
        admitted=one.admitted + other.admitted,
        overruns=one.overruns + other.overruns,
        first_overrun=one.first_overrun or other.first_overrun,
    )


def _build_table(limits: Iterable[LimitResult]) -> list[str]:
    rows = [_TITLES]
    for limit in limits:
        window = f"{limit.window_s:g} s" if limit.window_s else "-"
        rows.append(
            (
                limit.name,
                limit.resource,
                window,
                f"{limit.admitted:,}",
                f"{limit.fullest_used:,}",
                f"{limit.fullest_amount:,}",
                f"{limit.fullest_percent:.2f} %",
            )
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(_TITLES))]
    return ["   ".join(_align(row, widths)).rstrip() for row in rows]


def _align(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Words to the left, numbers to the right."""
    return [cell.ljust(widths[at]) if at < 3 else cell.rjust(widths[at]) for at, cell in enumerate(row)]
