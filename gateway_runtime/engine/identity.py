"""Who a caller is, once that is known: of which tenant, by which key or subject, acting for whom.

`lookup` makes one of each API key when a table is loaded; `gateway_runtime.identity` makes the others, of
tokens and of what proxies say. A request holds on to its Identity as it holds on to its table.
"""

from dataclasses import dataclass
from typing import NamedTuple

from gateway_runtime.contract.tenant import Tenant


class Term(NamedTuple):
    """When a key or a token holds. None: without a bound on that side."""

    begin_unix_s: float | None
    end_unix_s: float | None
    """It holds no more in this moment."""

    def holds(self, unix_s: float) -> bool:
        return (self.begin_unix_s is None or self.begin_unix_s <= unix_s) and (
            self.end_unix_s is None or unix_s < self.end_unix_s
        )


@dataclass(frozen=True, slots=True)
class Identity:
    tenant: Tenant
    key_id: str | None = None
    """Of an API key the first 12 hex digits of its hash, never the key; else the subject's name. None: the
    caller showed nothing, and its tenant asks for nothing.
    """
    user: str | None = None
    """Whom it acts for, as somebody trusted says. None: nobody said, and the request's body may."""
    tags: tuple[tuple[str, str], ...] = ()
    """Names and values, sorted."""
    term: Term | None = None
    """None: for ever."""
