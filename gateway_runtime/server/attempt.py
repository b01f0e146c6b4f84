"""One attempt: a request sent to one endpoint with one credential, its end told to whoever must know.

`journey` calls `make_attempt` for each choice in turn; `relay` brings the answer back. Either the answer went
to the caller (`answered`), or nothing did and the attempt may be repeated elsewhere.
"""

from gateway_runtime.contract.table import Credential, Timeouts
from gateway_runtime.engine.learnt import LearntLimits
from gateway_runtime.engine.plan import Choice
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.providers import openai
from gateway_runtime.server.endpoint import Attempt
from gateway_runtime.server.patience import Patience
from gateway_runtime.server.relay import Call, Ended, Relay, Sent
from gateway_runtime.upstream.exchange import UpstreamFailure, UpstreamRequest


async def make_attempt(
    call: Call,
    choice: Choice,
    credential: Credential | None,
    state: Attempt,
    learnt: LearntLimits,
    timeouts: Timeouts,
    deadline_s: float,
    sent: Sent | None = None,
) -> Ended:
    """deadline_s: of the whole request, on the loop's clock. sent: it went out already. `state` is ended
    here, whatever happens.
    """
    request = UpstreamRequest(
        "POST",
        choice.endpoint.url + call.path,
        openai.build_headers(None if credential is None else credential.value, call.record.request_id),
        call.body.build(choice.model, ask_usage=choice.provider.stream_usage),
        timeouts.connect_s,
    )
    began_s = call.clock.now() if sent is None else sent.at_s
    patience = Patience(timeouts, min(began_s + timeouts.total_s, deadline_s), call.keeper)
    relay = Relay(call, choice, credential, state, learnt, patience)
    ended = Ended(Outcome.CANCELLED)
    try:
        with patience:
            ended = await (relay.run(request) if sent is None else relay.go_on(sent, request))
    except UpstreamFailure as error:
        ended = Ended(error.outcome, error.reason, answered=relay.begun)
    except TimeoutError:
        if not patience.expired:
            raise
        ended = Ended(Outcome.TIMEOUT, patience.reason(), answered=relay.begun or relay.sent)
    finally:
        # A caller who does not read says nothing of the endpoint.
        state.end(Outcome.CANCELLED if relay.waits_for_caller else ended.outcome, ended.reason)
        call.metrics.count_attempt(choice.provider.id, ended.outcome)
        relay.close()
    if relay.sent and ended.outcome is Outcome.TIMEOUT:
        call.reply.cut()  # a caller who does not read must not outlive the deadline either
    if relay.begun and ended.outcome is not Outcome.OK:
        await relay.interrupt(ended)
    return ended
