"""What goes out to a provider: a caller's question, a choice and a credential in, a request to send out.

`attempt` calls `address` for each attempt. What can be decided is decided by `translation` and the wire; what
has to be fetched first (a token that is minted, an image that a provider cannot fetch) is fetched here.

The one subtle rule: the endpoint's URL comes from the table, and nothing that a caller sent can change the
host, the port or the scheme that a credential goes to.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Credential, Endpoint, Provider
from gateway_runtime.engine.fair_queue import Rank
from gateway_runtime.engine.plan import Choice
from gateway_runtime.media import MediaFetcher
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.models.facts import find_facts
from gateway_runtime.providers.translation import Question, Translation, translate
from gateway_runtime.providers.wire import Outgoing, Target
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.upload import Upload
from gateway_runtime.server.wires import wire_of
from gateway_runtime.tokens import Tokens
from gateway_runtime.upstream.exchange import SentBody, UpstreamRequest

FIXED_HEADERS: Final = {
    "content-type": "application/json",
    "accept-encoding": "identity",  # answers are read on their way through
    "user-agent": "headgate",
}
"""None of the caller's own is passed on, its key least of all."""


class Desk(NamedTuple):
    """What addressing takes beside the request: one for the process."""

    tokens: Tokens
    media: MediaFetcher
    clock: Clock

    async def close(self) -> None:
        await self.media.close()
        await self.tokens.close()


class Addressed(NamedTuple):
    request: UpstreamRequest
    translation: Translation
    secret: Secret | None
    """As it was sent, or what it was signed with: it must not come back to a caller."""


async def address(
    desk: Desk,
    question: Question,
    choice: Choice,
    credential: Credential | None,
    request_id: str,
    connect_s: float,
    *,
    rank: Rank,
    drop: bool,
    upload: Upload | None = None,
) -> Addressed:
    """drop: what the provider cannot express is dropped. upload: the body, where it is a form. Raises
    GatewayError (this provider cannot serve it), TokenRefused and UpstreamFailure (no token).
    """
    provider = choice.provider
    wire = wire_of(provider, choice.endpoint)
    if wire.needs_inline_media and question.operation.kind == "chat":
        question.replace_chat(await desk.media.inline(question.chat().chat))
    secret = await _find_secret(desk, provider, credential)
    unix_s = desk.clock.unix()
    target = find_target(choice, drop=drop)
    stamp = Stamp(request_id, int(unix_s), choice.model)
    translation = translate(
        question, wire, target, stamp, ask_usage=provider.stream_usage, endpoint=choice.endpoint.id
    )
    outgoing = translation.outgoing
    url = choice.endpoint.url + outgoing.path
    headers = {
        **FIXED_HEADERS,
        "x-request-id": request_id,
        **outgoing.headers,
        **wire.authorize(secret, outgoing, url, unix_s),
    }
    operation = question.operation
    body: bytes | SentBody | None = outgoing.body
    if operation.takes == "nothing":
        del headers["content-type"]
        body = None
    elif upload is not None:
        headers["content-type"] = upload.content_type
        body = upload.open(choice.model if operation.names_model else None)
    request = UpstreamRequest(
        operation.method, url, headers, body, connect_s, keeps_head=operation.reads_type, rank=rank
    )
    return Addressed(request, translation, secret)


async def authorize_probe(
    desk: Desk, provider: Provider, endpoint: Endpoint, path: str, credential: Credential | None
) -> Mapping[str, str]:
    """The headers that carry a credential with a GET. path: behind the endpoint's URL. Raises TokenRefused,
    UpstreamFailure.
    """
    secret = await _find_secret(desk, provider, credential)
    wire = wire_of(provider, endpoint)
    return wire.authorize(secret, Outgoing(path, b""), endpoint.url + path, desk.clock.unix())


async def _find_secret(desk: Desk, provider: Provider, credential: Credential | None) -> Secret | None:
    if desk.tokens.needs(provider):
        return desk.tokens.peek(provider, credential) or await desk.tokens.get(provider, credential)
    return None if credential is None else credential.value


def find_target(choice: Choice, *, drop: bool) -> Target:
    most = choice.max_output_tokens or _find_most(choice.provider, choice.model)
    return Target(choice.model, most, drop)


def _find_most(provider: Provider, model: str) -> int | None:
    if provider.wire in ("openai", "azure"):
        return None  # it needs no limit
    name = provider.type if provider.litellm is None else provider.litellm.provider
    facts = find_facts(name, model)
    return None if facts is None else facts.max_output_tokens
