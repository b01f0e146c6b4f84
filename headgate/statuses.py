"""The objects of a folder with their `.status`, as a cluster would show them.

In: what `standalone` made of the folder and what the gateway says of itself. Out: raw objects for `/status`.
The statuses come from `rollup.roll_up`, the same function that writes them in a cluster; here there is one
gateway, this process.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway_runtime.contract.health import EndpointReport, TenantReport
from gateway_runtime.contract.ids import EndpointId, GatewayId, ProviderId
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import resource_key
from headgate.standalone import Reload
from headgate_operator.api.kinds import API_VERSION
from headgate_operator.compile import Compiled
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup import (
    GatewayView,
    HeardTenant,
    ProviderHealth,
    Published,
    judge_provider,
    roll_up,
    same_status,
)

Status = Mapping[str, object]


class Statuses:
    """Keeps what was said before, so that transition times mean what they mean in a cluster."""

    def __init__(self, gateway: GatewayId, created: str) -> None:
        self._gateway = gateway
        self._created = created
        self._said: dict[str, Status] = {}
        self._since: dict[str, tuple[object, Version]] = {}

    def note_applied(self, compiled: Compiled, version: Version) -> None:
        """The gateway runs `compiled` as `version`: every entry that changed has been served since then."""
        since: dict[str, tuple[object, Version]] = {}
        for resource in compiled.table.resources():
            key = resource_key(resource)
            before = self._since.get(key)
            since[key] = before if before is not None and before[0] is resource else (resource, version)
        self._since = since

    def build_objects(
        self,
        reload: Reload,
        applied: Version,
        reports: Mapping[EndpointId, EndpointReport],
        tenants: Iterable[TenantReport],
        now_s: float,
    ) -> list[dict[str, Any]]:
        """`now_s`: Unix time. The objects come in the order of kinds, then namespace and name."""
        view = GatewayView(
            gateway=self._gateway,
            connected=True,
            applied=applied,
            refused=None,
            reports=reports,
            reported_at_s=now_s,
            tenants={report.tenant: HeardTenant(report, now_s) for report in tenants},
        )
        published = Published(
            version=applied, since={key: version for key, (_, version) in self._since.items()}
        )
        verdicts = reload.compiled.verdicts
        health: dict[ProviderId, ProviderHealth] = {
            ProviderId(v.meta.id): judge_provider(v, (view,), now_s)
            for v in verdicts.values()
            if v.meta.kind == "LLMProvider"
        }
        raws = {item.id: item.raw for item in reload.reading.objects}
        objects: list[dict[str, Any]] = []
        for key in sorted(verdicts):
            verdict = verdicts[key]
            meta = verdict.meta
            status = self._roll_up(key, verdict, published, view, health, now_s)
            raw = raws[(meta.kind, meta.namespace, meta.name)]
            metadata = {
                **raw["metadata"],
                "namespace": meta.namespace,
                "generation": meta.generation,
                "creationTimestamp": self._created,
            }
            objects.append(
                {
                    "apiVersion": API_VERSION,
                    "kind": meta.kind,
                    "metadata": metadata,
                    "spec": raw.get("spec"),
                    "status": status,
                }
            )
        return objects

    def _roll_up(
        self,
        key: str,
        verdict: Verdict,
        published: Published,
        view: GatewayView,
        health: Mapping[ProviderId, ProviderHealth],
        now_s: float,
    ) -> Status:
        before = self._said.get(key)
        observed_at = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status: Status = roll_up(
            verdict, before, published, (view,), health, now_s, observed_at, settled=True
        )
        if before is None or not same_status(before, status):
            self._said[key] = status
        return status
