"""In which order the endpoints of a route are tried."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.table import Model, Provider, Target
from gateway_runtime.engine.balance import Availability, Choice, order_choices
from gateway_runtime.engine.lookup import build_live_table
from tests.contract.tables import build_provider, build_route, build_table, build_target

READY, TRIAL = Availability.READY, Availability.TRIAL
DOUBTFUL, REFUSED = Availability.DOUBTFUL, Availability.REFUSED


def first() -> float:
    """A draw that always takes the first of what is left."""
    return 0.0


def no_draw() -> float:
    raise AssertionError("there was nothing to choose")


def order(
    targets: Sequence[Target],
    states: Mapping[str, Availability] | None = None,
    draw: Callable[[], float] = first,
    *,
    model: str = "gpt",
    providers: Sequence[Provider] | None = None,
) -> tuple[Choice, ...]:
    if providers is None:
        providers = [build_provider(name) for name in sorted({t.provider.split("/")[1] for t in targets})]
    route = build_route(model, targets=targets)
    live = build_live_table(build_table(providers=providers, routes=[route]))
    known = states or {}
    return order_choices(route, model, live, lambda endpoint: known.get(endpoint, READY), draw)


def names(choices: Sequence[Choice]) -> str:
    return " ".join(choice.provider.id.removeprefix("chat/") for choice in choices)


A, B, C = build_target("a"), build_target("b"), build_target("c")
A1, B1, C1 = (build_target(name, priority=1) for name in "abc")
A0 = build_target("a", weight=0)


@pytest.mark.parametrize(
    ("targets", "states", "expected"),
    [
        ([], {}, ""),
        ([A], {}, "a"),
        ([A], {"chat/a/0": TRIAL}, "a"),
        ([A], {"chat/a/0": DOUBTFUL}, "a"),
        ([A], {"chat/a/0": REFUSED}, ""),
        ([A, B], {}, "a b"),
        ([A, B], {"chat/a/0": REFUSED}, "b"),
        ([A, B], {"chat/a/0": DOUBTFUL}, "b a"),
        ([A, B], {"chat/a/0": TRIAL}, "a b"),
        ([A1, B], {}, "b a"),
        ([A1, B], {"chat/b/0": REFUSED}, "a"),
        ([A, B1], {"chat/a/0": DOUBTFUL}, "b a"),
        ([A, B1, C1], {"chat/a/0": DOUBTFUL, "chat/b/0": DOUBTFUL}, "c a b"),
        ([A, B], {"chat/a/0": REFUSED, "chat/b/0": REFUSED}, ""),
        ([A0, B], {}, "b a"),
        ([A0, B], {"chat/b/0": REFUSED}, "a"),
        ([A0, B1], {}, "a b"),
    ],
)
def test_the_order_follows_priority_weight_and_availability(
    targets: list[Target], states: dict[str, Availability], expected: str
) -> None:
    assert names(order(targets, states)) == expected


def test_nothing_is_drawn_where_there_is_nothing_to_choose() -> None:
    assert names(order([A, B1], draw=no_draw)) == "a b"


def test_the_draw_walks_through_the_weights() -> None:
    targets = [build_target("a", weight=1), build_target("b", weight=2), build_target("c", weight=1)]

    assert names(order(targets, draw=lambda: 0.0)).startswith("a")
    assert names(order(targets, draw=lambda: 0.25)).startswith("b")
    assert names(order(targets, draw=lambda: 0.7499)).startswith("b")
    assert names(order(targets, draw=lambda: 0.75)).startswith("c")
    assert names(order(targets, draw=lambda: 0.9999999)).startswith("c")


def test_first_choices_follow_the_weights() -> None:
    targets = [build_target("a", weight=70), build_target("b", weight=30)]
    draw = Random(7).random
    counts = Counter(order(targets, draw=draw)[0].provider.id for _ in range(2000))

    assert 1330 <= counts["chat/a"] <= 1470


def test_targets_of_weight_zero_come_after_all_others_of_their_group() -> None:
    targets = [A0, build_target("b", weight=0), C]
    draw = Random(1).random
    orders = {names(order(targets, draw=draw)) for _ in range(50)}

    assert orders == {"c a b", "c b a"}


def test_the_endpoints_of_a_provider_come_in_drawn_order() -> None:
    provider = build_provider("a", endpoints=3)
    draw = Random(1).random
    orders = {
        tuple(choice.endpoint.id[-1] for choice in order([A], draw=draw, providers=[provider]))
        for _ in range(100)
    }

    assert len(orders) == 6


def test_one_endpoint_of_a_provider_may_be_refused_alone() -> None:
    provider = build_provider("a", endpoints=2)
    choices = order([A], {"chat/a/0": REFUSED}, providers=[provider])

    assert [choice.endpoint.id for choice in choices] == ["chat/a/1"]


@pytest.mark.parametrize(
    ("target_model", "models", "expected"),
    [
        (None, [], "gpt"),
        ("big", [], "big"),
        (None, [Model(name="gpt", upstream_name="gpt-2026")], "gpt-2026"),
        ("big", [Model(name="big", upstream_name="big-2026")], "big-2026"),
        ("big", [Model(name="gpt", upstream_name="gpt-2026")], "big"),
    ],
)
def test_the_upstream_name_is_looked_up_at_the_provider(
    target_model: str | None, models: list[Model], expected: str
) -> None:
    provider = build_provider("a", models=models)
    choices = order([build_target("a", model=target_model)], providers=[provider])

    assert [choice.model for choice in choices] == [expected]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=6),
    st.lists(st.sampled_from(Availability), min_size=6, max_size=6),
    st.randoms(use_true_random=False),
)
def test_each_endpoint_that_is_not_refused_is_tried_exactly_once_and_groups_stay_in_order(
    weights: list[tuple[int, int]], states: list[Availability], random: Random
) -> None:
    targets = [
        build_target(f"p{i}", weight=weight, priority=priority)
        for i, (weight, priority) in enumerate(weights)
    ]
    known = {f"chat/p{i}/0": state for i, state in enumerate(states)}
    choices = order(targets, known, random.random)
    keys = []
    for choice in choices:
        weight, priority = weights[int(choice.provider.id[-1])]
        keys.append((known[choice.endpoint.id] is DOUBTFUL, priority, weight == 0))

    assert sorted(choice.provider.id for choice in choices) == [
        target.provider for i, target in enumerate(targets) if states[i] is not REFUSED
    ]
    assert keys == sorted(keys)
