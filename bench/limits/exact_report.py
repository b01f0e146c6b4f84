"""What `exact` has found, as tables: for each limit the worst stretch of time, and what callers were told.

In: `Trial`s. Out: tables. The provider's log is the judge: what it has answered was used, whatever a gateway
thinks of it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, assert_never

from bench.limits.exact import HEADGATE, Trial
from bench.limits.figures import TRAVEL_S, Charge, find_most, find_most_on_the_clock, sum_between
from bench.limits.offer import Outcome
from bench.limits.quota import MINUTE_S, PICOS_PER_USD, price_picos
from bench.limits.scenarios import GATEWAYS, PEER_TIMES, TIMES
from bench.limits.upstream import Arrival
from bench.speed.goals import NOTHING_ASKED, Judged
from bench.speed.installs import LITELLM
from bench.speed.tables import Table, build_table
from gateway_runtime.contract.tenant import Limit, LimitResource

_LEAST_USED: Final = 0.99
"""Of requests, where nothing but the limit stands in their way. Of tokens and money, less than a request may
cost at most stays over.
"""


class Found(NamedTuple):
    """Of one limit in one trial. Amounts are in the limit's unit."""

    trial: Trial
    limit: Limit
    most: int
    """In any of its windows."""
    used: float
    """As a share of the amount: in the windows in which it was the one to bind, or, of money, in all."""

    @property
    def over(self) -> int:
        return max(0, self.most - self.limit.amount)


def describe_exact() -> str:
    return (
        f"{GATEWAYS} processes share one Redis, and two cores with it, with the callers and with the "
        f"provider. One tenant is offered {TIMES} times of what its limits let through, at a fixed rate, "
        "each process in turn; nobody tries again. The most is found in the provider's log, over all "
        f"stretches of a window's length (less {TRAVEL_S * 1000:.0f} ms, for the way from admission to "
        "arrival). Used is the share of the amount: of requests and tokens in the windows in which they "
        "are the limit that binds, of money in all. Redis keeps nothing on disk, so that it comes back "
        "empty."
    )


def describe_peers() -> str:
    """What exactly was configured."""
    return (
        f"LiteLLM's proxy {LITELLM.version}, without its database: {GATEWAYS} processes with one and the "
        "same file; `redis_host` and `redis_port`, `disable_cooldowns: true` and `num_retries: 0` of the "
        "router; `rpm` (or `tpm`) of its only deployment, enforced in the way that stands in its name; the "
        "money as `provider_budget_config` with `time_period: 1d`, and the prices as "
        f"`input_cost_per_token` and `output_cost_per_token`. It is offered {PEER_TIMES} times of the "
        f"limit, as two cores do not serve {TIMES} times of it. Limits of a key need its database, so there "
        "are none."
    )


def tabulate_limits(trials: Sequence[Trial]) -> Table:
    rows = []
    for trial in trials:
        if trial.absent is not None:
            reason = trial.absent.replace("|", "/").replace("\n", " ")
            rows.append((trial.contestant, trial.scenario.name, f"absent: {reason}", "", "", "", "", ""))
            continue
        for limit in trial.scenario.limits:
            found = judge(trial, limit)
            rows.append(
                (
                    trial.contestant,
                    trial.scenario.name,
                    f"{_show(limit, limit.amount)} {_name_window(limit)}",
                    _show(limit, found.most),
                    _show(limit, found.over),
                    f"{found.used:.2%}",
                    *_ask(found),
                )
            )
    head = ("", "", "limit", "most in any window", "over", "used", "goal", "verdict")
    return build_table("Limits under five times their amount", head, rows, _tell_minutes(trials))


def tabulate_outcomes(trials: Sequence[Trial]) -> Table:
    rows = []
    notes = []
    for trial in trials:
        if trial.absent is not None:
            continue
        rows.append((trial.contestant, trial.scenario.name, *_count(trial.outcomes)))
        if trial.away is not None:
            killed_s, back_s = trial.away
            during = [one for one in trial.outcomes if killed_s <= one.sent_s < back_s]
            what = f"of these, in the {back_s - killed_s:.1f} s without Redis"
            rows.append((trial.contestant, what, *_count(during)))
            notes.append(_tell_return(trial, back_s))
    head = ("", "", "offered", "answered", "refused with 429", "others", "slowest refusal, s")
    return build_table("What callers got", head, rows, notes)


