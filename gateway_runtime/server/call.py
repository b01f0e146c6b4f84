"""What passes between the rooms of one request: `journey` makes a Call, `attempt` and `relay` end it, in an
Ended each time.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.table import Credential
from gateway_runtime.engine.fair_queue import Rank
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.providers.translation import Question
from gateway_runtime.server.account import Books
from gateway_runtime.server.address import Desk
from gateway_runtime.server.endpoint import Attempt, Clock
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.patience import Timekeeper
from gateway_runtime.server.record import Record
from gateway_runtime.server.reply import Reply
from gateway_runtime.server.upload import Upload
from gateway_runtime.upstream.exchange import Transport, UpstreamAnswer, UpstreamFailure


class Call(NamedTuple):
    """What stays the same over all attempts of a request."""

    question: Question
    record: Record
    reply: Reply
    transport: Transport
    metrics: Metrics
    clock: Clock
    keeper: Timekeeper
    desk: Desk
    books: Books
    rank: Rank
    """Of its tenant, where it has to wait for a provider."""
    upload: Upload | None = None
    """The body, where it is a form."""


class Sent(NamedTuple):
    """A request that went out before there was a Relay for it, and what came back: see `express`."""

    attempt: Attempt
    credential: Credential | None
    at_s: float
    result: UpstreamAnswer | UpstreamFailure


class PassedAnswer(NamedTuple):
    """A provider's refusal, fit to be passed on."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """None: it says nothing that the caller's SDK could read."""


class Ended(NamedTuple):
    """How an attempt ended. `reason` is one clause, empty when all was well."""

    outcome: Outcome
    reason: str = ""
    answered: bool = False
    retry_after_s: float | None = None
    passed: PassedAnswer | None = None
    error: ErrorCode | None = None
    """Whose words `passed` has, when they are ours."""
