"""Which wire a provider of the table speaks.

`server.address` asks once for each way of speaking and keeps the wire. litellm's is imported only where a
provider needs it: it brings 190 MB and seconds of its own.
"""

from typing import assert_never

from gateway_runtime.contract.table import (
    AzureOptions,
    BedrockOptions,
    Endpoint,
    LitellmOptions,
    VertexOptions,
    WireName,
)
from gateway_runtime.providers.wire import Wire
from gateway_runtime.providers.wires.anthropic.wire import AnthropicWire
from gateway_runtime.providers.wires.bedrock.wire import BedrockWire
from gateway_runtime.providers.wires.cohere.wire import CohereWire
from gateway_runtime.providers.wires.google.wire import GoogleWire, VertexWire
from gateway_runtime.providers.wires.ollama.wire import OllamaWire
from gateway_runtime.providers.wires.openai.wire import AzureWire, OpenAIWire


class UnusableWire(Exception):
    """It cannot be spoken here; the message is a sentence that says why and what to do."""


def build_wire(
    name: WireName,
    azure: AzureOptions | None,
    vertex: VertexOptions | None,
    bedrock: BedrockOptions | None,
    litellm: LitellmOptions | None,
    endpoint: Endpoint,
) -> Wire:
    """The options are those of the table; `server.check` saw to it that a wire's own are there. Raises
    UnusableWire.
    """
    match name:
        case "openai":
            return OpenAIWire()
        case "azure":
            return AzureWire(azure or AzureOptions())
        case "anthropic":
            return AnthropicWire()
        case "google":
            return GoogleWire()
        case "vertex":
            assert vertex is not None
            return VertexWire(vertex.project, vertex.location)
        case "bedrock":
            assert bedrock is not None
            return BedrockWire(bedrock.region)
        case "cohere":
            return CohereWire()
        case "ollama":
            return OllamaWire()
        case "litellm":
            from gateway_runtime.providers.wires.litellm.load import LitellmMissing
            from gateway_runtime.providers.wires.litellm.wire import LitellmWire, UnsupportedProvider

            assert litellm is not None
            try:
                return LitellmWire(litellm.provider, endpoint.url)
            except (LitellmMissing, UnsupportedProvider) as error:
                raise UnusableWire(str(error)) from error
        case never:
            assert_never(never)
