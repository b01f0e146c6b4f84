"""A verdict and what the gateways say, rolled up to the `.status` of an object: pure; `now` is an argument.

The status writer calls `roll_up` for each object that something changed about, and `same_status` to see
whether there is anything to write. `headgate status` shows the same without a cluster.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from gateway_runtime.contract.ids import ProviderId
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup.views import GatewayView, Published

ProviderHealth: TypeAlias = Literal["Healthy", "Degraded", "Unhealthy", "Unknown"]


def judge_provider(verdict: Verdict, gateways: Sequence[GatewayView], now_s: float) -> ProviderHealth:
    """A provider's health in a word: what `roll_up` of a route wants in `provider_health`."""
    raise NotImplementedError


def roll_up(
    verdict: Verdict,
    previous: Mapping[str, object] | None,
    published: Published | None,
    gateways: Sequence[GatewayView],
    provider_health: Mapping[ProviderId, ProviderHealth],
    now_s: float,
    observed_at: str,
    *,
    settled: bool,
) -> dict[str, object]:
    """The complete `.status` as `api.status` has it.

    `previous`: the raw `.status` that the object has; None for a new one. `provider_health` is read for
    routes only; a provider that is not in it is Unknown. `observed_at`: now as RFC 3339 text. `settled` is
    False while a new leader's gateways have not dialled in yet.
    """
    raise NotImplementedError


def same_status(a: Mapping[str, object] | None, b: Mapping[str, object] | None) -> bool:
    """Whether the two say the same, `observedAt` and `lastTransitionTime` aside."""
    raise NotImplementedError
