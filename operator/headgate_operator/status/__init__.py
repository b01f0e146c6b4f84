"""What users see of an object: its `.status`, and Events when a condition turns.

    verdicts, acks, reports -> Board -> rollup -> WriteQueue -> Writer -> API server
                                                      Writer -> Announcer -> Events

In: verdicts from `reconcile`, hints about what the gateways said. Out: server-side applies of `/status`,
only where the meaning differs, changes of a condition at once and everything else rarely. Only the leader
writes. Nothing here holds up a reconcile.
"""

from headgate_operator.status.announcer import Announcer
from headgate_operator.status.board import Board
from headgate_operator.status.writer import Writer

__all__ = ["Announcer", "Board", "Writer"]
