"""What `exact` offers to four gateways, and under which limits: five times of what they let through.

    requests and money    requests per window, and a budget of a rolling day that ends in the third window
    tokens with streams   total tokens per window; a stream may use twice of what it does
    the same, Redis killed, for a third of a window; it comes back empty

`exact` reads them. Windows are a minute, or ten seconds in a quick run; the rest follows from their length.
"""

import json
from typing import Final, NamedTuple

from bench.limits.quota import DAY_S, MINUTE_S, MODEL, PRICE
from bench.limits.upstream import Script
from gateway_runtime.contract.tenant import Limit

GATEWAYS: Final = 4
TIMES: Final = 5
"""What is offered, by what the limits let through."""
PEER_TIMES: Final = 2
"""Four processes of LiteLLM on two cores do not come to much more than 60 requests a second."""
_REQUESTS_PER_MINUTE: Final = 1000
_TOKENS_PER_MINUTE: Final = 100_000
_BUDGET_WINDOWS: Final = 2.5
"""So many full windows of requests it pays for."""


class Outage(NamedTuple):
    """Seconds from the beginning."""

    kill_s: float
    back_s: float


class Scenario(NamedTuple):
    name: str
    limits: tuple[Limit, ...]
    """The first one's window is the window of the scenario."""
    windows: float
    whole_windows: int
    """In which the first limit is the one that binds."""
    rate_per_s: float
    body: bytes
    script: Script
    outage: Outage | None = None

    @property
    def window_s(self) -> float:
        return self.limits[0].window_s

    @property
    def duration_s(self) -> float:
        return self.windows * self.window_s

    @property
    def streams(self) -> bool:
        return self.script.chunks > 0


def list_scenarios(window_s: float) -> tuple[Scenario, ...]:
    requests, streams = offer_requests(window_s), offer_streams(window_s)
    # In the middle of the second window, and while its amount is being used: that takes a fifth of it.
    idle_s, busy_s = 1.5 * window_s, 1.1 * window_s
    return (
        requests,
        _without_store(requests, idle_s, "when all is used"),
        _without_store(requests, busy_s, "while it is used"),
        streams,
        _without_store(streams, busy_s, "while it is used"),
    )


def _without_store(scenario: Scenario, kill_s: float, when: str) -> Scenario:
    outage = Outage(kill_s, kill_s + scenario.window_s / 3)
    return scenario._replace(name=f"{scenario.name}, Redis killed {when}", outage=outage)


def offer_requests(window_s: float, windows: float = 3, times: float = TIMES) -> Scenario:
    script = Script(60, 20, 100, latency_s=0.1)
    requests = round(_REQUESTS_PER_MINUTE * window_s / MINUTE_S)
    mean_picos = (
        script.input_tokens * PRICE.input_usd_picos + script.mean_output_tokens * PRICE.output_usd_picos
    )
    budget = round(_BUDGET_WINDOWS * requests * mean_picos)
    return Scenario(
        "requests and money",
        (
            Limit(name="requests", amount=requests, window_s=window_s),
            Limit(name="money", amount=budget, window_s=DAY_S, resource="USD"),
        ),
        windows,
        whole_windows=min(2, int(windows)),
        rate_per_s=times * requests / window_s,
        body=_build_body(max_tokens=120),
        script=script,
    )


def offer_streams(window_s: float, windows: float = 3, times: float = TIMES) -> Scenario:
    script = Script(100, 150, 250, latency_s=0.1, chunks=20, chunk_s=0.05)
    tokens = round(_TOKENS_PER_MINUTE * window_s / MINUTE_S)
    mean = script.input_tokens + script.mean_output_tokens
    return Scenario(
        "tokens with streams",
        (Limit(name="tokens", amount=tokens, window_s=window_s, resource="TotalTokens"),),
        windows,
        whole_windows=int(windows),
        rate_per_s=times * tokens / mean / window_s,
        body=_build_body(max_tokens=400, stream=True),
        script=script,
    )


def _build_body(max_tokens: int, *, stream: bool = False) -> bytes:
    request: dict[str, object] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Give me the steps of the rollback."}],
        "max_tokens": max_tokens,
    }
    if stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(request).encode()
