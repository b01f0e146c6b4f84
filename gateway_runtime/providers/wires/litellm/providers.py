"""Which providers litellm's transformers serve purely, each with the base of its API for the manifest.

A provider stands in SUPPORTED when request, answer, stream and headers were run against scripted answers
without a network: the tests do so for every row. Models are called as the provider calls them, with or
without litellm's prefix: `databricks/databricks-llama-4-maverick` or `databricks-llama-4-maverick`.

Not here are those whose API is OpenAI's to the letter and for whom litellm does nothing but hold a URL: type
`openai-compatible` passes their bytes on, and loses nothing.
"""

from types import MappingProxyType
from typing import Final

SUPPORTED: Final = MappingProxyType(
    {
        "ai21_chat": "https://api.ai21.com/studio/v1",
        "baseten": "https://inference.baseten.co/v1",
        "cerebras": "https://api.cerebras.ai/v1",
        "cloudflare": "https://api.cloudflare.com/client/v4/accounts/<account>/ai/v1",
        "codestral": "https://codestral.mistral.ai/v1",
        "dashscope": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "databricks": "https://<workspace>/serving-endpoints",
        "deepinfra": "https://api.deepinfra.com/v1/openai",
        "deepseek": "https://api.deepseek.com",
        "featherless_ai": "https://api.featherless.ai/v1",
        "fireworks_ai": "https://api.fireworks.ai/inference/v1",
        "friendliai": "https://api.friendli.ai/serverless/v1",
        "github": "https://models.github.ai/inference",
        "groq": "https://api.groq.com/openai/v1",
        "heroku": "https://us.inference.heroku.com",
        "huggingface": "https://router.huggingface.co/v1",
        "hyperbolic": "https://api.hyperbolic.xyz/v1",
        "inception": "https://api.inceptionlabs.ai/v1",
        "lambda_ai": "https://api.lambda.ai/v1",
        "meta_llama": "https://api.llama.com/compat/v1",
        "minimax": "https://api.minimax.io/v1",
        "mistral": "https://api.mistral.ai/v1",
        "modelscope": "https://api-inference.modelscope.cn/v1",
        "moonshot": "https://api.moonshot.ai/v1",
        "morph": "https://api.morphllm.com/v1",
        "nebius": "https://api.studio.nebius.ai/v1",
        "novita": "https://api.novita.ai/v3/openai",
        "nscale": "https://inference.api.nscale.com/v1",
        "nvidia_nim": "https://integrate.api.nvidia.com/v1",
        "openrouter": "https://openrouter.ai/api/v1",
        "ovhcloud": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
        "perplexity": "https://api.perplexity.ai",
        "sambanova": "https://api.sambanova.ai/v1",
        "snowflake": "https://<account>.snowflakecomputing.com/api/v2",
        "tencent": "https://tokenhub-intl.tencentcloudmaas.com/v1",
        "together_ai": "https://api.together.ai/v1",
        "v0": "https://api.v0.dev/v1",
        "vercel_ai_gateway": "https://ai-gateway.vercel.sh/v1",
        "volcengine": "https://ark.cn-beijing.volces.com/api/v3",
        "wandb": "https://api.inference.wandb.ai/v1",
        "xai": "https://api.x.ai/v1",
        "zai": "https://api.z.ai/api/paas/v4",
    }
)

UNSUPPORTED: Final = MappingProxyType(
    {
        "anthropic": "use type anthropic",
        "azure": "use type azure",
        "azure_ai": "use type azure or openai-compatible",
        "bedrock": "use type bedrock",
        "cohere": "use type cohere",
        "cohere_chat": "use type cohere",
        "gemini": "use type google",
        "gigachat": "litellm fetches its token over the network while it builds a request",
        "github_copilot": "litellm fetches its token over the network while it builds a request",
        "oci": "each request is signed with a key pair, which a credential has no place for",
        "ollama": "use type ollama",
        "ollama_chat": "use type ollama",
        "openai": "use type openai",
        "predibase": "litellm sends to a host of its own choice",
        "replicate": "an answer has to be polled for",
        "sagemaker": "litellm sends to a host of its own choice",
        "sagemaker_chat": "litellm sends to a host of its own choice",
        "vertex_ai": "use type vertex",
        "watsonx": "litellm fetches its token over the network while it builds a request",
        "watsonx_text": "litellm fetches its token over the network while it builds a request",
    }
)
"""Why not, as a clause."""

KEEPS_REASONING: Final = frozenset({"deepseek", "moonshot", "zai"})
"""They want `reasoning_content` of earlier turns back, at least between tool calls:
https://api-docs.deepseek.com/guides/thinking_mode,
https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model,
https://docs.z.ai/guides/capabilities/thinking-mode. Others refuse members that they do not know.
"""

TAKES_TOP_K: Final = frozenset(
    {
        "fireworks_ai",
        "hyperbolic",
        "novita",
        "openrouter",
        "perplexity",
        "sambanova",
        "together_ai",
    }
)
"""By the documentation of their chat APIs; litellm, which lists OpenAI's parameters alone, does not say."""
