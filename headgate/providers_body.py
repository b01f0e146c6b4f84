"""What somebody posts to `/v1/providers`, as the manifests that it stands for. Pure.

    {"name": "groq", "apiKey": "gsk-…"}                  -> LLMProvider, Secret
    {"base_url": "https://api.new.example", "api_key": "…", "model_names": ["m"]}
                                                         -> LLMProvider, Secret, ModelRoute

Any field of an LLMProvider's spec may be given, in camelCase or snake_case; beside them `name`, `apiKey`,
`model_names` and `route`. What the body leaves out is found where it can mean one thing only.
`providers_folder` writes the manifests into files, `providers_cluster` creates the objects; whether the spec
makes sense is judged there, by whoever judges it always.

The one subtle rule: `model_names` is the older form's promise that requests for these models go there, so it
brings a ModelRoute along, as `"route": true` does. `models` only says what the provider has.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret
from headgate_operator.api.kinds import API_VERSION
from headgate_operator.api.provider_types import TYPES

CREATED_WITH: Final = "headgate.dev/created-with"
"""Annotation of what was made together with a provider, and goes with it: the provider's name."""
WATCHED: Final = "headgate.dev/watched"

_VERSIONED: Final = ("openai-compatible", "vllm")
"""Servers of OpenAI's API at somebody's own address, where it is below `/v1`."""
_HOSTS: Final = {
    urlsplit(facts.url).hostname: name for name, facts in TYPES.items() if facts.url and "{" not in facts.url
}
_SERVICE_LABELS: Final = ("api.", "www.")


@dataclass(frozen=True, slots=True)
class Wanted:
    name: str
    spec: Mapping[str, Any]
    key: Secret | None
    models: tuple[str, ...] | None
    """Of the ModelRoute; None for no route."""

    @property
    def secret_name(self) -> str:
        return f"{self.name}-credential"

    def build_provider(self, namespace: str) -> dict[str, Any]:
        metadata = {"name": self.name, "namespace": namespace}
        return {
            "apiVersion": API_VERSION,
            "kind": "LLMProvider",
            "metadata": metadata,
            "spec": dict(self.spec),
        }

    def build_secret(self, namespace: str) -> dict[str, Any] | None:
        """With the key in it."""
        if self.key is None:
            return None
        metadata = self._build_metadata(self.secret_name, namespace) | {"labels": {WATCHED: "true"}}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "stringData": {"api-key": self.key.reveal()},
        }

    def build_route(self, namespace: str) -> dict[str, Any] | None:
        if self.models is None:
            return None
        return {
            "apiVersion": API_VERSION,
            "kind": "ModelRoute",
            "metadata": self._build_metadata(self.name, namespace),
            "spec": {"models": list(self.models), "targets": [{"providerRef": {"name": self.name}}]},
        }

    def _build_metadata(self, name: str, namespace: str) -> dict[str, Any]:
        return {"name": name, "namespace": namespace, "annotations": {CREATED_WITH: self.name}}


def read_wanted(body: Mapping[str, object]) -> Wanted:
    """Raises GatewayError for what cannot be made a manifest of. No message repeats a value."""
    fields = _join_spellings(body)
    key = _take_key(fields)
    name = fields.pop("name", None)
    models, promised = _take_models(fields)
    route = fields.pop("route", promised)
    if not isinstance(route, bool):
        raise _refuse("route: must be true or false")
    if route and not models:
        raise _refuse("route: needs models: name those that callers may ask for")
    _complete_type(fields, name)
    if name is None:
        name = _find_name(fields)
    if not isinstance(name, str):
        raise _refuse("name: must be text")
    if key is not None:
        if "credentials" in fields:
            raise _refuse("apiKey and credentials are both given: keep one of them")
        fields["credentials"] = [{"name": "main", "secretRef": {"name": f"{name}-credential"}}]
    kind = {"type": fields.pop("type")} if "type" in fields else {}  # first, as people write it
    return Wanted(name, kind | fields, key, tuple(models) if route else None)


def _join_spellings(body: Mapping[str, object]) -> dict[str, Any]:
    """One spelling for each member: the specification's."""
    fields: dict[str, Any] = {}
    for member, value in body.items():
        first, *others = member.split("_")
        field = first + "".join(word.capitalize() for word in others)
        if field in fields:
            raise _refuse(f"{field} is given twice, in two spellings: keep one of them")
        if value is not None:
            fields[field] = value
    return fields


def _take_key(fields: dict[str, Any]) -> Secret | None:
    key = fields.pop("apiKey", None)
    if key is not None and not (isinstance(key, str) and key.strip()):
        raise _refuse("apiKey: must be the provider's API key, as text")
    return None if key is None else Secret(key.strip())


def _take_models(fields: dict[str, Any]) -> tuple[list[str], bool]:
    """The names that callers may ask for, and whether the form promises that they may."""
    promised = "modelNames" in fields
    if promised and "models" in fields:
        raise _refuse("models and model_names are both given: keep one of them")
    models = fields.pop("modelNames") if promised else fields.get("models")
    if models is None:
        return [], False
    if not isinstance(models, list):
        raise _refuse("models: must be a list of names, or of objects with a name")
    fields["models"] = [{"name": model} if isinstance(model, str) else model for model in models]
    return list(_find_names(models)), promised


def _find_names(models: list[Any]) -> Iterator[str]:
    for model in models:
        name = model.get("name") if isinstance(model, Mapping) else model
        if isinstance(name, str):
            yield name


def _complete_type(fields: dict[str, Any], name: object) -> None:
    """A type that was not said follows from whose host the URL has; without a URL, from the name."""
    url = _split(fields.get("baseUrl"))
    if "type" not in fields:
        if url is not None:
            fields["type"] = _HOSTS.get(url.hostname, "openai-compatible")
        elif name in TYPES:
            fields["type"] = name
        else:
            return
    if url is None or url.path or url.query or url.fragment:
        return
    if _HOSTS.get(url.hostname) == fields["type"]:
        del fields["baseUrl"]  # only the host: the usual address of the type says the rest
    elif fields["type"] in _VERSIONED:
        fields["baseUrl"] += "/v1"


def _find_name(fields: Mapping[str, Any]) -> str:
    """After whom it is: `newprovider` for https://api.newprovider.com."""
    url = _split(fields.get("baseUrl"))
    if url is not None and url.hostname:
        host = url.hostname
        for label in _SERVICE_LABELS:
            host = host.removeprefix(label)
        labels = host.split(".")
        is_address = labels[-1].isdigit() or ":" in host
        kept = labels if is_address or len(labels) == 1 else labels[:-1]
        return "-".join(kept).replace(":", "-").strip("-")
    if isinstance(fields.get("type"), str):
        return str(fields["type"])
    raise _refuse("name: is required: write what the provider is to be called, such as groq")


def _split(url: object) -> SplitResult | None:
    """None for what is no URL of a host."""
    try:
        split = urlsplit(url) if isinstance(url, str) else None
    except ValueError:  # an IPv6 address without its end
        return None
    return split if split is not None and split.scheme in ("http", "https") else None


def _refuse(problem: str) -> GatewayError:
    return GatewayError(
        ErrorCode.INVALID_PROVIDER,
        f"The body is no provider: {problem}. It has the fields of an LLMProvider's spec, and beside them "
        "name, apiKey and route.",
    )
