"""What a request may cost at most, before it is sent: a question and its route in, a Bound out.

`request` asks for tenants with limits of tokens or money. It is a true upper bound, as far as there is one:

    input    a token stands for a byte or more of the body; pictures and files have more tokens than bytes, so
             that a request which has some is bounded by the context of the models that it may reach
    output   what the caller allows (`max_tokens` and its other names, times `n`), and where it allows
             anything, OUTPUT_TOKENS, which is then said to the provider
    money    the dearest of the endpoints that it may reach, those of its fallbacks included

The one subtle rule: what is bounded here is what is sent. A limit of the output that is only believed, and
not said to the provider, would be none.
"""

import re
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.table import Route, Tenant
from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.plan import Choice
from gateway_runtime.providers.models.facts import find_facts
from gateway_runtime.providers.models.prices import price_usage
from gateway_runtime.providers.translation import Question
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.cost import find_prices

OUTPUT_TOKENS: Final = 4096
"""Of a request that says nothing of it. Long enough for nearly every answer in a chat; what a model can write
at most, 128,000 tokens of some, would leave no room for a second request under most limits.
"""
_FORM_TOKENS: Final = 16_384
"""Each way, of audio and pictures in a form: 25 MB of speech are some 16,000 tokens. A guess."""
_PICTURE_TOKENS: Final = 8192
"""Of one generated picture; OpenAI's largest has 6,240."""
_UNKNOWN_CONTEXT: Final = 1_048_576
"""Of a model that nobody knows: the largest that is common."""
_MEDIA: Final = re.compile(rb'"(?:image|image_url|input_image|file|input_file|document|input_audio|audio)"')
_LIMITS_OF_OUTPUT: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")

_count_decoder = msgspec.json.Decoder(int | None)


class Bounded(NamedTuple):
    bound: Bound
    question: Question
    """With the limit of its output, where it had none."""
    said: int | None
    """That limit."""


def bound_request(live: LiveTable, tenant: Tenant, route: Route, question: Question, size: int) -> Bounded:
    """size: as `measure_body` says it."""
    choices = _list_choices(live, tenant, route, question.body.model)
    said = None
    if question.operation.takes == "form":
        tokens_in, tokens_out = _FORM_TOKENS, _FORM_TOKENS
    else:
        tokens_in = _bound_input(question, choices, size)
        tokens_out, said = _bound_output(question)
        if said is not None:
            question = _say_limit(question, choices, said)
    cost = _bound_cost(choices, tokens_in, tokens_out)
    copies = 1 if route.hedge is None or question.body.stream else 1 + route.hedge.max_extra
    bound = Bound(tokens_in * copies, tokens_out * copies, None if cost is None else cost * copies)
    return Bounded(bound, question, said)


def measure_body(question: Question) -> int:
    """In bytes, without names and blanks of the top level, which no model sees."""
    return sum([memoryview(value).nbytes for value in question.body.members.values()])


def _list_choices(live: LiveTable, tenant: Tenant, route: Route, model: str) -> list[Choice]:
    choices = list(live.plan(route, model).choices)
    for rule in route.fallbacks:
        other = live.match_route(tenant, rule.model)
        if other is not None:
            choices += live.plan(other, rule.model).choices
    return choices


def _bound_input(question: Question, choices: list[Choice], size: int) -> int:
    body = question.body.members
    if not any(_MEDIA.search(value) for value in body.values()):
        return size
    return max((_find_context(choice) for choice in choices), default=size)


def _find_context(choice: Choice) -> int:
    provider = choice.provider
    name = provider.type if provider.litellm is None else provider.litellm.provider
    facts = find_facts(name, choice.model)
    return _UNKNOWN_CONTEXT if facts is None or facts.context_window is None else facts.context_window


def _bound_output(question: Question) -> tuple[int, int | None]:
    """And what the provider has to be told of it. The largest counts where a caller says several."""
    operation, members = question.operation, question.body.members
    answers = max(_read_count(members.get("n")) or 1, _read_count(members.get("best_of")) or 1)
    match operation.kind:
        case "embeddings" | "count" | "rerank":
            return 0, None
        case "other" if not operation.asks_usage and not operation.refers:
            return _PICTURE_TOKENS * answers, None
    told = [count for name in _LIMITS_OF_OUTPUT if (count := _read_count(members.get(name))) is not None]
    if told:
        return max(told) * answers, None
    return OUTPUT_TOKENS * answers, OUTPUT_TOKENS


def _say_limit(question: Question, choices: list[Choice], tokens: int) -> Question:
    name = _name_limit(question, choices)
    body = question.body
    members = {**body.members, name: msgspec.Raw(b"%d" % tokens)}
    return question.with_body(msgspec.structs.replace(body, members=members))


def _name_limit(question: Question, choices: list[Choice]) -> str:
    if question.operation.refers:
        return "max_output_tokens"
    hosts = {choice.provider.type for choice in choices}
    # OpenAI's newer models refuse the older name, and its older ones take the newer.
    chats = question.operation.kind == "chat"
    return "max_completion_tokens" if chats and hosts <= {"openai", "azure"} else "max_tokens"


def _bound_cost(choices: list[Choice], tokens_in: int, tokens_out: int) -> int | None:
    """None: the price of some is not known. All of the input may have to be written into a cache, which some
    bill higher.
    """
    dearest = 0
    for choice in choices:
        prices = find_prices(choice)
        if prices is None:
            return None
        plain = price_usage(prices, Usage(tokens_in, tokens_out))
        written = price_usage(prices, Usage(tokens_in, tokens_out, cache_write_tokens=tokens_in))
        thought = price_usage(prices, Usage(tokens_in, tokens_out, reasoning_tokens=tokens_out))
        dearest = max(dearest, plain, written, thought)
    return dearest


def _read_count(raw: msgspec.Raw | None) -> int | None:
    """None where it is no whole number: the provider refuses it."""
    if raw is None:
        return None
    try:
        count = _count_decoder.decode(raw)
    except msgspec.DecodeError:
        return None
    return None if count is None or count < 0 else count
