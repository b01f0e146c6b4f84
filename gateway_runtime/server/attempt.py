"""One attempt: a request sent to one endpoint with one credential, its end told to whoever must know.

`journey` calls `make_attempt` for each choice in turn; `relay` brings the answer back. Either the answer went
to the caller (`answered`), or nothing did and the attempt may be repeated elsewhere.
"""

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import Credential, Timeouts
from gateway_runtime.engine.learnt import LearntLimits
from gateway_runtime.engine.plan import Choice
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.providers.wires.bedrock.credentials import UnusableCredential
from gateway_runtime.server.address import address
from gateway_runtime.server.call import Call, Ended, PassedAnswer, Sent
from gateway_runtime.server.endpoint import Attempt
from gateway_runtime.server.patience import Patience
from gateway_runtime.server.relay import Relay
from gateway_runtime.tokens import TokenRefused
from gateway_runtime.upstream.exchange import UpstreamFailure


async def make_attempt(
    call: Call,
    choice: Choice,
    credential: Credential | None,
    state: Attempt,
    learnt: LearntLimits,
    timeouts: Timeouts,
    deadline_s: float,
    sent: Sent | None = None,
    *,
    drop: bool,
) -> Ended:
    """deadline_s: of the whole request, on the loop's clock. sent: it went out already. drop: what the
    provider cannot express is dropped. `state` is ended here, whatever happens.
    """
    began_s = call.clock.now() if sent is None else sent.at_s
    patience = Patience(timeouts, min(began_s + timeouts.total_s, deadline_s), call.keeper)
    relay = Relay(call, choice, credential, state, learnt, patience)
    ended = Ended(Outcome.CANCELLED)
    asked = False
    try:
        with patience:
            addressed = await address(
                call.desk,
                call.question,
                choice,
                credential,
                call.record.request_id,
                timeouts.connect_s,
                rank=call.rank,
                drop=drop,
                upload=call.upload,
            )
            asked = True
            ended = await (relay.run(addressed) if sent is None else relay.go_on(sent, addressed))
    except UpstreamFailure as error:
        ended = Ended(error.outcome, error.reason, answered=relay.begun)
    except TokenRefused as error:
        ended = Ended(Outcome.CREDENTIAL_REFUSED, error.reason)
    except UnusableCredential as error:
        ended = Ended(Outcome.CREDENTIAL_REFUSED, str(error))
    except GatewayError as error:
        ended = _end_unsuitable(call, error)
    except TimeoutError:
        if not patience.expired:
            raise
        ended = Ended(Outcome.TIMEOUT, patience.reason(), answered=relay.begun or relay.sent)
    finally:
        # A caller who does not read says nothing of the endpoint, nor does what never went out to it.
        silent = relay.waits_for_caller or not asked
        state.end(Outcome.CANCELLED if silent else ended.outcome, ended.reason)
        call.metrics.count_attempt(choice.provider.id, ended.outcome)
        relay.close()
    if relay.sent and ended.outcome is Outcome.TIMEOUT:
        call.reply.cut()  # a caller who does not read must not outlive the deadline either
    if relay.begun and ended.outcome is not Outcome.OK:
        await relay.interrupt(ended)
    return ended


def _end_unsuitable(call: Call, error: GatewayError) -> Ended:
    """This provider cannot be asked it; another one may."""
    headers = {"x-should-retry": "false"}
    passed = PassedAnswer(error.code.status, headers, call.question.dialect.build_error(error))
    outcome = Outcome.CALLER_ERROR if error.code is ErrorCode.MALFORMED_BODY else Outcome.UNSUITABLE
    return Ended(outcome, error.message, passed=passed, error=error.code)
