"""Whether the quota that a quota names as its parent can be one: what every quota asks for in, a finding out,
or nothing.

Called by `quotas`, once each quota has been read. What a parent asks for decides, not what of it is served:
so the answer is the same in whatever order quotas are looked at, and parents that name each other are found.
A parent that can be one is in the table, since nothing holds back a quota without a parent.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Tenant
from headgate_operator.api.manifest import Meta
from headgate_operator.compile.findings import (
    Finding,
    own_parent,
    parent_has_parent,
    parent_not_found,
    parent_not_served,
)

_FIELD: Final = "spec.parent.name"


class Families:
    """All quotas, as they ask to be."""

    def __init__(self, asked: Mapping[str, Tenant | None]) -> None:
        """By `<namespace>/<name>`, sorted; None for one that makes no sense and never did."""
        self._asked = asked
        self._names: dict[str, Sequence[str]] = {}

    def find_fault(self, meta: Meta, parent: TenantId | None) -> Finding | None:
        """Why the quota of `meta` cannot have this parent; None where it can, or has none."""
        if parent is None:
            return None
        name = parent.rpartition("/")[2]
        if parent == meta.id:
            return own_parent(_FIELD)
        if parent not in self._asked:
            return parent_not_found(_FIELD, name, self._names_in(meta.namespace))
        found = self._asked[parent]
        if found is None:
            return parent_not_served(_FIELD, name)
        if found.parent is not None:
            return parent_has_parent(_FIELD, name, found.parent.rpartition("/")[2])
        return None

    def _names_in(self, namespace: str) -> Sequence[str]:
        names = self._names.get(namespace)
        if names is None:
            names = self._names[namespace] = _find_names(self._asked, namespace)
        return names


def _find_names(identities: Iterable[str], namespace: str) -> Sequence[str]:
    return [name for owner, _, name in (i.partition("/") for i in identities) if owner == namespace]
