"""Provider keys from the environment, for running without a cluster: a Secret that a provider names and the
folder lacks is taken from the variable that people have set already.

    type openai                     OPENAI_API_KEY
    any provider called `my-groq`   MY_GROQ_API_KEY, which comes first
"""

from collections.abc import Iterable, Iterator, Mapping

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.manifest import Manifest
from headgate_operator.api.provider import LLMProviderSpec
from headgate_operator.compile.resources import SecretData, SecretId

USUAL_VARIABLES: Mapping[str, str] = {"openai": "OPENAI_API_KEY"}
"""By provider type."""


def variables_of(provider: Manifest[LLMProviderSpec]) -> Iterator[str]:
    """The variables that may hold the provider's key, the most particular first."""
    yield provider.meta.name.upper().replace("-", "_").replace(".", "_") + "_API_KEY"
    if provider.spec.type in USUAL_VARIABLES:
        yield USUAL_VARIABLES[provider.spec.type]


def find_secrets(
    providers: Iterable[Manifest[LLMProviderSpec]],
    present: Mapping[SecretId, SecretData],
    environment: Mapping[str, str],
) -> dict[SecretId, SecretData]:
    """`present`, and what the environment adds. A Secret of the folder is never replaced or extended."""
    found = dict(present)
    for provider in providers:
        variable = next((v for v in variables_of(provider) if environment.get(v)), None)
        for credential in provider.spec.credentials:
            wanted = SecretId(provider.meta.namespace, credential.secret_ref.name)
            if variable is not None and wanted not in found:
                value = Secret(environment[variable])
                found[wanted] = SecretData(values={credential.secret_ref.key: value}, watched=True)
    return found
