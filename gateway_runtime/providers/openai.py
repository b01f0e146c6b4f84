"""What the gateway itself says in OpenAI's format: its errors and its list of models.

`server` calls it for callers who speak it, and for those of whom nothing is known yet. What providers say
passes through (`answer`, `stream`), or is written by `dialects.openai_chat`.

The subtle rule: nothing in here knows a secret, so that none can get out.
"""

from collections.abc import Iterable

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError

_encoder = msgspec.json.Encoder()


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
