"""In which order the endpoints of a route are tried."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway_runtime.contract.table import Model, Price, Provider, Target
from gateway_runtime.engine.balance import Availability, Choice, EndpointView, order_choices
from gateway_runtime.engine.lookup import build_live_table
from gateway_runtime.engine.trace import Trace
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
    panic_percent: int = 0,
    limited_s: Mapping[str, float] | None = None,
    opened_s: Mapping[str, float] | None = None,
    trace: Trace | None = None,
) -> Sequence[Choice]:
    """All mappings are by endpoint."""
    if providers is None:
        providers = [build_provider(name) for name in sorted({t.provider.split("/")[1] for t in targets})]
    route = structs.replace(build_route(model, targets=targets), panic_percent=panic_percent)
    live = build_live_table(build_table(providers=providers, routes=[route]))
    known, waits, openings = states or {}, limited_s or {}, opened_s or {}
    return order_choices(
        route,
        model,
        live,
        lambda endpoint: known.get(endpoint, READY),
        draw,
        view=lambda choice: EndpointView(opened_s=openings[choice.endpoint.id]),
        limited_s=None if limited_s is None else lambda choice: waits.get(choice.endpoint.id, 0.0),
        trace=trace,
    )


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


PRICE = Price(input_usd_picos=150_000, output_usd_picos=600_000)


@pytest.mark.parametrize(
    ("target_model", "models", "blend"),
    [
        (None, [], None),
        (None, [Model(name="gpt", upstream_name="gpt")], None),
        (None, [Model(name="gpt", upstream_name="gpt", price=PRICE)], 1_050_000),
        ("big", [Model(name="big", upstream_name="gpt", price=PRICE)], 1_050_000),
        ("big", [Model(name="gpt", upstream_name="big", price=PRICE)], None),
        (
            None,
            [Model(name="gpt", upstream_name="gpt", price=Price(input_usd_picos=0, output_usd_picos=0))],
            0,
        ),
    ],
    ids=["unlisted", "without-price", "the-callers-name", "the-targets-name", "another-model", "free"],
)
def test_every_endpoint_carries_the_blended_price_of_the_model_there(
    target_model: str | None, models: list[Model], blend: int | None
) -> None:
    provider = build_provider("a", endpoints=2, models=models)
    choices = order([build_target("a", model=target_model)], providers=[provider])

    assert [choice.blend_usd_picos for choice in choices] == [blend, blend]


@pytest.mark.parametrize(
    ("targets", "states", "expected"),
    [
        ([A, B, C], {"chat/b/0": DOUBTFUL}, "a c b"),
        ([A, B, C], {"chat/a/0": DOUBTFUL, "chat/b/0": DOUBTFUL}, "a b c"),
        ([A, B, C], {"chat/a/0": DOUBTFUL, "chat/b/0": REFUSED}, "a c"),
        ([A, B, C], {"chat/a/0": REFUSED, "chat/b/0": REFUSED}, "c"),
        ([A, B, C], {"chat/a/0": DOUBTFUL, "chat/b/0": TRIAL}, "a b c"),
        ([A, B, C], {"chat/a/0": DOUBTFUL, "chat/b/0": DOUBTFUL, "chat/c/0": TRIAL}, "c a b"),
        ([A, B], {"chat/a/0": DOUBTFUL}, "b a"),
        ([A, build_target("d"), B, C1], {"chat/a/0": DOUBTFUL, "chat/d/0": DOUBTFUL}, "b c a d"),
        ([A, B1, C1, build_target("d", priority=1)], {"chat/b/0": DOUBTFUL, "chat/c/0": DOUBTFUL}, "a b c d"),
    ],
    ids=[
        "most-are-ready",
        "few-are-ready",
        "open-circuits-stay-out",
        "nobody-to-join",
        "a-trial-is-not-ready",
        "none-is-ready",
        "half-is-enough",
        "a-later-priority-can-take-over",
        "a-later-priority-panics",
    ],
)
def test_when_few_are_ready_the_doubtful_count_as_ready(
    targets: list[Target], states: dict[str, Availability], expected: str
) -> None:
    assert names(order(targets, states, panic_percent=50)) == expected


def test_without_a_threshold_nothing_panics() -> None:
    states = {"chat/a/0": DOUBTFUL, "chat/b/0": DOUBTFUL}

    assert names(order([A, B, C], states, panic_percent=0)) == "c a b"


@pytest.mark.parametrize(
    ("targets", "limited_s", "states", "expected"),
    [
        ([A, B], {}, {}, "a b"),
        ([A, B], {"chat/a/0": 3.0}, {}, "b a"),
        ([A, B1], {"chat/a/0": 3.0}, {}, "b a"),
        ([A, B, C], {"chat/a/0": 3.0, "chat/b/0": 1.0}, {}, "c b a"),
        ([A, B1], {"chat/a/0": 3.0, "chat/b/0": 1.0}, {}, "b a"),
        ([A, B], {"chat/a/0": 3.0}, {"chat/b/0": DOUBTFUL}, "b a"),
        ([A, B], {"chat/a/0": 3.0}, {"chat/a/0": REFUSED}, "b"),
        ([A, B], {"chat/a/0": 3.0}, {"chat/a/0": DOUBTFUL}, "b a"),
        ([A], {"chat/a/0": 3.0}, {}, "a"),
    ],
)
def test_who_has_no_room_is_tried_late_and_the_one_that_frees_first_before_the_others(
    targets: list[Target], limited_s: dict[str, float], states: dict[str, Availability], expected: str
) -> None:
    assert names(order(targets, states, limited_s=limited_s)) == expected


def build_reluctant_provider(max_open_percent: int, endpoints: int) -> Provider:
    provider = build_provider("a", endpoints=endpoints)
    return structs.replace(
        provider, circuit=structs.replace(provider.circuit, max_open_percent=max_open_percent)
    )


@pytest.mark.parametrize(
    ("max_open_percent", "endpoints", "refused", "expected"),
    [
        (100, 1, "0", ""),
        (99, 1, "0", "0!"),
        (0, 1, "0", "0!"),
        (50, 2, "0", "1"),
        (50, 2, "01", "1!"),
        (50, 3, "0", "2 1"),
        (50, 3, "01", "2 1!"),
        (50, 3, "012", "2! 1!"),
        (0, 3, "012", "2! 1! 0!"),
        (66, 3, "012", "2! 1!"),
        (67, 3, "012", "2!"),
    ],
)
def test_so_many_endpoints_may_be_refused_and_the_longest_open_are_last_resorts(
    max_open_percent: int, endpoints: int, refused: str, expected: str
) -> None:
    """The endpoint with the higher number opened first; `!` is a last resort."""
    choices = order(
        [A],
        {f"chat/a/{i}": REFUSED for i in refused},
        providers=[build_reluctant_provider(max_open_percent, endpoints)],
        opened_s={f"chat/a/{i}": 100.0 - int(i) for i in refused},
    )
    shown = [f"{choice.endpoint.id[-1]}{'!' if choice.last_resort else ''}" for choice in choices]

    assert " ".join(shown) == expected


def test_a_last_resort_comes_after_everything_else() -> None:
    choices = order(
        [A, B, C1],
        {"chat/a/0": REFUSED, "chat/b/0": DOUBTFUL},
        providers=[build_reluctant_provider(0, 1), build_provider("b"), build_provider("c")],
        opened_s={"chat/a/0": 1.0},
        limited_s={"chat/c/0": 5.0},
    )

    assert names(choices) == "b c a"


def test_what_is_out_of_the_ordinary_can_be_read_back() -> None:
    trace = Trace()
    targets = [build_target(name) for name in "abcdefgh"]
    states = {"chat/a/0": REFUSED, "chat/b/0": DOUBTFUL, "chat/d/0": REFUSED}
    order(
        targets,
        states,
        providers=[
            *(build_provider(name) for name in "bcdefgh"),
            build_reluctant_provider(0, 1),
        ],
        limited_s={"chat/c/0": 3.0},
        opened_s={"chat/a/0": 1.0},
        trace=trace,
    )

    assert trace.lines() == (
        "chat/a/0 last: circuit open, kept as a last resort",
        "chat/b/0 late: its probe fails",
        "chat/c/0 late: limit learnt, free in 3 s",
        "chat/d/0 skipped: circuit open",
    )


def test_a_panic_makes_no_room_at_a_provider() -> None:
    states = {"chat/a/0": DOUBTFUL, "chat/b/0": DOUBTFUL}

    assert names(order([A, B, C], states, panic_percent=50, limited_s={"chat/a/0": 1.0})) == "b c a"


def test_a_panic_can_be_read_back() -> None:
    trace = Trace()
    order([A, B, C], {"chat/a/0": DOUBTFUL, "chat/b/0": REFUSED}, panic_percent=50, trace=trace)

    assert trace.lines() == (
        "chat/a/0 counted as ready although its probe fails: only 1 of 3 are ready",
        "chat/b/0 skipped: circuit open",
    )


def test_where_all_is_well_there_is_nothing_to_read() -> None:
    trace = Trace()
    order([A, B], limited_s={}, trace=trace)

    assert trace.lines() == ()


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


@given(
    st.lists(st.sampled_from(Availability), min_size=1, max_size=5),
    st.lists(st.floats(0, 9), min_size=5, max_size=5),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_no_more_endpoints_are_refused_than_the_provider_allows_and_none_comes_twice(
    states: list[Availability], waits: list[float], max_open_percent: int, panic_percent: int
) -> None:
    ids = [f"chat/a/{i}" for i in range(len(states))]
    choices = order(
        [A],
        dict(zip(ids, states, strict=True)),
        providers=[build_reluctant_provider(max_open_percent, len(states))],
        panic_percent=panic_percent,
        limited_s=dict(zip(ids, waits, strict=False)),
        opened_s=dict.fromkeys(ids, 0.0),
    )
    there = [choice.endpoint.id for choice in choices]
    missing = set(ids) - set(there)

    assert len(there) == len(set(there))
    assert len(missing) == min(states.count(REFUSED), len(states) * max_open_percent // 100)
    assert all(states[ids.index(endpoint)] is REFUSED for endpoint in missing)
    assert [c.endpoint.id for c in choices if c.last_resort] == [
        e for e in there if states[ids.index(e)] is REFUSED
    ]
