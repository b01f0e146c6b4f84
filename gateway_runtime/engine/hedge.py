"""When a slow request gets a second copy, and where it goes: what is under way in, a choice out.

`server` asks `wait_before_hedge` after each copy it has sent, waits that long for an answer, and then asks
`pick_hedge`. The first good answer is the caller's, and the others are stopped.

A stream is never hedged: once it has begun there is no telling which copy is ahead, and two are paid for.
"""

from collections.abc import Container, Iterable

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import Hedge
from gateway_runtime.engine.budget import RetryBudget
from gateway_runtime.engine.plan import Choice


def wait_before_hedge(policy: Hedge | None, *, stream: bool, copies: int, left_s: float) -> float | None:
    """Seconds from the sending of the latest copy to that of another one; None when there will be none.

    copies: sent so far, from 1. left_s: until the request's deadline.
    """
    if policy is None or stream or copies > policy.max_extra or policy.after_s >= left_s:
        return None
    return policy.after_s


def pick_hedge(
    choices: Iterable[Choice], under_way: Container[EndpointId], budget: RetryBudget, now_s: float
) -> Choice | None:
    """The best choice that has no copy yet; None when there is none or the budget is spent. choices: a fresh
    `order_choices`.
    """
    for choice in choices:
        if not choice.last_resort and choice.endpoint.id not in under_way:
            return choice if budget.withdraw(now_s) else None
    return None
