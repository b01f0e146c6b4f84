"""The third pass: TenantQuotas and the Secrets of their API keys to the table's Tenants.

    spec, Secrets -> keys, hashed -> wanted -> without the keys that an older quota claims

A quota none of whose subjects can call stays in the table: what its limits have counted must not be forgotten
because a Secret was away for a moment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from msgspec import structs

from gateway_runtime.contract.ids import KeyHash, TenantId
from gateway_runtime.contract.keys import hash_stored_key
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Limit, Tenant
from headgate_operator.api.manifest import BrokenManifest, QuotaManifest
from headgate_operator.api.quota import Subject
from headgate_operator.compile.api_keys import find_unwatched, read_api_key, read_secrets, still_read
from headgate_operator.compile.claims import Lost, Winners, claim, find_lost
from headgate_operator.compile.findings import (
    Finding,
    anonymous_claimed,
    invalid_fields,
    key_claimed,
    malformed_secret,
)
from headgate_operator.compile.last_good import LastGood
from headgate_operator.compile.memo import QuotaEntry, keep_equal
from headgate_operator.compile.resources import Resources, index_by_id
from headgate_operator.compile.verdict import Verdict, judge_serving

_ANONYMOUS: Final = "anonymous"
"""Stands among the claims for the callers without a key; a key's hash is never this text."""
_WINDOWS_S: Final[Mapping[str, float]] = {"1m": 60.0, "1h": 3600.0}
