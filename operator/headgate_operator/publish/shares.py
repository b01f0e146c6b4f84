"""Which part of each limit every gateway may spend: places in a row, held stable while gateways come and go.

In: joins and leaves with their times, in seconds of one monotonic clock. Out: a `Share` per gateway. `term`
drives it and sends what changed; `engine.limits` at the gateway divides the amounts.

Rules. A joining gateway takes the place after the last. A gateway that leaves keeps its place for
`HOLD_DOWN_S`, so that a restart or a dropped connection moves nobody's share; then the last in the row moves
into the gap, and only it. A new leader starts from the row that the old one wrote down, all places held.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import Share

HOLD_DOWN_S: Final = 15.0
"""A redial takes under a second, a restart some seconds; for longer a dead gateway's part would lie idle."""


class Shares:
    def __init__(self) -> None:
        self._row: list[GatewayId] = []
        self._held: dict[GatewayId, float] = {}
        """Who has left, and until when the place is kept."""

    @property
    def row(self) -> Sequence[GatewayId]:
        """By index; what a later leader starts from."""
        return tuple(self._row)

    @property
    def next_expiry_s(self) -> float | None:
        return min(self._held.values(), default=None)

    def restore(self, row: Sequence[GatewayId], now_s: float) -> None:
        """Starts from another leader's row; each place is held for its gateway to come back to."""
        self._row = list(dict.fromkeys(row))
        self._held = dict.fromkeys(self._row, now_s + HOLD_DOWN_S)

    def join(self, gateway: GatewayId) -> None:
        self._held.pop(gateway, None)
        if gateway not in self._row:
            self._row.append(gateway)

    def leave(self, gateway: GatewayId, now_s: float) -> None:
        if gateway in self._row:
            self._held[gateway] = now_s + HOLD_DOWN_S

    def expire(self, now_s: float) -> None:
        """Gives up the places whose hold has ended. Highest first, so that no move is done twice."""
        for gateway in reversed(self._row.copy()):
            if self._held.get(gateway, now_s + 1) <= now_s:
                del self._held[gateway]
                index = self._row.index(gateway)
                last = self._row.pop()
                if last != gateway:
                    self._row[index] = last

    def current(self) -> Mapping[GatewayId, Share]:
        """Of everyone in the row, the held places included: they still count as spending."""
        return {gateway: Share(index=i, gateways=len(self._row)) for i, gateway in enumerate(self._row)}

    def statistics(self) -> Mapping[str, object]:
        return {"row": self.row, "held": sorted(self._held)}
