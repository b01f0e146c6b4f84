"""Resources in, a routing table and a verdict for every object out: pure, total and deterministic.

    providers -> routes -> quotas

Three passes, each a module. Providers come first, since a route's targets resolve against them; routes and
quotas do not know each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_runtime.contract.table import Installation, RoutingTable
from headgate_operator.compile.resources import Resources
from headgate_operator.compile.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Compiled:
    table: RoutingTable
    verdicts: Mapping[str, Verdict]
    """By `Verdict.key`: `<Kind>/<namespace>/<name>`."""


def compile_resources(
    resources: Resources, previous: Compiled | None = None, last_good: RoutingTable | None = None
) -> Compiled:
    """`previous`: what the last compile gave; makes this one fast, and unchanged entries of the table stay the
    same objects. `last_good`: a table to take entries from for objects that are broken now and that
    `previous` does not know a good version of; what was published last, after a restart.
    """
    raise NotImplementedError
