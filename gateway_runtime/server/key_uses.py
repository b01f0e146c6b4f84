"""When each tenant's keys were last used: noted as requests end, read by the status report.

One of the process, in `state`. Keys are known by their ids, as in the ledger; a subject's name is one, too.
What has been noted lives as long as the process.
"""

from typing import Final

from gateway_runtime.contract.health import KeyUse
from gateway_runtime.contract.ids import TenantId

KEPT: Final = 10_000
"""Ids, of all tenants together: some 2 MB."""


class KeyUses:
    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._count = 0
        self._uses: dict[TenantId, dict[str, float]] = {}

    def note(self, tenant: TenantId, key_id: str, unix_s: float) -> None:
        """For each request: 0.1 µs."""
        uses = self._uses.get(tenant)
        if uses is not None and key_id in uses:
            uses[key_id] = unix_s
            return
        if self._count >= self._kept:
            self._drop_oldest()
        self._uses.setdefault(tenant, {})[key_id] = unix_s
        self._count += 1

    def of(self, tenant: TenantId) -> tuple[KeyUse, ...]:
        """Sorted by id."""
        uses = self._uses.get(tenant, {})
        return tuple(KeyUse(key_id=key_id, last_unix_s=uses[key_id]) for key_id in sorted(uses))

    def _drop_oldest(self) -> None:
        """A tenth at once: to look for one of them each time would cost a millisecond each time."""
        ordered = sorted(
            (unix_s, t, key_id) for t, uses in self._uses.items() for key_id, unix_s in uses.items()
        )
        for _, tenant, key_id in ordered[: self._kept // 10 + 1]:
            del self._uses[tenant][key_id]
            self._count -= 1
        self._uses = {tenant: uses for tenant, uses in self._uses.items() if uses}
