"""OpenAI's wire format, what the gateway itself says in it: headers and bodies of its own out.

Callers speak it, and so do providers of the types `openai` and `openai-compatible`, so what one side says
passes through to the other: `request_body`, `answer` and `stream` see to that. Here are the headers towards a
provider, and the errors and the model list that callers get from the gateway. `server` calls it.

The subtle rule: towards a provider nothing of the caller's goes along but the body, towards a caller nothing
of ours that is secret.
"""

from collections.abc import Iterable

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret

_encoder = msgspec.json.Encoder()


def build_headers(credential: Secret | None, request_id: str | None = None) -> dict[str, str]:
    """Headers towards the provider. None of the caller's own is passed on, its key least of all.
    request_id: None for those which are the same in all requests.
    """
    headers = {
        "content-type": "application/json",
        "accept-encoding": "identity",  # answers are read on their way through
        "user-agent": "headgate",
    }
    if request_id is not None:
        headers["x-request-id"] = request_id
    if credential is not None:
        headers["authorization"] = f"Bearer {credential.reveal()}"
    return headers


def build_error(error: GatewayError) -> bytes:
    """The JSON body of an answer that the gateway gives by itself."""
    code = error.code
    about_model = code in (ErrorCode.UNKNOWN_MODEL, ErrorCode.MISSING_MODEL)
    return _encoder.encode(
        {
            "error": {
                "message": error.message,
                "type": code.value.type,
                "code": code.value.code,
                "param": "model" if about_model else None,
                "headgate": code.id,
            }
        }
    )


def build_error_event(error: GatewayError) -> bytes:
    """The same as a stream event. The official SDKs raise when an event's data has an `error`; no `[DONE]`
    follows, since the answer is not whole.
    """
    return build_event(build_error(error))


def build_event(data: bytes) -> bytes:
    """data: JSON, which may have been a provider's and span lines."""
    lines = data.splitlines() or [b""]
    return b"data: " + b"\ndata: ".join(lines) + b"\n\n"


class _Model(msgspec.Struct):
    id: str
    object: str = "model"
    created: int = 0
    """The SDKs want one; the gateway knows none."""
    owned_by: str = "headgate"


def build_model_list(names: Iterable[str]) -> bytes:
    """The body of `GET /v1/models`."""
    return _encoder.encode({"object": "list", "data": [_Model(name) for name in names]})


def build_model(name: str) -> bytes:
    """The body of `GET /v1/models/{name}`."""
    return _encoder.encode(_Model(name))