def judge(trial: Trial, limit: Limit) -> Found:
    charges = list_charges(trial.arrivals, limit.resource)
    most = find_most(charges, limit.window_s - TRAVEL_S)
    scenario = trial.scenario
    if limit is not scenario.limits[0]:
        return Found(trial, limit, most, sum(charge.amount for charge in charges) / limit.amount)
    whole = scenario.whole_windows
    used = sum_between(charges, trial.began_s, trial.began_s + whole * scenario.window_s)
    return Found(trial, limit, most, used / (whole * limit.amount))


def list_charges(arrivals: Sequence[Arrival], resource: LimitResource) -> list[Charge]:
    """In the limit's unit."""
    return [Charge(one.at_s, _measure(one, resource)) for one in arrivals]


def _measure(arrival: Arrival, resource: LimitResource) -> int:
    match resource:
        case "Requests" | "Concurrency":
            return 1
        case "InputTokens":
            return arrival.input_tokens
        case "OutputTokens":
            return arrival.output_tokens
        case "TotalTokens":
            return arrival.input_tokens + arrival.output_tokens
        case "USD":
            return price_picos(arrival.input_tokens, arrival.output_tokens)
    assert_never(resource)


def _ask(found: Found) -> Judged:
    if found.trial.contestant != HEADGATE.name:
        return NOTHING_ASKED
    holds = found.over == 0
    goal = "0 over"
    if found.limit.resource == "Requests" and found.trial.scenario.outage is None:
        goal += f"; >= {_LEAST_USED:.0%} used"
        holds = holds and found.used >= _LEAST_USED
    return Judged(goal, "met" if holds else "**missed**")


def _count(outcomes: Sequence[Outcome]) -> tuple[str, str, str, str, str]:
    answered = [one for one in outcomes if one.status == 200 and not one.code]
    refused = [one for one in outcomes if one.status == 429]
    others = Counter(
        f"{one.status or 'no answer'} {one.code}".strip()
        for one in outcomes
        if one.status != 429 and (one.status != 200 or one.code)
    )
    slowest_s = max((one.took_s for one in outcomes if one.status != 200), default=None)
    return (
        f"{len(outcomes):,}",
        f"{len(answered):,}",
        f"{len(refused):,}",
        ", ".join(f"{count:,} {kind}" for kind, count in others.most_common()),
        "" if slowest_s is None else f"{slowest_s:.2f}",
    )


def _tell_return(trial: Trial, back_s: float) -> str:
    later = [one.sent_s + one.took_s for one in trial.outcomes if one.status == 200 and one.sent_s >= back_s]
    first = f"{min(later) - back_s:.1f} s after it" if later else "never after it"
    return f"{trial.contestant}, {trial.scenario.name}: the first answer came {first} was back."


def _tell_minutes(trials: Sequence[Trial]) -> list[str]:
    """Of those that count minutes of the clock, where the limit is one of a minute."""
    notes = []
    for trial in trials:
        limit = trial.scenario.limits[0]
        if trial.absent is not None or trial.contestant == HEADGATE.name or limit.window_s != MINUTE_S:
            continue
        charges = list_charges(trial.arrivals, limit.resource)
        most = find_most_on_the_clock(charges, MINUTE_S, trial.offset_s)
        notes.append(
            f"{trial.contestant}, {trial.scenario.name}: the most in a minute of the clock, which is what it "
            f"counts, is {_show(limit, most)}; callers began in the middle of one."
        )
    return notes


def _show(limit: Limit, amount: int) -> str:
    match limit.resource:
        case "USD":
            return f"{amount / PICOS_PER_USD:.6f} USD"
        case "Requests":
            return f"{amount:,} requests"
        case _:
            return f"{amount:,} tokens"


def _name_window(limit: Limit) -> str:
    return "in a day" if limit.resource == "USD" else f"in {limit.window_s:g} s"
