"""What follows from a provider's type: its endpoints, its probe, and the options of what it speaks.

In: the spec. Out: parts of the table's Provider. The providers pass calls it. The table tells what a type is
(`api.provider_types`); here is what depends on more than the type: a region, a version, a path of one's own.

The one subtle rule: a spec that comes here has kept `api.provider_rules`, so what a type needs is there.
"""

from typing import Final

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import (
    ActiveProbe,
    AzureOptions,
    BedrockOptions,
    Endpoint,
    LitellmOptions,
    VertexOptions,
)
from headgate_operator.api.fields import parse_duration
from headgate_operator.api.provider import LLMProviderSpec
from headgate_operator.api.provider_types import TYPES, VERTEX_HOSTS

_DEFAULT_ENDPOINT: Final = "default"


def build_endpoints(provider: str, spec: LLMProviderSpec) -> tuple[Endpoint, ...]:
    """`provider`: its `<namespace>/<name>`."""
    named = [(endpoint.name, endpoint.url) for endpoint in spec.endpoints]
    if not named:
        named = [(_DEFAULT_ENDPOINT, spec.base_url or _find_usual_url(spec))]
    return tuple(Endpoint(id=EndpointId(f"{provider}/{name}"), url=url.rstrip("/")) for name, url in named)


def build_probe(spec: LLMProviderSpec) -> ActiveProbe | None:
    active = spec.health.active
    if not active.enabled:
        return None
    return ActiveProbe(
        path=active.path or _find_usual_probe(spec),
        interval_s=parse_duration(active.interval),
        timeout_s=parse_duration(active.timeout),
        unhealthy_after=active.unhealthy_after,
        healthy_after=active.healthy_after,
        authorized=TYPES[spec.type].probe_authorized,
    )


def build_azure(spec: LLMProviderSpec) -> AzureOptions | None:
    if spec.type != "azure":
        return None
    if spec.azure is None:
        return AzureOptions()
    return AzureOptions(
        api_version=spec.azure.api_version,
        tenant=spec.azure.tenant_id,
        client=spec.azure.client_id,
        workload=spec.azure.workload_identity,
    )


def build_vertex(spec: LLMProviderSpec) -> VertexOptions | None:
    if spec.vertex is None:
        return None
    return VertexOptions(
        project=spec.vertex.project,
        location=spec.vertex.location,
        workload=spec.vertex.workload_identity,
    )


def build_bedrock(spec: LLMProviderSpec) -> BedrockOptions | None:
    if spec.bedrock is None:
        return None
    return BedrockOptions(region=spec.bedrock.region, workload=spec.bedrock.workload_identity)


def build_litellm(spec: LLMProviderSpec) -> LitellmOptions | None:
    return None if spec.litellm is None else LitellmOptions(provider=spec.litellm.provider)


def _find_usual_url(spec: LLMProviderSpec) -> str:
    url = TYPES[spec.type].url
    assert url is not None  # the types without one need an address
    if spec.vertex is not None:
        location = spec.vertex.location
        return VERTEX_HOSTS.get(location) or url.format(location=location)
    if spec.bedrock is not None:
        return url.format(region=spec.bedrock.region)
    return url


def _find_usual_probe(spec: LLMProviderSpec) -> str:
    if spec.azure is not None and spec.azure.api_version is not None:
        return f"/openai/models?api-version={spec.azure.api_version}"
    return TYPES[spec.type].probe
