"""Those who issue tokens, over HTTP: a question in, the body of a good answer out.

The flows ask through `Issuers.ask`, so that everything which holds for all of them stands here: where a
secret may be sent, how much of an answer is read, which answer is a refusal and which a failure.

    200                           the answer
    429, 5xx, a word of _PASSING  UpstreamFailure: the same question may be answered a little later
    any other 4xx                 TokenRefused, with the issuer's word for it
    anything else                 UpstreamFailure, malformed

The one subtle rule: of what an issuer says, one word of letters gets into a reason, and numbers. A sentence
of its may quote what it was asked, and that is a secret.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlencode

import msgspec

from gateway_runtime.contract.secret import Secret
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.tokens.token import TokenRefused
from gateway_runtime.upstream.exchange import Transport, UpstreamAnswer, UpstreamFailure, UpstreamRequest
from gateway_runtime.upstream.origin import MalformedUrl, Origin, parse_url

T = TypeVar("T")

CONNECT_S: Final = 5.0
"""Half of what an exchange may take. A metadata server that is not there does not refuse, it is silent."""

MAX_BYTES: Final = 64 * 1024
"""Of an answer. Entra's tokens with many groups have some 10 KB."""

NOBODY: Final[AbstractSet[str]] = frozenset()

_WORD: Final = re.compile(r"[A-Za-z_]{3,60}")
_XML_CODE: Final = re.compile(rb"<Code>([A-Za-z]{3,60})</Code>")
_PASSING: Final = frozenset(
    {
        "IDPCommunicationError",
        "InternalFailure",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "internal_failure",
        "server_error",
        "temporarily_unavailable",
    }
)
"""Sent with status 400. AWS: its common errors, and those of AssumeRoleWithWebIdentity. Google and OAuth: RFC
6749, 4.1.2.1, and what google-auth tries again.
"""


class Place(NamedTuple):
    """Where a question goes."""

    name: str
    """Who says so, for people: `AZURE_AUTHORITY_HOST`."""
    url: str
    plain_to: AbstractSet[str] = NOBODY
    """Hosts that are asked over plain HTTP, beside this machine: metadata servers, which are on the node."""


class Issuers:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def post_form(self, place: Place, form: Mapping[str, str], subject: str) -> bytes:
        """See `ask`."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return await self.ask(place, subject, headers, urlencode(form).encode())

    async def ask(
        self, place: Place, subject: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> bytes:
        """The body of the answer. GET without a body, else POST. subject: what is refused if it is refused,
        `the client secret`. Raises TokenRefused, UpstreamFailure.
        """
        origin = check_place(place)
        request = UpstreamRequest(
            "GET" if body is None else "POST",
            place.url,
            {
                "accept": "application/json",  # STS answers in XML otherwise
                "accept-encoding": "identity",
                "user-agent": "headgate",
                **headers,
            },
            body,
            CONNECT_S,
        )
        try:
            answer = await self._transport.send(request, lambda: None)
            try:
                said = await _read(answer)
            finally:
                answer.close()
        except UpstreamFailure as failure:
            reason = f"token endpoint {origin.authority}: {failure.reason}"
            raise UpstreamFailure(failure.outcome, reason) from failure
        if answer.status != 200:
            raise _judge(answer.status, said, subject, origin)
        return said


def check_place(place: Place) -> Origin:
    """Raises TokenRefused for a place to which no secret may go."""
    try:
        origin, _ = parse_url(place.url)
    except MalformedUrl as error:
        raise TokenRefused(f"{place.name} is not a URL: {error}") from error
    if origin.scheme == "https" or origin.host in place.plain_to or _is_this_machine(origin.host):
        return origin
    raise TokenRefused(f"{place.name} does not begin with https://, and secrets are not sent in the clear")


def read_json(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Raises UpstreamFailure. msgspec's words name the member, never its value."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refuse_answer(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse_answer("it is not JSON") from error


def refuse_answer(problem: str) -> UpstreamFailure:
    """problem: a clause."""
    return UpstreamFailure(Outcome.MALFORMED, f"the token endpoint's answer makes no sense: {problem}")


def wrap_secret(kind: type, value: object) -> object:
    """A `dec_hook`: members of type Secret are never there as text, so that no repr shows them."""
    if kind is not Secret or not isinstance(value, str):
        raise TypeError("Expected `str`")
    if not value:
        raise ValueError("Expected text, got none")
    return Secret(value)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _read(answer: UpstreamAnswer) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := await answer.next_chunk():
        size += len(chunk)
        if size > MAX_BYTES:
            raise UpstreamFailure(Outcome.MALFORMED, f"an answer of more than {MAX_BYTES} bytes")
        parts.append(chunk)
    return b"".join(parts)


class _GoogleError(msgspec.Struct):
    """https://cloud.google.com/apis/design/errors"""

    status: str = ""


class _AwsError(msgspec.Struct):
    code: str = msgspec.field(name="Code", default="")


class _Refusal(msgspec.Struct):
    error: str | _GoogleError = ""
    """A word: RFC 6749, 5.2, and Entra."""
    error_codes: list[int] = []
    """Entra's: 7000215 is what its pages call AADSTS7000215."""
    aws: _AwsError | None = msgspec.field(name="Error", default=None)
    code: str | int = ""
    """The Pod Identity Agent's."""


_refusals = msgspec.json.Decoder(_Refusal)


def _judge(status: int, body: bytes, subject: str, origin: Origin) -> Exception:
    words = _find_words(body)
    if status == 429 or status >= 500 or not _PASSING.isdisjoint(words):
        outcome = Outcome.RATE_LIMITED if status == 429 else Outcome.SERVER_ERROR
        return UpstreamFailure(outcome, f"token endpoint {origin.authority}: it answered {status}")
    if status < 400:
        return UpstreamFailure(
            Outcome.MALFORMED, f"token endpoint {origin.authority}: it answered {status}, not 200"
        )
    return TokenRefused(f"{subject} was refused ({' '.join([str(status), *words])})")


def _find_words(body: bytes) -> list[str]:
    if xml := _XML_CODE.search(body):
        return [xml[1].decode()]
    try:
        said = _refusals.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    word = said.error if isinstance(said.error, str) else said.error.status
    candidates = [word, said.aws.code if said.aws else "", str(said.code)]
    found = [candidate for candidate in candidates if _WORD.fullmatch(candidate)]
    return found + [f"AADSTS{code}" for code in said.error_codes[:1]]
