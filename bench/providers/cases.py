"""The providers that are measured: how each is named, reached and asked, and what it may cost.

Read by all modules here. The models are of a kind that many use; what they are called changes nothing but
the length of a path. Azure and Vertex AI speak what OpenAI and Google do, and are left out.
"""

from typing import Final, NamedTuple

from gateway_runtime.contract.table import BedrockOptions, WireName

REGION: Final = "us-east-1"


class Case(NamedTuple):
    name: str
    wire: WireName
    """And the model that callers ask for, which leads to its route."""
    base: str
    """Of the endpoint's URL, behind the mock's host and port."""
    model: str
    key: str
    request_goal_us: float | None = None
    """The most that a request may cost more than pass-through."""
    chunk_goal_us: float | None = None
    foreign: str | None = None
    """litellm's name for it."""

    @property
    def type(self) -> str:
        return self.wire

    @property
    def bedrock(self) -> BedrockOptions | None:
        return BedrockOptions(region=REGION) if self.wire == "bedrock" else None


ACCESS_KEY_ID: Final = "AKIABENCHBENCHBENCH0"
SECRET_ACCESS_KEY: Final = "bench/secret/bench/secret/bench/secret/0"

OPENAI: Final = Case("OpenAI", "openai", "/v1", "gpt-4o-mini", "sk-upstream-openai")
NATIVE: Final = (
    Case(
        "Anthropic", "anthropic", "/v1", "claude-sonnet-4-5", "sk-ant-api03-upstream", 25.0, 5.0, "anthropic"
    ),
    Case("Gemini", "google", "/v1beta", "gemini-2.5-flash", "upstream-google", 60.0, 8.0, "gemini"),
    Case(
        "Bedrock",
        "bedrock",
        "",
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        # An access key, so that each request is signed.
        f'{{"accessKeyId":"{ACCESS_KEY_ID}","secretAccessKey":"{SECRET_ACCESS_KEY}"}}',
        60.0,
        8.0,
        "bedrock",
    ),
    Case("Cohere", "cohere", "/v2", "command-r-plus-08-2024", "upstream-cohere", 60.0, 8.0, "cohere"),
    Case("Ollama", "ollama", "/api", "llama3.2", "upstream-ollama", foreign="ollama_chat"),
)
THROUGH_LITELLM: Final = Case(
    "Mistral through litellm", "litellm", "/v1", "mistral-small-latest", "upstream-mistral"
)
LITELLM_PROVIDER: Final = "mistral"
