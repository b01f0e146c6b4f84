"""The amount of a limit that is in force at a moment: what gateways admit, and what the operator tells."""

from gateway_runtime.contract.tenant import Limit


def find_amount(limit: Limit, unix_s: float) -> int:
    """In the limit's own unit. The first override that has not ended holds; they are sorted by their end."""
    for override in limit.overrides:
        if unix_s < override.until_unix_s:
            return override.amount
    return limit.amount
