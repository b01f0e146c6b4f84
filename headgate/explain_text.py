"""What `headgate explain` prints: an Explanation in, lines for a terminal or JSON with the same facts out."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

import msgspec

from headgate.explain import Explanation, Need
from headgate.explain_limits import LimitStep
from headgate.explain_steps import FallbackStep, Step

_UNITS: Final = {
    "Requests": "requests",
    "InputTokens": "input tokens",
    "OutputTokens": "output tokens",
    "TotalTokens": "tokens",
    "USD": "US dollars",
    "Concurrency": "requests at once",
}
_FOR_EACH: Final = {
    "Tenant": "",
    "PerUser": " for each user",
    "PerKey": " for each key",
    "PerModel": " for each model",
}


def build_text(explanation: Explanation) -> str:
    return "\n".join(_list_lines(explanation))


def build_json(explanation: Explanation) -> str:
    return msgspec.json.format(msgspec.json.encode(asdict(explanation)), indent=2).decode()


def _list_lines(e: Explanation) -> Iterator[str]:
    yield f'model "{e.model}" for tenant {e.tenant}: {"served" if e.served else "not served"}; {e.reason}'
    if e.route:
        yield (
            f"route {e.route}: strategy {e.strategy}, up to {e.max_attempts} attempts, "
            f"what a provider cannot express is {'dropped' if e.unsupported == 'Drop' else 'refused'}"
        )
    for number, step in enumerate(e.steps, start=1):
        where = f"{step.endpoint} ({step.type}), priority {step.priority}, {step.turn}"
        yield f"  {number}. {where}: {step.model}"
        yield from _describe_step(step)
    told: set[str] = set()
    for dropped in e.dropped:
        lost = "" if dropped.reasons else ", which is not served"
        yield f"  dropped: {dropped.field}, provider {dropped.provider}{lost}"
        yield from (f"     {reason}" for reason in dropped.reasons)
        told.update(dropped.reasons)
    yield from (f"  then {_describe_fallback(fallback)}" for fallback in e.fallbacks)
    if e.need is not None:
        yield _describe_need(e.need)
        if e.need.unpriced:
            yield f"  no known price: {', '.join(e.need.unpriced)}{_describe_unpriced(e)}"
    for limit in e.limits:
        yield f"  limit {_describe_limit(limit, e)}"
        if limit.refusal:
            yield f"     {limit.refusal}"
    yield from (problem for problem in e.problems if problem not in told)


def _describe_step(step: Step) -> Iterator[str]:
    if step.refused:
        yield f"     cannot be asked: {step.refused}"
    else:
        cost = "" if step.cost_usd is None else f", at most {step.cost_usd} US dollars"
        yield f"     POST {step.url}{cost}"
    if step.dropped:
        yield f"     without {', '.join(step.dropped)}"


def _describe_fallback(fallback: FallbackStep) -> str:
    causes = "whatever the cause" if fallback.causes is None else f"on {', '.join(fallback.causes)}"
    if fallback.route is None:
        return f"{fallback.model} ({causes}), which this tenant may not use"
    where = f"by route {fallback.route}"
    if not fallback.endpoints:
        where += ", which has no target that is served"
    cost = "" if fallback.cost_usd is None else f", at most {fallback.cost_usd} US dollars"
    return f"{fallback.model} ({causes}), {where}{cost}"


def _describe_need(need: Need) -> str:
    if need.output_tokens is None:
        said = f"needs at most {need.input_tokens} input tokens"
        return f"{said}; nothing bounds its output, since no limit counts it"
    parts = [f"{need.input_tokens} input tokens", f"{need.output_tokens} output tokens"]
    if need.cost_usd is not None:
        parts.append(f"{need.cost_usd} US dollars")
    line = f"{'reserves' if need.reserved else 'needs at most'} {', '.join(parts)}"
    if need.copies > 1:
        line += f", in {need.copies} copies, since the route hedges"
    for name, tokens in need.output_limit.items():
        line += f"; it says nothing of its output, so {name}: {tokens} is put into it"
    return line


def _describe_unpriced(e: Explanation) -> str:
    if e.need is None or not any(limit.resource == "USD" for limit in e.limits):
        return ""
    done = "is refused" if e.need.on_unpriced == "Deny" else "counts nothing"
    return f"; under a limit of US dollars such a request {done} (onUnpriced: {e.need.on_unpriced})"


def _describe_limit(limit: LimitStep, e: Explanation) -> str:
    whose = "" if limit.quota == e.tenant else f" of {limit.quota}"
    line = f"{limit.name}{whose}: {limit.amount} {_UNITS[limit.resource]}{_describe_time(limit)}"
    line += _FOR_EACH[limit.scope]
    if limit.override_until is not None:
        line += f", by an override until {limit.override_until}, then {limit.own_amount}"
    if e.gateways > 1:
        line += f", of which each of {e.gateways} gateways has at least {limit.part}"
    if not limit.refusal:
        line += _describe_room(limit)
    return f"{line}, refuses nobody" if limit.shadow else line


def _describe_time(limit: LimitStep) -> str:
    if limit.calendar is not None:
        return f" each {limit.calendar} of {limit.zone}, this one until {limit.period_ends}"
    return "" if limit.window_s is None else f" in any {limit.window_s:g} s"


def _describe_room(limit: LimitStep) -> str:
    if limit.needs is None:
        return "; needs an unknown amount, and counts nothing"
    if limit.takes_rest:
        return f"; needs {limit.needs}, or whatever is left"
    if limit.fits is None:
        return f"; needs {limit.needs}"
    tightest = ", the tightest" if limit.tightest else ""
    return f"; needs {limit.needs}, room for {limit.fits} such requests{tightest}"
