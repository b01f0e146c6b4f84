"""The gateways of a storm: how many there are to be in, Children out, and a problem for each that does not
end as it was told to.
"""

import time

import msgspec

from headgate.verify.audit import Audit
from headgate.verify.child import Child, start_child
from headgate.verify.messages import Begin, Edit
from headgate.verify.scenario import SHARED

_FINISH_S = 15.0
"""All that runs ends, three calls to the store at most, and a machine that is busy."""


class GatewayFell(Exception):
    """It ended, and nobody told it to: a fault of the gateway's code, or of this."""


class Fleet:
    def __init__(self, begin: Begin, audit: Audit) -> None:
        """begin: of all of them, but for name, seed and amounts."""
        self.children: list[Child] = []
        self.amounts = {shared.key: shared.amount for shared in SHARED}
        self.audit = audit
        self._begin = begin
        self._born = 0

    def names(self) -> set[str]:
        return {child.name for child in self.children}

    async def populate(self, count: int) -> None:
        for _ in range(count):
            await self._add()

    async def kill(self, child: Child) -> None:
        """And another one takes its place."""
        await self._bury(child)
        await self._add()

    async def edit(self, key: str, amount: int) -> None:
        self.amounts[key] = amount
        for child in self.children:
            await child.tell(Edit(key, amount))

    def check(self) -> None:
        """Raises GatewayFell."""
        for child in self.children:
            if child.has_ended:
                raise GatewayFell(f"gateway {child.name} has ended by itself: see what it wrote above")

    async def finish_all(self) -> list[str]:
        problems: list[str] = []
        for child in self.children:
            if not await child.finish(_FINISH_S):
                problems.append(f"gateway {child.name} did not end within {_FINISH_S:g} s")
                self.audit.note_killed(child.name, time.monotonic())
        self.children.clear()
        return problems

    async def kill_all(self) -> None:
        for child in self.children:
            await child.kill()
        self.children.clear()

    async def _add(self) -> None:
        self._born += 1
        begin = msgspec.structs.replace(
            self._begin, name=f"g{self._born}", seed=self._begin.seed + self._born, amounts=dict(self.amounts)
        )
        self.children.append(await start_child(begin, self.audit.note))

    async def _bury(self, child: Child) -> None:
        self.children.remove(child)
        await child.kill()
        self.audit.note_killed(child.name, time.monotonic())
