"""The dialect of Anthropic's Messages API: see `providers.dialect.Dialect` for what each method does.

The one subtle rule: callers' programs look at little, and at that closely. The Python SDK drops an event
without an `event:` line, picks the exception by the HTTP status alone, and reads `error.type` for the rest.
So every event has its name, and every error its type.

Format: https://docs.anthropic.com/en/api/messages.
"""

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.dialect import Asked, Stamp
from gateway_runtime.providers.dialects.anthropic import errors
from gateway_runtime.providers.dialects.anthropic.answer import build_message
from gateway_runtime.providers.dialects.anthropic.request import read_count, read_messages
from gateway_runtime.providers.dialects.anthropic.stream import MessageWriter
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.request_body import RequestBody


class AnthropicMessages:
    name = "Anthropic messages"

    def read_chat(self, body: RequestBody) -> Asked:
        return read_messages(body)

    def read_count(self, body: RequestBody) -> Asked:
        """Of `POST /v1/messages/count_tokens`: the same without `max_tokens`."""
        return read_count(body)

    def build_answer(self, answer: ChatAnswer, asked: Asked, stamp: Stamp) -> bytes:
        return build_message(answer, stamp)

    def open_writer(self, asked: Asked, stamp: Stamp) -> MessageWriter:
        return MessageWriter(stamp)

    def build_error(self, error: GatewayError) -> bytes:
        return errors.build_error(error)

    def build_error_event(self, error: GatewayError) -> bytes:
        return errors.build_event(errors.build_error(error))

    def build_provider_error(self, error: ProviderError, cause: Cause) -> bytes:
        return errors.build_provider_error(error, cause)

    def build_last_event(self, body: bytes) -> bytes:
        return errors.build_event(body)
