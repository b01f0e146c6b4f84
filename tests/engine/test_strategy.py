"""Who is first within a priority, and who comes next, for each strategy."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.table import Model, Price, Strategy
from gateway_runtime.engine.balance import Availability, Choice, EndpointView, order_choices
from gateway_runtime.engine.lookup import LiveTable, build_live_table
from gateway_runtime.engine.rotation import Rotation
from tests.contract.tables import build_provider, build_route, build_table, build_target

STRATEGIES: tuple[Strategy, ...] = ("Weighted", "RoundRobin", "LeastBusy", "Latency", "Cost")
EACH_STRATEGY = pytest.mark.parametrize("strategy", STRATEGIES)
IDLE = EndpointView(latency_s=1.0)
PICOS = st.integers(0, 3)


def first() -> float:
    return 0.0


def price_model(input_usd_picos: int, output_usd_picos: int) -> Model:
    price = Price(input_usd_picos=input_usd_picos, output_usd_picos=output_usd_picos)
    return Model(name="gpt", upstream_name="gpt", price=price)


class Setup:
    """One priority: `weights` by target's name; `endpoints` of each, 1 where it is not told; `prices` of the
    model there, input and output.
    """

    def __init__(
        self,
        strategy: Strategy,
        weights: Mapping[str, int],
        endpoints: Mapping[str, int] | None = None,
        prices: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        counts = endpoints or {}
        targets = [build_target(name, weight=weight) for name, weight in weights.items()]
        priced = {name: [price_model(*price)] for name, price in (prices or {}).items()}
        providers = [
            build_provider(name, endpoints=counts.get(name, 1), models=priced.get(name, ()))
            for name in weights
        ]
        self.route = msgspec.structs.replace(build_route("gpt", targets=targets), strategy=strategy)
        self.live: LiveTable = build_live_table(build_table(providers=providers, routes=[self.route]))
        self.rotation = Rotation()
        self.views: dict[str, EndpointView] = {}
        """By `a/0`."""
        self.states: dict[str, Availability] = {}

    def order(self, draw: Callable[[], float] = first) -> Sequence[Choice]:
        return order_choices(
            self.route,
            "gpt",
            self.live,
            lambda endpoint: self.states.get(endpoint.removeprefix("chat/"), Availability.READY),
            draw,
            view=lambda choice: self.views.get(choice.endpoint.id.removeprefix("chat/"), IDLE),
            rotation=self.rotation,
        )

    def names(self, draw: Callable[[], float] = first) -> str:
        return " ".join(choice.endpoint.id.removeprefix("chat/") for choice in self.order(draw))

    def firsts(self, times: int, draw: Callable[[], float] = first) -> Counter[str]:
        return Counter(self.names(draw).split()[0] for _ in range(times))


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ({"a": 1, "b": 1}, "a b a b"),
        ({"a": 2, "b": 1}, "a b a a b a"),
        ({"a": 5, "b": 1, "c": 1}, "a a b a c a a"),
        ({"a": 1, "b": 1, "c": 1}, "a b c a b c"),
    ],
)
def test_round_robin_takes_turns_by_weight(weights: dict[str, int], turns: str) -> None:
    setup = Setup("RoundRobin", weights)
    taken = [setup.names().split()[0][0] for _ in turns.split()]

    assert " ".join(taken) == turns


def test_round_robin_tries_those_next_that_are_due_next() -> None:
    setup = Setup("RoundRobin", {"a": 1, "b": 1, "c": 1})

    assert [setup.names() for _ in range(3)] == ["a/0 b/0 c/0", "b/0 c/0 a/0", "c/0 a/0 b/0"]


def test_the_endpoints_of_a_target_share_its_turns() -> None:
    setup = Setup("RoundRobin", {"a": 2, "b": 2}, {"a": 2})

    assert setup.firsts(400) == {"a/0": 100, "a/1": 100, "b/0": 200}


def test_a_refused_endpoint_leaves_its_turns_to_its_target() -> None:
    setup = Setup("RoundRobin", {"a": 2, "b": 2}, {"a": 2})
    setup.states["a/0"] = Availability.REFUSED

    assert setup.firsts(400) == {"a/1": 200, "b/0": 200}


def test_who_was_away_comes_back_without_a_burst() -> None:
    setup = Setup("RoundRobin", {"a": 1, "b": 1})
    setup.states["a/0"] = Availability.REFUSED
    setup.firsts(100)
    setup.states.clear()

    assert setup.firsts(4) == {"a/0": 2, "b/0": 2}


def test_a_rotation_prints_what_each_has_gained() -> None:
    rotation = Rotation()
    rotation.take_turn([1, 0], [1.0, 3.0])

    assert repr(rotation) == "<Rotation {0: -1.0, 1: 1.0}>"


@pytest.mark.parametrize(
    ("weights", "in_flight", "drawn", "expected"),
    [
        ({"a": 1, "b": 1}, {}, 0.0, "a/0 b/0"),
        ({"a": 1, "b": 1}, {}, 0.9, "b/0 a/0"),
        ({"a": 1, "b": 1}, {"a/0": 1}, 0.0, "b/0 a/0"),
        ({"a": 1, "b": 1}, {"a/0": 1, "b/0": 1}, 0.9, "b/0 a/0"),
        ({"a": 3, "b": 1}, {"a/0": 2}, 0.0, "a/0 b/0"),
        ({"a": 3, "b": 1}, {"a/0": 3}, 0.0, "b/0 a/0"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, {"a/0": 5, "b/0": 4, "c/0": 3}, 0.0, "b/0 a/0 d/0 c/0"),
    ],
)
def test_least_busy_compares_two_by_requests_in_flight(
    weights: dict[str, int], in_flight: dict[str, int], drawn: float, expected: str
) -> None:
    setup = Setup("LeastBusy", weights)
    setup.views = {name: EndpointView(in_flight=busy) for name, busy in in_flight.items()}

    assert setup.names(lambda: drawn) == expected


@given(st.lists(st.integers(0, 50), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_least_busy_never_takes_the_busiest(in_flight: list[int], random: Random) -> None:
    names = "abcdef"[: len(in_flight)]
    setup = Setup("LeastBusy", dict.fromkeys(names, 1))
    setup.views = {f"{n}/0": EndpointView(in_flight=b) for n, b in zip(names, in_flight, strict=True)}
    taken = in_flight[names.index(setup.names(random.random)[0])]

    assert taken < max(in_flight) or in_flight.count(taken) >= 2


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ({"a/0": EndpointView(latency_s=2.0), "b/0": EndpointView(latency_s=1.0)}, "b/0 a/0"),
        ({"a/0": EndpointView(0, 2.0), "b/0": EndpointView(2, 1.0)}, "a/0 b/0"),
        ({"a/0": EndpointView(0, 2.0), "b/0": EndpointView(0, None)}, "b/0 a/0"),
        ({"a/0": EndpointView(9, 9.0), "b/0": EndpointView(1, None)}, "a/0 b/0"),
        ({"a/0": EndpointView(0, None), "b/0": EndpointView(0, None)}, "a/0 b/0"),
    ],
    ids=["quicker", "quicker-but-busy", "unknown", "unknown-and-explored", "both-unknown"],
)
def test_latency_takes_the_lowest_expected_wait(views: dict[str, EndpointView], expected: str) -> None:
    setup = Setup("Latency", {"a": 1, "b": 1})
    setup.views = views

    assert setup.names() == expected


def test_of_equally_quick_ones_latency_draws() -> None:
    setup = Setup("Latency", {"a": 1, "b": 1})

    assert setup.names(lambda: 0.9) == "b/0 a/0"


def test_a_heavier_target_may_be_slower_under_latency() -> None:
    setup = Setup("Latency", {"a": 3, "b": 1})
    setup.views = {"a/0": EndpointView(0, 2.0), "b/0": EndpointView(0, 1.0)}

    assert setup.names() == "a/0 b/0"


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ({"a": (2, 2), "b": (1, 1), "c": (3, 3)}, "b a c"),
        ({"a": (1, 9), "b": (2, 5), "c": (3, 1)}, "c b a"),
        ({"a": (1, 1), "b": (1, 1), "c": (1, 1)}, "a b c"),
        ({"a": (2, 0), "b": (0, 6), "c": (1, 3)}, "a b c"),
        ({"a": (10**12 - 1, 10**12), "b": (10**12 - 1, 10**12 - 1)}, "b a c"),
        ({"b": (999, 999)}, "b a c"),
        ({"c": (0, 0), "b": (1, 0)}, "c b a"),
        ({}, "a b c"),
    ],
    ids=[
        *("cheaper", "three-parts-input", "equal", "equal-in-sum", "by-a-millionth", "unknown-last"),
        *("free", "all-unknown"),
    ],
)
def test_cost_takes_the_cheapest_first(prices: dict[str, tuple[int, int]], expected: str) -> None:
    setup = Setup("Cost", {"a": 1, "b": 1, "c": 1}, prices=prices)

    assert setup.names().replace("/0", "") == expected


def test_cost_does_not_care_for_the_weight_of_what_is_dearer() -> None:
    setup = Setup("Cost", {"a": 1000, "b": 1}, prices={"a": (2, 2), "b": (1, 1)})

    assert setup.firsts(100, Random(7).random) == {"b/0": 100}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 20), min_size=1),
    st.none() | st.just((1, 1)),
    st.randoms(use_true_random=False),
)
def test_cost_draws_equals_as_weighted_does(
    weights: dict[str, int], price: tuple[int, int] | None, random: Random
) -> None:
    prices = dict.fromkeys(weights, price) if price else None
    points = [random.random() for _ in range(10)]
    by_cost, by_weight = (
        Setup(strategy, weights, {"a": 2}, prices).names(iter(points).__next__)
        for strategy in ("Cost", "Weighted")
    )

    assert by_cost == by_weight


def test_the_endpoints_of_the_cheapest_target_come_before_all_others() -> None:
    setup = Setup("Cost", {"a": 1, "b": 1}, {"a": 2, "b": 3}, {"a": (2, 2), "b": (1, 1)})
    names = setup.names(Random(7).random).split()

    assert {name[0] for name in names[:3]} == {"b"}
    assert {name[0] for name in names[3:]} == {"a"}


def test_the_cheapest_that_is_out_of_service_leaves_the_next_one_first() -> None:
    setup = Setup("Cost", {"a": 1, "b": 1, "c": 1}, prices={"a": (3, 3), "b": (1, 1), "c": (2, 2)})
    setup.states["b/0"] = Availability.REFUSED

    assert setup.names() == "c/0 a/0"


def test_cost_puts_an_earlier_priority_before_a_cheaper_model() -> None:
    setup = Setup("Cost", {"a": 1, "b": 1}, prices={"a": (2, 2), "b": (1, 1)})
    targets = (build_target("a"), build_target("b", priority=1))
    setup.route = msgspec.structs.replace(setup.route, targets=targets)
    setup.live = build_live_table(msgspec.structs.replace(setup.live.table, routes=(setup.route,)))

    assert setup.names() == "a/0 b/0"


@EACH_STRATEGY
def test_weight_zero_comes_after_all_others(strategy: Strategy) -> None:
    setup = Setup(strategy, {"z": 0, "a": 1, "b": 1}, prices={"z": (0, 0), "a": (9, 9), "b": (9, 9)})
    setup.views = {"z/0": EndpointView(0, 0.001), "a/0": EndpointView(9, 9.0), "b/0": EndpointView(9, 9.0)}

    assert setup.names().endswith(" z/0")


@pytest.mark.parametrize("strategy", ["RoundRobin", "LeastBusy", "Latency"])
def test_without_what_it_needs_a_strategy_draws_by_weight(strategy: Strategy) -> None:
    setup = Setup(strategy, {"a": 1, "b": 3})

    def order(drawn: float) -> str:
        choices = order_choices(setup.route, "gpt", setup.live, lambda _: Availability.READY, lambda: drawn)
        return choices[0].endpoint.id

    assert (order(0.2), order(0.3)) == ("chat/a/0", "chat/b/0")


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 20), min_size=1))
def test_first_draws_share_out_exactly_by_weight(weights: dict[str, int]) -> None:
    total = sum(weights.values())
    setup = Setup("Weighted", weights)
    points = ((step + 0.5) / total for step in range(total))
    firsts: Counter[str] = Counter()
    for point in points:
        # The first draw walks evenly over [0, 1); what is drawn after it is of no interest.
        rest = count()
        firsts[setup.names(lambda point=point, rest=rest: 0.0 if next(rest) else point)[0]] += 1  # type: ignore[misc]

    assert firsts == weights


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 20), min_size=1))
def test_round_robin_shares_a_cycle_out_exactly_by_weight(weights: dict[str, int]) -> None:
    firsts = Setup("RoundRobin", weights).firsts(sum(weights.values()))

    assert firsts == {f"{name}/0": weight for name, weight in weights.items()}


@EACH_STRATEGY
@given(
    endpoints=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), min_size=1),
    data=st.data(),
    random=st.randoms(use_true_random=False),
)
def test_every_fit_endpoint_comes_once_and_no_refused_one(
    strategy: Strategy, endpoints: dict[str, int], data: st.DataObject, random: Random
) -> None:
    prices = data.draw(st.dictionaries(st.sampled_from(sorted(endpoints)), st.tuples(PICOS, PICOS)))
    setup = Setup(strategy, dict.fromkeys(endpoints, 1), endpoints, prices)
    everyone = [f"{name}/{i}" for name, number in endpoints.items() for i in range(number)]
    refused = data.draw(st.sets(st.sampled_from(everyone)))
    setup.states = dict.fromkeys(refused, Availability.REFUSED)
    latencies = st.none() | st.floats(0, 100)
    setup.views = {
        name: EndpointView(data.draw(st.integers(0, 9)), data.draw(latencies)) for name in everyone
    }

    assert sorted(setup.names(random.random).split()) == sorted(set(everyone) - refused)
