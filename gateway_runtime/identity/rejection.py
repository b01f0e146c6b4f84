"""Why a caller is nobody: a Rejection, which is a value, since to be unknown is a caller's mistake.

`server.refusal` words each Reason. None of them tells a stranger which tenants, issuers or audiences there
are.
"""

from enum import Enum, auto
from typing import NamedTuple


class Reason(Enum):
    """Those of tokens stand in the order of the checks: of several subjects, the one that came furthest
    tells why not.
    """

    NO_KEY = auto()
    UNKNOWN_KEY = auto()
    KEY_NOT_YET = auto()
    """Its term begins at `Rejection.unix_s`."""
    KEY_ENDED = auto()
    """At `Rejection.unix_s`."""
    TOO_LONG = auto()
    MALFORMED = auto()
    UNSIGNED = auto()
    """Its algorithm is `none`."""
    ALGORITHM = auto()
    """One that is not taken: HMAC, above all."""
    UNKNOWN_ISSUER = auto()
    UNKNOWN_SIGNER = auto()
    """The issuer has no such key."""
    BAD_SIGNATURE = auto()
    NO_KEYS = auto()
    """Those of its issuer cannot be had now. No fault of the caller's."""
    WITHOUT_END = auto()
    EXPIRED = auto()
    NOT_YET = auto()
    WRONG_AUDIENCE = auto()
    NO_TENANT = auto()
    """All is well with the token, and no subject's conditions hold."""


class Rejection(NamedTuple):
    reason: Reason
    unix_s: float = 0.0
    """Where an API key's term begins or ends."""
