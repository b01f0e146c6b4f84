"""The pod's HealthReports: what the parent's probes and all workers' requests say of each endpoint, and what
all workers say of each tenant, as one.

`pod` gives it to the config stream, which knows it as a Reporter. Health changes come from the parent's own
LiveState and are passed on to the workers too; circuit changes come from the workers, and what was used.
"""

from collections.abc import AsyncIterator, Callable, Iterable

from msgspec.structs import replace

from gateway_runtime.contract.health import EndpointReport, HealthReport, TenantReport
from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.server.report import Reporter
from gateway_runtime.server.state import LiveState
from gateway_runtime.server.tenant_news import TenantNews
from gateway_runtime.workers.crew import Crew
from gateway_runtime.workers.join import join_reports, join_tenant


class PodReporter(Reporter):
    def __init__(self, state: LiveState, crew: Crew, draw: Callable[[], float]) -> None:
        super().__init__(state, TenantNews(self.describe_tenant, self._take_moved), draw)
        self._crew = crew
        self._moved: set[TenantId] = set()

    async def reports(self) -> AsyncIterator[HealthReport]:
        async for report in super().reports():
            yield replace(report, endpoints=tuple(map(self.join, report.endpoints)))

    def join(self, probed: EndpointReport) -> EndpointReport:
        return join_reports(probed, self._crew.reports_of(probed.endpoint), self._crew.size)

    def note_change(self, endpoint_id: EndpointId) -> None:
        """The parent's state says so: a probe came to another verdict, or the endpoint is new."""
        super().note_change(endpoint_id)
        report = self._state.endpoints[endpoint_id].report()
        if report.health != "Unknown":  # which workers find out by themselves, from the table
            self._crew.tell(HealthReport(sequence=0, full=False, endpoints=(report,)))

    def describe_tenant(self, tenant: Tenant) -> TenantReport:
        """As the operator is told it."""
        return join_tenant(tenant, self._crew.tenant_reports_of(tenant.id), self._state.clock.unix())

    def note_tenants(self, tenants: Iterable[TenantId]) -> None:
        """A worker has told something new of these, or has gone."""
        self._moved.update(tenants)

    def _take_moved(self) -> set[TenantId]:
        moved, self._moved = self._moved, set()
        return moved

    def note_circuit(self, endpoint_id: EndpointId) -> None:
        """A worker says so."""
        super().note_change(endpoint_id)
