"""What every exchange is made with, and what the answers of all issuers have in common."""

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from gateway_runtime.contract.secret import Secret
from gateway_runtime.tokens.issuers import Issuers, read_json, wrap_secret
from gateway_runtime.tokens.pod import Pod
from gateway_runtime.tokens.token import Token


class Means(NamedTuple):
    issuers: Issuers
    pod: Pod
    unix: Callable[[], float]


class _AccessToken(msgspec.Struct):
    """RFC 6749, 5.1. Without `expires_in` nobody knows when to ask again."""

    access_token: Secret
    expires_in: float


_access_tokens = msgspec.json.Decoder(_AccessToken, dec_hook=wrap_secret, strict=False)
"""strict=False: some versions of Entra's endpoint write `expires_in` as a string."""


def read_access_token(body: bytes) -> Token:
    """Raises UpstreamFailure."""
    said = read_json(_access_tokens, body)
    return Token(said.access_token, said.expires_in)


def count_seconds_until(moment: dt.datetime, unix_s: float) -> float:
    """A moment without a zone is in UTC, as all issuers mean it."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return moment.timestamp() - unix_s
