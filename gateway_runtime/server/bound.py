"""What a request may cost at most, before it is sent: a question and its route in, a Bound out.

`request` asks for tenants with limits of tokens or money. It is a true upper bound, as far as there is one:

    input    a token stands for a byte or more of the body; pictures and files have more tokens than bytes, so
             that a request which has some is bounded by the context of the models that it may reach
    output   what the caller allows (`max_tokens` and its other names, times `n`), and where it allows
             anything, OUTPUT_TOKENS, which is then said to the provider. Of a tenant that may go over by one
             request nothing is said: then it is all that a model can write
    money    the dearest of the endpoints that it may reach, those of its fallbacks included

The one subtle rule: what is bounded here is what is sent. A limit of the output that is only believed, and
not said to the provider, would be none: with it, many that run at once could go over together.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.table import Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.plan import Choice
from gateway_runtime.providers.models.facts import ModelFacts, find_facts
from gateway_runtime.providers.models.prices import Ceiling, list_ceilings, price_dearest
from gateway_runtime.providers.operation import Operation
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.translation import Question
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


class Bounder:
    """What bounding needs of a route and a model, found once: `lane` keeps one for all requests of a kind."""

    __slots__ = (
        "_ceilings",
        "_choices",
        "_context",
        "_limit_name",
        "_longest",
        "_one_over",
        "_operation",
        "_plain_copies",
    )

    def __init__(
        self, live: LiveTable, tenant: Tenant, route: Route, operation: Operation, model: str
    ) -> None:
        self._operation = operation
        self._choices = _list_choices(live, tenant, route, model)
        self._ceilings = _list_ceilings(self._choices)
        self._plain_copies = 1 if route.hedge is None else 1 + route.hedge.max_extra
        self._limit_name = _name_limit(operation, self._choices)
        self._one_over = tenant.one_over
        self._context: int | None = None
        self._longest: int | None = None

    def bound(self, body: RequestBody, size: int) -> tuple[Bound, int | None]:
        """size: as `measure_body` says it. And what the provider has to be told of its output."""
        said = None
        if self._operation.takes == "form":
            tokens_in, tokens_out = _FORM_TOKENS, _FORM_TOKENS
        else:
            tokens_in = self._bound_input(body, size)
            tokens_out, said = _bound_output(self._operation, body.members)
            if said is not None and self._one_over:
                tokens_out, said = tokens_out // said * self._find_longest(), None
        ceilings = self._ceilings
        cost = None if ceilings is None else price_dearest(ceilings, tokens_in, tokens_out)
        copies = 1 if body.stream else self._plain_copies
        if copies == 1:
            return Bound(tokens_in, tokens_out, cost), said
        return Bound(tokens_in * copies, tokens_out * copies, None if cost is None else cost * copies), said

    def say_limit(self, body: RequestBody, tokens: int) -> RequestBody:
        members = {**body.members, self._limit_name: msgspec.Raw(b"%d" % tokens)}
        return msgspec.structs.replace(body, members=members)

    def _bound_input(self, body: RequestBody, size: int) -> int:
        search = _MEDIA.search
        for value in body.members.values():
            if search(value):
                break
        else:
            return size
        if self._context is None:
            self._context = max((_find_context(choice) for choice in self._choices), default=0)
        return self._context or size

    def _find_longest(self) -> int:
        if self._longest is None:
            self._longest = max((_find_longest(choice) for choice in self._choices), default=OUTPUT_TOKENS)
        return self._longest


def bound_request(live: LiveTable, tenant: Tenant, route: Route, question: Question, size: int) -> Bounded:
    """size: as `measure_body` says it."""
    bounder = Bounder(live, tenant, route, question.operation, question.body.model)
    bound, said = bounder.bound(question.body, size)
    if said is None:
        return Bounded(bound, question, None)
    return Bounded(bound, question.with_body(bounder.say_limit(question.body, said)), said)


def measure_body(body: RequestBody) -> int:
    """In bytes, without names and blanks of the top level, which no model sees."""
    return sum([memoryview(value).nbytes for value in body.members.values()])


def _list_choices(live: LiveTable, tenant: Tenant, route: Route, model: str) -> list[Choice]:
    choices = list(live.plan(route, model).choices)
    for rule in route.fallbacks:
        other = live.match_route(tenant, rule.model)
        if other is not None:
            choices += live.plan(other, rule.model).choices
    return choices


def _find_context(choice: Choice) -> int:
    facts = _find_facts(choice)
    return _UNKNOWN_CONTEXT if facts is None or facts.context_window is None else facts.context_window


def _find_longest(choice: Choice) -> int:
    """What its model can write at most, in tokens."""
    facts = _find_facts(choice)
    if facts is None or facts.max_output_tokens is None:
        return _find_context(choice)
    return facts.max_output_tokens


def _find_facts(choice: Choice) -> ModelFacts | None:
    provider = choice.provider
    name = provider.type if provider.litellm is None else provider.litellm.provider
    return find_facts(name, choice.model)


def _bound_output(operation: Operation, members: Mapping[str, msgspec.Raw]) -> tuple[int, int | None]:
    """And what the provider has to be told of it. The largest counts where a caller says several."""
    answers = 1
    if "n" in members or "best_of" in members:
        answers = max(_read_count(members.get("n")) or 1, _read_count(members.get("best_of")) or 1)
    match operation.kind:
        case "embeddings" | "count" | "rerank":
            return 0, None
        case "other" if not operation.asks_usage and not operation.refers:
            return _PICTURE_TOKENS * answers, None
    told = [
        count
        for name in _LIMITS_OF_OUTPUT
        if name in members and (count := _read_count(members[name])) is not None
    ]
    if told:
        return max(told) * answers, None
    return OUTPUT_TOKENS * answers, OUTPUT_TOKENS


def _name_limit(operation: Operation, choices: list[Choice]) -> str:
    if operation.refers:
        return "max_output_tokens"
    hosts = {choice.provider.type for choice in choices}
    # OpenAI's newer models refuse the older name, and its older ones take the newer.
    chats = operation.kind == "chat"
    return "max_completion_tokens" if chats and hosts <= {"openai", "azure"} else "max_tokens"


def bound_cost(choices: list[Choice], tokens_in: int, tokens_out: int) -> int | None:
    """None: the price of some is not known."""
    ceilings = _list_ceilings(choices)
    return None if ceilings is None else price_dearest(ceilings, tokens_in, tokens_out)


def _list_ceilings(choices: list[Choice]) -> tuple[Ceiling, ...] | None:
    """None: the price of some is not known."""
    prices = [find_prices(choice) for choice in choices]
    known = [one for one in prices if one is not None]
    return list_ceilings(known) if len(known) == len(prices) else None


def _read_count(raw: msgspec.Raw | None) -> int | None:
    """None where it is no whole number: the provider refuses it."""
    if raw is None:
        return None
    try:
        count = _count_decoder.decode(raw)
    except msgspec.DecodeError:
        return None
    return None if count is None or count < 0 else count
