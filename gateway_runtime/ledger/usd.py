"""Money as the ledger's readers see it: see `contract.usd`, which the operator needs too."""

from gateway_runtime.contract.usd import PICOS, format_usd

__all__ = ["PICOS", "format_usd"]
