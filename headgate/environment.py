"""Provider keys from the environment, for running without a cluster: a Secret that a provider names and the
folder lacks is taken from the variable that people have set already.

    type openai                     OPENAI_API_KEY
    type google                     GOOGLE_API_KEY, or GEMINI_API_KEY
    any provider called `my-groq`   MY_GROQ_API_KEY, which comes first
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.manifest import Manifest
from headgate_operator.api.provider import LLMProviderSpec
from headgate_operator.api.provider_types import ProviderType
from headgate_operator.compile.resources import SecretData, SecretId

USUAL_VARIABLES: Final[Mapping[ProviderType, tuple[str, ...]]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "meta": ("META_API_KEY", "LLAMA_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "together": ("TOGETHER_API_KEY",),
    "fireworks": ("FIREWORKS_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "azure": ("AZURE_OPENAI_API_KEY",),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
}
"""By provider type, those that the providers' own SDKs read; the first that is set counts."""

_ENTRA_VARIABLE: Final = "AZURE_CLIENT_SECRET"


def variables_of(provider: Manifest[LLMProviderSpec]) -> Iterator[str]:
    """The variables that may hold the provider's key, the most particular first."""
    yield provider.meta.name.upper().replace("-", "_").replace(".", "_") + "_API_KEY"
    if provider.spec.azure is not None and provider.spec.azure.tenant_id is not None:
        yield _ENTRA_VARIABLE  # never the resource's key: it would be sent to Entra
    else:
        yield from USUAL_VARIABLES.get(provider.spec.type, ())


def find_variable(names: Iterable[str], environment: Mapping[str, str]) -> str | None:
    """The first that is set, and not to nothing."""
    return next((name for name in names if environment.get(name)), None)


def find_secrets(
    providers: Iterable[Manifest[LLMProviderSpec]],
    present: Mapping[SecretId, SecretData],
    environment: Mapping[str, str],
) -> dict[SecretId, SecretData]:
    """`present`, and what the environment adds. A Secret of the folder is never replaced or extended."""
    found = dict(present)
    for provider in providers:
        variable = find_variable(variables_of(provider), environment)
        for credential in provider.spec.credentials:
            wanted = SecretId(provider.meta.namespace, credential.secret_ref.name)
            if variable is not None and wanted not in found:
                value = Secret(environment[variable])
                found[wanted] = SecretData(values={credential.secret_ref.key: value}, watched=True)
    return found
