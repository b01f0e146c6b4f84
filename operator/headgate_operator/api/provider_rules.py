"""The rules of an LLMProvider across its fields: which of them go with which type.

`provider.LLMProviderSpec` has them. The first that is broken is told in Python, all of them by the API
server; so what others follow from comes first. Lists of types come from `provider_types`, on both sides.

The one subtle rule is about `workloadIdentity`: whoever may write an LLMProvider decides where the gateways'
own token goes, so it goes to the cloud's own hosts and nowhere else.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from headgate_operator.api.model import Rule
from headgate_operator.api.provider_types import OWN_HOSTS, find_types

_KEYLESS: Final = ("azure", "vertex", "bedrock")
"""A workload identity may stand for the key."""


def _enumerate(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _cel_urls(condition: str) -> str:
    """`condition`: of one URL, with `{url}` in its place. The spec has nothing but good ones."""
    of_base, of_endpoint = condition.format(url="self.baseUrl"), condition.format(url="e.url")
    return f"((!has(self.baseUrl) || {of_base}) && self.endpoints.all(e, {of_endpoint}))"


def _cel_has_type(kinds: tuple[str, ...]) -> str:
    if len(kinds) == 1:
        return f"self.type == '{kinds[0]}'"
    return "self.type in [" + ", ".join(f"'{kind}'" for kind in kinds) + "]"


def _go_together(kind: str, fields: str) -> Rule:
    return Rule(
        f"(self.type == '{kind}') == has(self.{kind})",
        f"type {kind} needs the object {kind} with {fields}, which no other type has: add it, or remove it",
        lambda s: (s.type == kind) == (getattr(s, kind) is not None),
    )


def _need_address(kinds: tuple[str, ...], what: str, example: str) -> Rule:
    subject = f"type {kinds[0]} needs" if len(kinds) == 1 else f"types {_enumerate(kinds)} need"
    return Rule(
        f"!({_cel_has_type(kinds)}) || has(self.baseUrl) || size(self.endpoints) > 0",
        f"{subject} {what}: set baseUrl, such as {example}, or endpoints",
        lambda s: s.type not in kinds or bool(s.urls),
    )


def _need_key(kinds: tuple[str, ...], remedy: str) -> Rule:
    return Rule(
        f"!({_cel_has_type(kinds)}) || size(self.credentials) > 0",
        f"types {_enumerate(kinds)} need an API key: add credentials with a secretRef{remedy}",
        lambda s: s.type not in kinds or bool(s.credentials),
    )


def _need_credential(kind: str, what: str) -> Rule:
    return Rule(
        f"self.type != '{kind}' || size(self.credentials) > 0 || "
        f"(has(self.{kind}) && self.{kind}.workloadIdentity)",
        f"type {kind} needs a credential: add credentials with a secretRef to {what}, or set "
        f"{kind}.workloadIdentity to true",
        lambda s: s.type != kind or bool(s.credentials) or _has_identity(s, kind),
    )


def _stay_at_home(kind: str, example: str) -> Rule:
    pattern = f"^https://[-.a-z0-9]+{OWN_HOSTS[kind]}(/.*)?$"
    at_home = _cel_urls(f"{{url}}.matches('{pattern}')")
    return Rule(
        f"!has(self.{kind}) || !self.{kind}.workloadIdentity || {at_home}",
        f"with {kind}.workloadIdentity, baseUrl and the endpoints' url must be the cloud's own, such as "
        f"{example}: the gateways' token is sent nowhere else. Correct the URL, or use credentials",
        lambda s: not _has_identity(s, kind) or all(re.search(pattern, url) for url in s.urls),
    )


def _has_identity(spec: Any, kind: str) -> bool:
    options = getattr(spec, kind)
    return options is not None and options.workload_identity


_PLAIN_KEY: Final = find_types(lambda facts: facts.needs_key and facts.wire == "openai")
_OTHER_KEY: Final = tuple(
    name
    for name in find_types(lambda facts: facts.needs_key and facts.wire != "openai")
    if name not in _KEYLESS
)
_SELF_HOSTED: Final = find_types(lambda facts: facts.url is None and facts.wire == "openai")
_TELLS_USAGE: Final = find_types(lambda facts: facts.wire not in ("openai", "azure"))

PROVIDER_RULES: Final = (
    Rule(
        "!(has(self.baseUrl) && size(self.endpoints) > 0)",
        "baseUrl and endpoints exclude each other: keep baseUrl for one address, endpoints for several",
        lambda s: not (s.base_url is not None and s.endpoints),
    ),
    _go_together("vertex", "project and location"),
    _go_together("bedrock", "region"),
    _go_together("litellm", "provider"),
    Rule(
        "!has(self.azure) || self.type == 'azure'",
        "azure goes with type azure alone: set type to azure, or remove azure",
        lambda s: s.azure is None or s.type == "azure",
    ),
    _need_address(_SELF_HOSTED, "an address", "http://vllm:8000/v1"),
    _need_address(("azure",), "its resource's address", "https://my-resource.openai.azure.com"),
    _need_address(("ollama",), "an address", "http://ollama:11434/api"),
    _need_address(("litellm",), "the address of the provider's API", "https://api.perplexity.ai"),
    Rule(
        "self.type != 'ollama' || " + _cel_urls("({url}.endsWith('/api') || {url}.endsWith('/api/'))"),
        "the address of type ollama ends with /api, such as http://ollama:11434/api: correct baseUrl or the "
        "endpoint's url; for Ollama's /v1 use type openai-compatible",
        lambda s: s.type != "ollama" or all(url.endswith(("/api", "/api/")) for url in s.urls),
    ),
    Rule(
        "self.type != 'azure' || " + _cel_urls("!({url}.contains('/openai/') || {url}.endsWith('/openai'))"),
        "the address of type azure ends before /openai, such as https://my-resource.openai.azure.com: the "
        "gateways add the rest. Cut it off baseUrl or the endpoint's url",
        lambda s: s.type != "azure" or not any("/openai/" in f"{url}/" for url in s.urls),
    ),
    Rule(
        " && ".join(f"(!has(self.{kind}) || !self.{kind}.workloadIdentity)" for kind in _KEYLESS)
        + " || size(self.credentials) == 0",
        "workloadIdentity and credentials exclude each other: keep credentials for keys in Secrets, "
        "workloadIdentity for the gateways' own identity",
        lambda s: not s.credentials or not any(_has_identity(s, kind) for kind in _KEYLESS),
    ),
    _stay_at_home("azure", "https://my-resource.openai.azure.com"),
    _stay_at_home("vertex", "https://aiplatform.googleapis.com/v1"),
    _stay_at_home("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com"),
    _need_key(_PLAIN_KEY, ", or use type openai-compatible for a server without keys"),
    _need_key(_OTHER_KEY, ""),
    _need_credential("vertex", "a service account's key"),
    _need_credential("azure", "the resource's API key"),
    _need_credential("bedrock", "a Bedrock API key or AWS access keys"),
    Rule(
        "!has(self.tls) || " + _cel_urls("{url}.startsWith('https://')"),
        "tls is for https:// URLs, and baseUrl or an endpoint's url begins with http://: "
        "write https:// there, or remove tls",
        lambda s: s.tls is None or all(url.startswith("https://") for url in s.urls),
    ),
    Rule(
        f"self.streamUsage || !({_cel_has_type(_TELLS_USAGE)})",
        f"streamUsage is not for types {_enumerate(_TELLS_USAGE)}, whose streams always tell their usage: "
        "remove it",
        lambda s: s.stream_usage or s.type not in _TELLS_USAGE,
    ),
)
"""Of `spec`, in the order in which Python tells them."""
