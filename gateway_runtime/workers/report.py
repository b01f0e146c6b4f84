"""The pod's HealthReports: what the parent's probes and all workers' requests say of each endpoint, as one.

`pod` gives it to the config stream, which knows it as a Reporter. Health changes come from the parent's own
LiveState and are passed on to the workers too; circuit changes come from the workers.
"""

from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from gateway_runtime.contract.health import EndpointReport, HealthReport
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.server.report import Reporter
from gateway_runtime.server.state import LiveState
from gateway_runtime.workers.crew import Crew
from gateway_runtime.workers.join import join_reports


class PodReporter(Reporter):
    def __init__(self, state: LiveState, crew: Crew, draw: Callable[[], float]) -> None:
        super().__init__(state, draw)
        self._crew = crew

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

    def note_circuit(self, endpoint_id: EndpointId) -> None:
        """A worker says so."""
        super().note_change(endpoint_id)
