"""What of a status comes from the gateways' reports, whatever the kind: a condition, and the values beside
the conditions.
"""

from typing import NamedTuple

from headgate_operator.rollup.judgement import Judgement


class LiveValues(NamedTuple):
    judgement: Judgement
    """Healthy; of a quota WithinLimits."""
    fields: dict[str, object]
    """As they stand in the status."""
