"""Active probes: a cheap GET per endpoint now and then, and the health that follows from it.

`main` runs the Prober beside the traffic; `reload` wakes it after each table. An endpoint is probed as soon
as it appears, or when its URL, its probe or its provider's credentials or TLS change; its first result
decides at once, later ones only when enough of them agree.

The one subtle rule: a probe asks whether the endpoint can be reached and takes our key, no more. A 404 or a
405 is an answer of a living server whose list of models is somewhere else.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.health import Health
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import ActiveProbe, Credential, Endpoint, Provider
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.providers.wires.bedrock.credentials import UnusableCredential
from gateway_runtime.server.address import FIXED_HEADERS, Desk, authorize_probe
from gateway_runtime.server.state import LiveState
from gateway_runtime.tokens import TokenRefused
from gateway_runtime.upstream.exchange import Transport, UpstreamAnswer, UpstreamFailure, UpstreamRequest
from gateway_runtime.upstream.trust import TlsSettings, settings_of

CONCURRENCY: Final = 32
"""Probes under way at one moment; 2,000 endpoints of a new table must not be dialled all at once."""

MAX_BYTES: Final = 1024 * 1024
"""Of the answer; a longer one costs its connection, nothing else."""


class Probed(NamedTuple):
    good: bool
    definite: bool
    """Whether it decides by itself."""
    reason: str


class Tally:
    """Results in a row -> health."""

    def __init__(self, probe: ActiveProbe) -> None:
        self._probe = probe
        self._first = True
        self._good = 0
        self._bad = 0

    def add(self, probed: Probed) -> Health | None:
        """None: not enough of them agree yet."""
        at_once = self._first or probed.definite
        self._first = False
        if probed.good:
            self._good, self._bad = self._good + 1, 0
            return "Healthy" if at_once or self._good >= self._probe.healthy_after else None
        self._good, self._bad = 0, self._bad + 1
        return "Unhealthy" if at_once or self._bad >= self._probe.unhealthy_after else None


class _Watch(NamedTuple):
    """What makes a probe what it is; another one starts when it changes."""

    endpoint: Endpoint
    probe: ActiveProbe
    credentials: tuple[Credential, ...]
    tls: TlsSettings


class Prober:
    def __init__(self, state: LiveState, transport: Transport, desk: Desk, draw: Callable[[], float]) -> None:
        self._state = state
        self._transport = transport
        self._desk = desk
        self._draw = draw
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(CONCURRENCY)
        self._live: LiveTable | None = None
        self._tasks: dict[EndpointId, tuple[_Watch, asyncio.Task[None]]] = {}

    def watch(self, live: LiveTable) -> None:
        self._live = live
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._tasks.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                self._reconcile(group)
                await self._wake.wait()
                self._wake.clear()

    def _reconcile(self, group: asyncio.TaskGroup) -> None:
        wanted = {}
        if self._live is not None:
            for endpoint_id, (provider, endpoint) in self._live.endpoints().items():
                if provider.probe is not None:
                    tls = settings_of(provider)
                    watch = _Watch(endpoint, provider.probe, provider.credentials, tls)
                    wanted[endpoint_id] = (watch, provider)
        for endpoint_id, (watch, task) in list(self._tasks.items()):
            if endpoint_id not in wanted or wanted[endpoint_id][0] != watch:
                task.cancel()
                del self._tasks[endpoint_id]
        for endpoint_id, (watch, provider) in wanted.items():
            if endpoint_id not in self._tasks:
                task = group.create_task(self._keep_probing(provider, watch), name=f"probe {endpoint_id}")
                self._tasks[endpoint_id] = (watch, task)

    async def _keep_probing(self, provider: Provider, watch: _Watch) -> None:
        tally = Tally(watch.probe)
        while True:
            async with self._places:
                probed = await self._probe(provider, watch)
            health = None if probed is None else tally.add(probed)
            state = self._state.endpoints.get(watch.endpoint.id)
            if state is not None and probed is not None and health is not None:
                state.set_health(health, probed.reason)
            await asyncio.sleep(watch.probe.interval_s * (0.9 + self._draw() * 0.2))

    async def _probe(self, provider: Provider, watch: _Watch) -> Probed | None:
        """None: our own bound on the endpoint is full, which says nothing of its health."""
        refused: list[str] = []
        try:
            async with asyncio.timeout(watch.probe.timeout_s):
                if not watch.probe.authorized:
                    return _judge(await self._ask(provider, watch, {}), refused)
                for credential in watch.credentials or (None,):
                    headers = await authorize_probe(
                        self._desk, provider, watch.endpoint, watch.probe.path, credential
                    )
                    status = await self._ask(provider, watch, headers)
                    if status not in (401, 403):
                        return _judge(status, refused)
                    refused.append(_describe_refusal(credential, status))
        except GatewayError as error:
            return Probed(good=False, definite=True, reason=error.message)
        except UnusableCredential as error:
            return Probed(good=False, definite=True, reason=str(error))
        except TokenRefused as error:
            return Probed(good=False, definite=True, reason=f"no token for the probe: {error.reason}")
        except UpstreamFailure as failure:
            if failure.outcome is Outcome.SATURATED:
                return None
            return Probed(good=False, definite=False, reason=f"probe failed: {failure.reason}")
        except TimeoutError:
            reason = f"probe failed: no answer within {watch.probe.timeout_s:g} s"
            return Probed(good=False, definite=False, reason=reason)
        return Probed(good=False, definite=True, reason=", ".join(refused))

    async def _ask(self, provider: Provider, watch: _Watch, authorization: Mapping[str, str]) -> int:
        request = UpstreamRequest(
            "GET",
            watch.endpoint.url + watch.probe.path,
            {**FIXED_HEADERS, "x-request-id": "probe", **authorization},
            None,
            min(provider.timeouts.connect_s, watch.probe.timeout_s),
            may_queue=False,
        )
        answer = await self._transport.send(request, lambda: None, watch.tls)
        try:
            await _skip_body(answer)
        finally:
            answer.close()
        return answer.status


def _judge(status: int, refused: list[str]) -> Probed:
    if status < 500:
        return Probed(good=True, definite=False, reason=", ".join(refused))
    return Probed(good=False, definite=False, reason=f"probe failed: {status} from upstream")


def _describe_refusal(credential: Credential | None, status: int) -> str:
    if credential is None:
        return f"the probe needs a credential ({status}) and the provider has none"
    return f'credential "{credential.name}" refused ({status})'


async def _skip_body(answer: UpstreamAnswer) -> None:
    """Read to its end, the connection can be used again."""
    size = 0
    while (chunk := await answer.next_chunk()) and size < MAX_BYTES:
        size += len(chunk)
