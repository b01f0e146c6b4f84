"""The first pass: LLMProviders and their Secrets to the table's Providers.

A provider depends on nothing but its own manifest and Secrets. One that lists credentials and has none that
can be used is not in the table: every request to it would be refused there. One whose TLS cannot be made out
keeps its last good version: with other authorities or without our certificate it would be another provider.
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.table import (
    CircuitPolicy,
    Credential,
    Endpoint,
    Model,
    Price,
    Provider,
    Timeouts,
    UpstreamLimits,
)
from headgate_operator.api.fields import parse_duration, parse_usd_micros
from headgate_operator.api.manifest import BrokenManifest, Meta, ProviderManifest
from headgate_operator.api.provider import (
    Circuit,
    ModelPrice,
    ProviderLimits,
    ProviderModel,
    ProviderTimeouts,
)
from headgate_operator.api.provider_types import TYPES
from headgate_operator.compile.api_keys import find_unwatched, read_api_key, read_secrets, still_read
from headgate_operator.compile.credentials import find_form
from headgate_operator.compile.findings import Finding, invalid_fields
from headgate_operator.compile.last_good import LastGood
from headgate_operator.compile.memo import ProviderEntry, keep_equal
from headgate_operator.compile.provider_type import (
    build_azure,
    build_bedrock,
    build_endpoints,
    build_litellm,
    build_probe,
    build_vertex,
)
from headgate_operator.compile.resources import Resources, SecretData, SecretId, index_by_id
from headgate_operator.compile.tls import read_tls
from headgate_operator.compile.verdict import EndpointName, Verdict, judge_serving


def compile_providers(
    resources: Resources, before: Mapping[str, ProviderEntry], last_good: LastGood
) -> dict[str, ProviderEntry]:
    entries: dict[str, ProviderEntry] = {}
    for identity, manifest in index_by_id(resources.providers).items():
        old = before.get(identity)
        if old is not None and _is_current(old, manifest, resources.secrets):
            entries[identity] = old
            continue
        if isinstance(manifest, BrokenManifest):
            new = _keep_last_good(manifest, old, last_good)
        else:
            new = _compile_provider(manifest, resources.secrets, old, last_good)
        entries[identity] = new if old is None else _keep_equal_parts(new, old)
    return entries


def _is_current(
    old: ProviderEntry, manifest: ProviderManifest | BrokenManifest, secrets: Mapping[SecretId, SecretData]
) -> bool:
    if old.manifest is not manifest and old.manifest != manifest:
        return False
    if isinstance(manifest, BrokenManifest):
        return old.resource is not None  # without one, a last good version may turn up
    if old.resource is None and manifest.spec.tls is not None:
        return False  # the same
    return still_read(old.secrets, secrets)


def _keep_equal_parts(new: ProviderEntry, old: ProviderEntry) -> ProviderEntry:
    return replace(
        new, resource=keep_equal(new.resource, old.resource), verdict=keep_equal(new.verdict, old.verdict)
    )


def _compile_provider(
    manifest: ProviderManifest,
    secrets: Mapping[SecretId, SecretData],
    old: ProviderEntry | None,
    last_good: LastGood,
) -> ProviderEntry:
    meta, spec = manifest.meta, manifest.spec
    credentials, findings = _read_credentials(manifest, secrets)
    tls = read_tls(spec.tls, meta.namespace, secrets)
    endpoints = build_endpoints(meta.id, spec)
    resource = None
    if tls.findings:
        resource = _find_last_good(meta, old, last_good)
        endpoints = endpoints if resource is None else resource.endpoints
    elif credentials or not spec.credentials:
        resource = Provider(
            id=ProviderId(meta.id),
            uid=meta.uid,
            generation=meta.generation,
            type=spec.type,
            endpoints=endpoints,
            credentials=credentials,
            models=tuple(_build_model(model) for model in spec.models),
            passive_health=spec.health.passive.enabled,
            probe=build_probe(spec),
            circuit=_build_circuit(spec.circuit),
            timeouts=_build_timeouts(spec.timeouts),
            stream_usage=spec.stream_usage,
            tls=tls.tls,
            limits=_build_limits(spec.limits),
            wire=TYPES[spec.type].wire,
            azure=build_azure(spec),
            vertex=build_vertex(spec),
            bedrock=build_bedrock(spec),
            litellm=build_litellm(spec),
        )
    read = read_secrets(manifest, secrets)
    namespaces = spec.allowed_routes.namespaces
    return ProviderEntry(
        manifest=manifest,
        secrets=read,
        resource=resource,
        verdict=Verdict(
            meta=meta,
            findings=findings + tls.findings,
            serving=judge_serving(manifest, resource),
            serving_generation=None if resource is None else resource.generation,
            refs_total=len(spec.credentials) + tls.refs,
            refs_resolved=len(credentials) + tls.resolved,
            unwatched=find_unwatched(read),
            endpoints=_name_endpoints(endpoints),
        ),
        admitted=None if namespaces.from_ == "All" else frozenset(namespaces.names),
        models=tuple(model.name for model in (spec.models if resource is None else resource.models)),
        infers=spec.infer_models,
    )


def _find_last_good(meta: Meta, old: ProviderEntry | None, last_good: LastGood) -> Provider | None:
    if old is not None and old.resource is not None and old.resource.uid == meta.uid:
        return old.resource
    return last_good.provider(meta)


def _keep_last_good(
    manifest: BrokenManifest, old: ProviderEntry | None, last_good: LastGood
) -> ProviderEntry:
    """The entry of a provider whose spec makes no sense: what it was before, if it was anything.

    A table does not hold whom a provider admits. After a restart that is read off the routes which already
    use it: they stay, and nobody new is let in until the spec makes sense again.
    """
    meta = manifest.meta
    admitted: frozenset[str] | None
    if old is not None and old.resource is not None and old.resource.uid == meta.uid:
        resource: Provider | None = old.resource
        admitted = old.admitted
        infers = old.infers
    else:
        infers = False
        resource = last_good.provider(meta)
        admitted = frozenset() if resource is None else last_good.namespaces_using(resource)
    return ProviderEntry(
        manifest=manifest,
        secrets=(),
        resource=resource,
        verdict=Verdict(
            meta=meta,
            findings=invalid_fields(manifest),
            serving=judge_serving(manifest, resource),
            serving_generation=None if resource is None else resource.generation,
            refs_total=0 if resource is None else len(resource.credentials),
            refs_resolved=0 if resource is None else len(resource.credentials),
            endpoints=() if resource is None else _name_endpoints(resource.endpoints),
        ),
        admitted=admitted,
        models=() if resource is None else tuple(model.name for model in resource.models),
        infers=infers,
    )


def _read_credentials(
    manifest: ProviderManifest, secrets: Mapping[SecretId, SecretData]
) -> tuple[tuple[Credential, ...], tuple[Finding, ...]]:
    credentials: list[Credential] = []
    findings: list[Finding] = []
    form = find_form(TYPES[manifest.spec.type].wire)
    for i, credential in enumerate(manifest.spec.credentials):
        field = f"spec.credentials[{i}].secretRef"
        key = read_api_key(credential.secret_ref, manifest.meta.namespace, secrets, field, form)
        if isinstance(key, Finding):
            findings.append(key)
        else:
            credentials.append(Credential(name=credential.name, value=key))
    return tuple(credentials), tuple(findings)


def _name_endpoints(endpoints: tuple[Endpoint, ...]) -> tuple[EndpointName, ...]:
    return tuple(EndpointName(e.id, e.id.rpartition("/")[2], e.url) for e in endpoints)


def _build_model(model: ProviderModel) -> Model:
    price = None if model.price is None else _build_price(model.price)
    return Model(
        name=model.name,
        upstream_name=model.upstream_name or model.name,
        price=price,
        max_output_tokens=model.max_output_tokens,
    )


def _build_price(price: ModelPrice) -> Price:
    """Micro-dollars per million tokens are picodollars per token."""
    return Price(
        input_usd_picos=parse_usd_micros(price.input), output_usd_picos=parse_usd_micros(price.output)
    )


def _build_circuit(circuit: Circuit) -> CircuitPolicy:
    return CircuitPolicy(
        consecutive_failures=circuit.consecutive_failures,
        failure_percent=circuit.failure_percent,
        min_requests=circuit.min_requests,
        window_s=parse_duration(circuit.window),
        open_s=parse_duration(circuit.open_for),
        slow_call_s=parse_duration(circuit.slow_call_duration),
        slow_call_percent=circuit.slow_call_percent,
        max_open_percent=circuit.max_open_percent,
    )


def _build_limits(limits: ProviderLimits) -> UpstreamLimits:
    return UpstreamLimits(
        max_connections=limits.max_connections,
        max_in_flight=limits.max_in_flight,
        max_queue=limits.max_queue,
        queue_s=parse_duration(limits.queue_timeout),
    )


def _build_timeouts(timeouts: ProviderTimeouts) -> Timeouts:
    return Timeouts(
        connect_s=parse_duration(timeouts.connect),
        first_token_s=parse_duration(timeouts.first_token),
        idle_s=parse_duration(timeouts.idle),
        total_s=parse_duration(timeouts.total),
    )
