"""When a slow request gets a second copy, and where it goes."""

import pytest
from msgspec import structs

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import Hedge
from gateway_runtime.engine.balance import Availability, Choice, order_choices
from gateway_runtime.engine.budget import RetryBudget
from gateway_runtime.engine.hedge import pick_hedge, wait_before_hedge
from gateway_runtime.engine.lookup import build_live_table
from tests.contract.tables import build_provider, build_route, build_table, build_target

ONE = Hedge(after_s=2.0, max_extra=1)
TWO = Hedge(after_s=2.0, max_extra=2)


@pytest.mark.parametrize(
    ("policy", "stream", "copies", "left_s", "expected"),
    [
        (None, False, 1, 60.0, None),
        (ONE, False, 1, 60.0, 2.0),
        (ONE, True, 1, 60.0, None),
        (ONE, False, 2, 60.0, None),
        (TWO, False, 2, 60.0, 2.0),
        (TWO, False, 3, 60.0, None),
        (ONE, False, 1, 2.0, None),
        (ONE, False, 1, 2.1, 2.0),
    ],
)
def test_a_copy_is_due_after_its_time_unless_something_speaks_against_it(
    policy: Hedge | None, stream: bool, copies: int, left_s: float, expected: float | None
) -> None:
    assert wait_before_hedge(policy, stream=stream, copies=copies, left_s=left_s) == expected


def choices() -> list[Choice]:
    route = build_route("gpt", targets=[build_target("a")])
    live = build_live_table(build_table(providers=[build_provider("a", endpoints=3)], routes=[route]))
    ready = Availability.READY
    return list(order_choices(route, "gpt", live, lambda _: ready, lambda: 0.999))


def test_a_copy_goes_to_the_best_endpoint_that_has_none() -> None:
    picked = pick_hedge(choices(), {EndpointId("chat/a/0")}, RetryBudget(20), 0.0)

    assert picked is not None
    assert picked.endpoint.id == "chat/a/1"


def test_no_copy_goes_where_one_is_under_way() -> None:
    everywhere = {choice.endpoint.id for choice in choices()}

    assert pick_hedge(choices(), everywhere, RetryBudget(20), 0.0) is None


def test_no_copy_goes_to_a_last_resort() -> None:
    last_resorts = [structs.replace(choice, last_resort=True) for choice in choices()]

    assert pick_hedge(last_resorts, (), RetryBudget(20), 0.0) is None


def test_copies_are_charged_to_the_retry_budget() -> None:
    budget = RetryBudget(0)
    picked = [pick_hedge(choices(), (), budget, 0.0) for _ in range(31)]

    assert [choice is not None for choice in picked] == [True] * 30 + [False]
