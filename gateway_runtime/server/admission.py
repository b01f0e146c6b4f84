"""A request before its limits: a question in, the same as it may be asked out, or a refusal.

    bound -> charge all limits or none -> (short: ask the store) -> (refused: wait in the queue) -> go

`request` calls `take_limits` for each request that has a task; `express` charges by itself where nothing
has to be waited for. All is decided by `engine.limits` and `engine.hold`.

The one subtle rule: what a limit of a shared store has no room for here may be granted a moment later, so
that after an answer all limits are asked once more. Whoever is refused then is refused.
"""

from typing import Final

from gateway_runtime.contract.table import Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.hold import Reserved, reserve
from gateway_runtime.engine.limits import Refused, Taken, TenantLimit, take_all
from gateway_runtime.providers.translation import Question
from gateway_runtime.server.bound import bound_request, measure_body
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import refuse_over_limit, refuse_without_store
from gateway_runtime.server.reload import Running
from gateway_runtime.server.reservation import Reservation
from gateway_runtime.server.room import Room

_ASKING_S: Final = 3.0
"""Others may take what was granted for us, for so long at most. A guess."""


async def take_limits(
    room: Room, running: Running, tenant: Tenant, route: Route, question: Question, record: Record
) -> Question:
    """Gives the question as it may be asked: with a limit of its output, where one is needed. record: knows
    the caller. Raises GatewayError.
    """
    state, model = room.state, question.body.model
    limits = state.limits_for(tenant, record.user, record.key_id, model)
    bound: Bound | None = None
    size, said = 0, None
    reserves = state.reserves(tenant)
    if reserves:
        size = measure_body(question.body)
        bound, question, said = bound_request(running.live, tenant, route, question, size)
    began_s = room.clock.now()

    async def take() -> Taken | Reserved | Refused:
        found = limits
        if state.reserves(tenant) == reserves:  # else it is bounded for other limits than there are now
            found = state.limits_for(tenant, record.user, record.key_id, model)
        return await _take(room, found, tenant, bound)

    queue = tenant.queue
    outcome: Taken | Reserved | Refused
    if queue is not None and state.queues.is_waiting(tenant, limits):
        outcome = await state.queues.wait(tenant, queue, limits, take)
    else:
        outcome = await take()
        if queue is not None and isinstance(outcome, Refused) and not outcome.never:
            outcome = await state.queues.wait(tenant, queue, limits, take, outcome)
    record.waited_s += room.clock.now() - began_s
    if isinstance(outcome, Refused):
        if outcome.resource == "Requests":
            record.standing = outcome.standing
        elif outcome.resource.endswith("Tokens"):
            record.tokens = outcome.standing
        record.refused = outcome
        raise refuse_over_limit(state.find_rule(outcome), outcome, room.clock.unix())
    if isinstance(outcome, Taken):
        record.standing = outcome.standing
    else:
        assert bound is not None, "what is reserved was bounded"
        record.standing, record.tokens = outcome.requests, outcome.tokens
        record.reservation = Reservation(outcome.hold, bound, size, said)
    return question


async def _take(
    room: Room, limits: tuple[TenantLimit, ...], tenant: Tenant, bound: Bound | None
) -> Taken | Reserved | Refused:
    """Once, the store included. Raises GatewayError when it is away, or recovering for too long."""
    desk = room.state.desk
    give_up_s = room.clock.now() + _ASKING_S
    while True:
        now_s = room.clock.now()
        outcome = charge(limits, tenant, bound, now_s)
        if not isinstance(outcome, Refused) or not outcome.askable or desk is None or now_s >= give_up_s:
            return outcome
        if not await desk.ask(outcome.askable):
            raise refuse_without_store(outcome, is_recovering=not desk.is_away)


def charge(
    limits: tuple[TenantLimit, ...], tenant: Tenant, bound: Bound | None, now_s: float
) -> Taken | Reserved | Refused:
    """bound: None where all limits are of requests."""
    if bound is None:
        return take_all(limits, now_s)
    return reserve(limits, bound, now_s, allow_unpriced=tenant.allow_unpriced, one_over=tenant.one_over)
