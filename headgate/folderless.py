"""What `headgate up` serves when it is given no folder: the manifests that the environment's keys stand for.

    OPENAI_API_KEY, ANTHROPIC_API_KEY, ...   an LLMProvider and a ModelRoute for each
    OPENAI_BASE_URL, ANTHROPIC_BASE_URL      their addresses, as the providers' SDKs read them
    none of them                             the same for the built-in fake provider
    always                                   a TenantQuota for callers with these keys and with none

In: the environment. Out: YAML, which `--print` shows and `up` serves; saved in a folder, it does the same
there. `up` and `cli` call it.

The one subtle rule: the text names variables and never holds a key. `environment` finds the Secrets that the
text refers to, as it does for a folder.
"""

import json
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from headgate.environment import USUAL_VARIABLES, find_variable
from headgate_operator.api.fields import BASE_URL, FORMS
from headgate_operator.api.provider_types import ProviderType

MODELS: Final[Mapping[ProviderType, tuple[str, ...]]] = {
    "openai": (
        *("gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "codex-*", "computer-use-*", "ft:*", "text-embedding-*"),
        *("omni-moderation-*", "dall-e-*", "whisper-*", "tts-*"),
    ),
    "anthropic": ("claude-*",),
    "google": ("gemini-*", "models/gemini-*", "gemma-*", "learnlm-*"),
    "meta": ("Llama*", "llama*"),
    "groq": (
        *("llama-*", "meta-llama/*", "openai/gpt-oss-*", "qwen/*", "moonshotai/*", "groq/*"),
        "compound*",
    ),
    "mistral": (
        *("mistral-*", "ministral-*", "magistral-*", "codestral*", "devstral-*", "pixtral-*", "voxtral-*"),
        *("open-mistral-*", "open-mixtral-*"),
    ),
    "deepseek": ("deepseek-*",),
    "xai": ("grok-*",),
    "together": (
        *("meta-llama/*", "openai/gpt-oss-*", "Qwen/*", "deepseek-ai/*", "mistralai/*", "moonshotai/*"),
        *("zai-org/*", "google/gemma-*", "togethercomputer/*"),
    ),
    "fireworks": ("accounts/*",),
    "openrouter": (
        *("openrouter/*", "openai/*", "anthropic/*", "google/*", "meta-llama/*", "mistralai/*", "deepseek/*"),
        *("qwen/*", "x-ai/*", "cohere/*", "moonshotai/*", "z-ai/*", "minimax/*", "nvidia/*", "perplexity/*"),
    ),
    "cohere": ("command-*", "c4ai-*", "embed-*", "rerank-*"),
}
"""How the models of each are called there. Of those that have a pattern alike, the first here gets it."""

_BASE_URLS: Final[Mapping[ProviderType, tuple[str, str]]] = {
    "openai": ("OPENAI_BASE_URL", ""),
    "anthropic": ("ANTHROPIC_BASE_URL", "/v1"),
}
"""The variable, and what the SDK that reads it adds: Anthropic's has the version in its paths."""

FAKE_URL: Final = "http://127.0.0.1:9901/v1"
"""Where `headgate fake-provider` listens."""

_HEAD: Final = """\
# What `headgate up` serves without a folder. To make it yours, save it and serve that:
#   headgate up --print > my-folder/headgate.yaml
#   headgate up my-folder
"""
_FAKE: Final = """\
---
# No key was found: {variables}.
# So this is the built-in fake provider, which answers every model. To start it alone: headgate fake-provider
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {{name: fake}}
spec:
  type: openai-compatible
  baseUrl: {url}
---
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata: {{name: fake}}
spec:
  models: ["*"]
  targets:
    - providerRef: {{name: fake}}
"""
_PROVIDER: Final = """\
---
# The key is that of {variable}. For a cluster:
#   kubectl create secret generic {name} --from-literal=api-key="${variable}"
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec:
  type: {name}
{base_url}  credentials:
    - name: main
      secretRef: {{name: {name}}}
---
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec:
  models: [{models}]
  targets:
    - providerRef: {{name: {name}}}
"""
_QUOTA: Final = """\
---
# Callers need no key, so serve this on 127.0.0.1 alone. SDKs send one all the same: sk-headgate-demo will
# do{too}.
apiVersion: headgate.dev/v1alpha1
kind: TenantQuota
metadata: {{name: anyone}}
spec:
  subjects:
    - {{name: anyone, type: Anonymous}}
    - {{name: demo, type: APIKey, secretRef: {{name: demo-key}}}}
{subjects}---
apiVersion: v1
kind: Secret
metadata: {{name: demo-key}}
stringData: {{api-key: sk-headgate-demo}}
"""
_SUBJECT: Final = "    - {{name: {name}, type: APIKey, secretRef: {{name: {name}}}}}\n"
_TOO: Final = ", and so will what they find in the same variables as this gateway"


class WrongVariable(ValueError):
    """A variable of the environment holds what it cannot; the message names it and the remedy."""


class Folderless(NamedTuple):
    manifests: str
    """YAML."""
    variables: Mapping[str, str]
    """Provider to the variable with its key; empty for the fake provider."""
    ignored: tuple[str, ...]
    """Sentences about variables that were left out."""


def find_providers(environment: Mapping[str, str]) -> dict[ProviderType, str]:
    """Those with a key, in the order of `MODELS`, each with its variable."""
    found = {name: find_variable(USUAL_VARIABLES[name], environment) for name in MODELS}
    return {name: variable for name, variable in found.items() if variable is not None}


def build_manifests(environment: Mapping[str, str], own_port: int, fake_url: str = FAKE_URL) -> Folderless:
    """own_port: where this gateway will listen; the address is not taken for a provider's. fake_url: of the
    fake provider. Raises WrongVariable.
    """
    providers = find_providers(environment)
    ignored: list[str] = []
    parts = [_HEAD]
    taken: set[str] = set()
    for name, variable in providers.items():
        base_url = _find_base_url(name, environment, own_port, ignored)
        models = [pattern for pattern in MODELS[name] if pattern not in taken]
        taken.update(models)
        parts.append(
            _PROVIDER.format(
                name=name,
                variable=variable,
                base_url=f"  baseUrl: {json.dumps(base_url)}\n" if base_url else "",
                models=", ".join(json.dumps(model) for model in models),
            )
        )
    if not providers:
        usual = [USUAL_VARIABLES[name][0] for name in MODELS]
        half = len(usual) // 2
        variables = f"{', '.join(usual[:half])},\n#   {', '.join(usual[half:])}"
        parts.append(_FAKE.format(url=fake_url, variables=variables))
    subjects = "".join(_SUBJECT.format(name=name) for name in providers)
    parts.append(_QUOTA.format(subjects=subjects, too=_TOO if providers else ""))
    return Folderless("".join(parts), {str(n): v for n, v in providers.items()}, tuple(ignored))


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _find_base_url(
    name: ProviderType, environment: Mapping[str, str], own_port: int, ignored: list[str]
) -> str | None:
    variable, suffix = _BASE_URLS.get(name, ("", ""))
    url = environment.get(variable, "").rstrip("/")
    if not url:
        return None
    if not re.search(BASE_URL, url):
        # Not repeated: it may have a password in it.
        raise WrongVariable(f"{variable} must be {FORMS[BASE_URL].words}: correct or unset it")
    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") and parts.port == own_port:
        ignored.append(f"{variable} is left out: it is this gateway's own address, meant for its callers")
        return None
    return url if url.endswith(suffix) else url + suffix
