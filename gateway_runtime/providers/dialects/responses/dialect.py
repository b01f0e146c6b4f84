"""OpenAI's Responses API as a dialect: see `providers.dialect`.

Formats: https://platform.openai.com/docs/api-reference/responses. A body of an error is the same as in chat
completions.

The subtle rule: an error in a stream is told twice in its event. The documentation has `code` and `message`
beside the type, and programs read them there; the official SDKs raise at nothing but a member `error`, which
OpenAI itself sends, too.
"""

from typing import Final

import msgspec

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.dialect import Asked, Stamp
from gateway_runtime.providers.dialects.openai_chat import OpenAIChat
from gateway_runtime.providers.dialects.responses import answer
from gateway_runtime.providers.dialects.responses.request import read_request
from gateway_runtime.providers.dialects.responses.stream import ResponseWriter
from gateway_runtime.providers.error import ProviderError, build_openai_error, read_error
from gateway_runtime.providers.request_body import RequestBody


class _Words(msgspec.Struct):
    """Those that the event has at its top level."""

    message: str
    code: str | None = None
    param: str | None = None


class _Error(msgspec.Struct):
    error: _Words


class _RawError(msgspec.Struct):
    error: msgspec.Raw


_words_decoder = msgspec.json.Decoder(_Error)
_error_decoder = msgspec.json.Decoder(_RawError)
_encoder = msgspec.json.Encoder()

_CHAT: Final = OpenAIChat()


class OpenAIResponses:
    name = "OpenAI responses"

    def read_chat(self, body: RequestBody) -> Asked:
        return read_request(body)

    def build_answer(self, answer_: ChatAnswer, asked: Asked, stamp: Stamp) -> bytes:
        return answer.build_answer(answer_, asked.chat, stamp)

    def open_writer(self, asked: Asked, stamp: Stamp) -> ResponseWriter:
        return ResponseWriter(asked.chat, stamp)

    def build_error(self, error: GatewayError) -> bytes:
        return _CHAT.build_error(error)

    def build_error_event(self, error: GatewayError) -> bytes:
        return self.build_last_event(self.build_error(error))

    def build_provider_error(self, error: ProviderError, cause: Cause) -> bytes:
        return _CHAT.build_provider_error(error, cause)

    def build_last_event(self, body: bytes) -> bytes:
        """Its number in the stream is not known here; no client counts on the last."""
        try:
            words = _words_decoder.decode(body).error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = build_openai_error(read_error(body))  # a provider's own shape
            words = _words_decoder.decode(body).error
        event = {
            "type": "error",
            "code": words.code,
            "message": words.message,
            "param": words.param,
            "sequence_number": 0,
            "error": _error_decoder.decode(body).error,
        }
        return b"event: error\ndata: %b\n\n" % _encoder.encode(event)
