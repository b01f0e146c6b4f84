"""A situation: manifests and Secrets as YAML, perhaps edited in steps, and what becomes of it.

A document is a manifest of ours, a Secret, what the cluster says of its service accounts, or a step:

    cluster: {issuer: ..., keys: ...}    or {problem: ...}; without such a document there is no cluster

    step: edit | restart        what follows is applied over what came before, and compiled again;
    remove: [Secret/ns/name]    after a restart only the published table is known

Uids, generations and creation times are filled in where a manifest has none. Every gateway of the situation
(gw-0 and gw-1) runs the table and reports each endpoint of it as healthy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from gateway_runtime.contract.health import EndpointReport
from gateway_runtime.contract.ids import EndpointId, GatewayId, ProviderId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import Resource, RoutingTable, resource_key
from headgate_operator.api.kinds import API_VERSION, KINDS
from headgate_operator.api.manifest import parse_manifest
from headgate_operator.compile import Compiled, compile_resources
from headgate_operator.compile.resources import Cluster, Resources, SecretData, SecretId, UnknownCluster
from headgate_operator.rollup import GatewayView, Published, judge_provider, roll_up

SALT = Secret("the salt of the tests")
NOW = "2026-03-01T12:00:00Z"
NOW_S = 1_000.0


class StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that gives a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice", node.start_mark)
        return mapping


@dataclass
class State:
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    cluster: Cluster | UnknownCluster | None = None

    def apply(self, document: dict[str, Any]) -> None:
        metadata = document["metadata"]
        self.objects[f"{document['kind']}/{metadata['namespace']}/{metadata['name']}"] = document

    def build_resources(self) -> Resources:
        by_kind: dict[str, list[Any]] = {name: [] for name in KINDS}
        secrets: dict[SecretId, SecretData] = {}
        for key, document in self.objects.items():
            if document["kind"] == "Secret":
                metadata = document["metadata"]
                secrets[SecretId(metadata["namespace"], metadata["name"])] = SecretData(
                    {name: Secret(value) for name, value in document["stringData"].items()},
                    watched=metadata.get("labels") == {"headgate.dev/watched": "true"},
                )
            else:
                by_kind[document["kind"]].append(parse_manifest(_complete(key, document)))
        return Resources(
            providers=tuple(by_kind["LLMProvider"]),
            routes=tuple(by_kind["ModelRoute"]),
            quotas=tuple(by_kind["TenantQuota"]),
            secrets=secrets,
            key_salt=SALT,
            cluster=self.cluster,
        )


def compile_situation(text: str) -> Compiled:
    """Raises for a document that is none of the four."""
    state = State()
    compiled: Compiled | None = None
    restarted = False
    for document in yaml.load_all(text, StrictLoader):
        match document:
            case {"step": "edit" | "restart" as how, **rest} if rest.keys() <= {"remove"}:
                compiled = _compile(state, compiled, restarted=restarted)
                restarted = how == "restart"
                for key in rest.get("remove", ()):
                    del state.objects[key]
            case {"cluster": {"issuer": str(issuer), "keys": str(keys), **more}, **rest} if not (
                rest or more
            ):
                state.cluster = Cluster(issuer, keys)
            case {"cluster": {"problem": str(problem), **more}, **rest} if not (rest or more):
                state.cluster = UnknownCluster(problem)
            case {"apiVersion": "v1", "kind": "Secret", "metadata": _, "stringData": _, **rest} if not rest:
                state.apply(document)
            case {"apiVersion": str(version), "kind": kind, "metadata": _, "spec": _, **rest} if (
                version == API_VERSION and kind in KINDS and not rest
            ):
                state.apply(document)
            case _:
                raise ValueError(f"neither a manifest, a Secret, a cluster nor a step: {document}")
    return _compile(state, compiled, restarted=restarted)


def show_compiled(compiled: Compiled) -> str:
    """The table without the salt, the verdicts, and the statuses, as YAML."""
    installation = compiled.table.installation
    cluster = {"issuer": installation.cluster_issuer, "keys": installation.cluster_keys}
    document = ({"cluster": cluster} if any(cluster.values()) else {}) | {
        "table": {
            kind: [_show_resource(resource) for resource in getattr(compiled.table, kind)]
            for kind in ("providers", "routes", "tenants")
        },
        "verdicts": {
            key: {
                "serving": verdict.serving,
                "servingGeneration": verdict.serving_generation,
                "refs": f"{verdict.refs_resolved}/{verdict.refs_total}",
                "findings": [f"{f.field} | {f.text(verdict.meta)}" for f in verdict.findings],
            }
            for key, verdict in compiled.verdicts.items()
        },
        "statuses": build_statuses(compiled),
    }
    return yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def build_statuses(compiled: Compiled) -> dict[str, dict[str, object]]:
    version = Version(1, 1)
    published = Published(version, {resource_key(r): version for r in compiled.table.resources()})
    views = tuple(_build_view(compiled.table, name, version) for name in ("gw-0", "gw-1"))
    health = {
        ProviderId(verdict.meta.id): judge_provider(verdict, views, NOW_S)
        for verdict in compiled.verdicts.values()
        if verdict.meta.kind == "LLMProvider"
    }
    return {
        key: roll_up(verdict, None, published, views, health, NOW_S, NOW, settled=True)
        for key, verdict in compiled.verdicts.items()
    }


def _compile(state: State, previous: Compiled | None, *, restarted: bool) -> Compiled:
    resources = state.build_resources()
    if previous is not None and restarted:
        return compile_resources(resources, last_good=previous.table)
    return compile_resources(resources, previous)


def _complete(key: str, document: Mapping[str, Any]) -> dict[str, Any]:
    known = {"uid": f"uid of {key}", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**document, "metadata": known | document["metadata"]}


def _build_view(table: RoutingTable, name: str, version: Version) -> GatewayView:
    reports = {endpoint: _report(endpoint) for endpoint in _endpoints(table)}
    return GatewayView(GatewayId(name), True, version, None, reports, NOW_S)


def _endpoints(table: RoutingTable) -> Iterator[EndpointId]:
    for provider in table.providers:
        for endpoint in provider.endpoints:
            yield endpoint.id


def _report(endpoint: EndpointId) -> EndpointReport:
    return EndpointReport(
        endpoint=endpoint,
        health="Healthy",
        circuit="Closed",
        reason="",
        since_s=0.0,
        latency_ms=130.0,
        requests=10,
        failures=0,
    )


def _show_resource(resource: Resource) -> object:
    return msgspec.to_builtins(resource, enc_hook=str)
