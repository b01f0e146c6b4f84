"""One look at the world, from which the statuses of many objects are worked out: pure but for the fleet's
views.

In: verdicts, versions, the gateways' views, and the time, all as of one moment. Out: `.status` per object,
and how urgent a change is. Made by `Board` for each pass; a provider's health is judged once, however many
routes ask.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from gateway_runtime.contract.ids import ProviderId
from headgate_operator.api.kinds import PROVIDER
from headgate_operator.api.reasons import ConditionType
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup import ProviderHealth, judge_provider, roll_up, same_status
from headgate_operator.rollup.views import GatewayView, Published
from headgate_operator.status.queue import Rank


class Fleet(Protocol):
    """What the publisher knows of the gateways."""

    def views(self) -> tuple[GatewayView, ...]: ...

    def settled(self, now_s: float) -> bool: ...


class Desk:
    def __init__(
        self,
        verdicts: Mapping[str, Verdict],
        published: Published | None,
        fleet: Fleet,
        now_s: float,
        wall: datetime,
    ) -> None:
        """`now_s`: on the fleet's clock; `wall`: the same moment for people."""
        self.now_s = now_s
        self._verdicts = verdicts
        self._published = published
        self._views = fleet.views()
        self._settled = fleet.settled(now_s)
        self._wall = wall
        self._observed_at = wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._health: dict[ProviderId, ProviderHealth] = {}

    def roll_up(self, verdict: Verdict, previous: Mapping[str, object] | None) -> dict[str, object]:
        return roll_up(
            verdict,
            previous,
            self._published,
            self._views,
            {provider: self._judge(provider) for provider in verdict.providers},
            self.now_s,
            self._observed_at,
            settled=self._settled,
        )

    def is_stale(self, before: Mapping[str, Any] | None, after: Mapping[str, Any], limit_s: float) -> bool:
        """Whether what is shown was observed more than `limit_s` ago, and there is a newer observation."""
        shown, newer = list(_observation_times(before)), list(_observation_times(after))
        return shown != newer and any((self._wall - at).total_seconds() > limit_s for at in shown)

    def _judge(self, provider: ProviderId) -> ProviderHealth:
        if provider not in self._health:
            verdict = self._verdicts.get(f"{PROVIDER.name}/{provider}")
            self._health[provider] = (
                judge_provider(verdict, self._views, self.now_s) if verdict else "Unknown"
            )
        return self._health[provider]


def rank_change(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Rank | None:
    """How urgent it is to write `after`; None when the two say the same."""
    if same_status(before, after):
        return None
    if before is None or before.get("observedGeneration") != after.get("observedGeneration"):
        return Rank.EDIT
    return Rank.VALUES if _outline(before) == _outline(after) else Rank.TRANSITION


def is_programmed(status: Mapping[str, Any]) -> bool:
    """Whether every gateway runs the object's generation: no acknowledgement can change its status."""
    return any(
        condition["type"] == ConditionType.PROGRAMMED and condition["status"] == "True"
        for condition in status.get("conditions") or ()
    )


def _outline(status: Mapping[str, Any]) -> Mapping[str, Sequence[object]]:
    return {
        condition["type"]: tuple(condition.get(field) for field in _fields_of(condition["type"]))
        for condition in status.get("conditions") or ()
    }


def _fields_of(condition: str) -> tuple[str, ...]:
    """Those whose change is a transition. Near a limit and away from it is a change of values: tenants are by
    turns, and both are True.
    """
    telling = ("status", "observedGeneration")
    return telling if condition == ConditionType.WITHIN_LIMITS else (*telling, "reason")


def _observation_times(status: Mapping[str, Any] | None) -> Iterator[datetime]:
    for endpoint in (status or {}).get("endpoints") or ():
        if endpoint.get("observedAt"):
            yield datetime.fromisoformat(endpoint["observedAt"])
