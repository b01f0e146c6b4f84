"""One request as it stands in the ledger: what was asked, who asked, what it used and cost, how it ended.

`server.account` makes one when a request is over; a Store keeps it. The order of the members is that of the
table's columns, and a new one goes to the end, with a new version of the schema.
"""

from typing import Final

import msgspec

LARGEST: Final = 2**63 - 1
"""That a Store can keep of any number: what PostgreSQL and SQLite call a big integer."""


class UsageRow(msgspec.Struct, frozen=True, gc=False):
    request_id: str
    """Unique: a row that comes twice is kept once."""
    ended_unix_ms: int
    tenant: str
    user: str | None
    """Of the caller's, as its body names them. None: it names nobody."""
    key_id: str | None
    """The first 12 hex digits of the key's hash: never the key. None: the caller sent none."""
    route: str
    provider: str
    """Of the last attempt: of the one that answered, where one did."""
    model: str
    """As the caller called it; empty where nothing of the kind is asked, such as for a file."""
    upstream_model: str
    """As the provider calls it."""
    operation: str
    """The path that was asked."""
    status: int
    """499: the caller left before there was one."""
    error: str | None
    """Ours, `HGnnnn`: also of a stream that broke off after its 200."""
    stream: bool
    input_tokens: int | None
    """All of the prompt, cached tokens included; of all attempts that told their usage, added up, as the
    other counts are. None: no provider told what was used, which is not the same as nothing.
    """
    output_tokens: int | None
    """All that was generated, reasoning included."""
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd_picos: int | None
    """Of the tokens whose price is known. None: of none."""
    priced: bool
    """All tokens that the row tells of have a price."""
    estimated: bool
    """The tokens are not the provider's word."""
    duration_ms: int
    """From the request's head to the end of its answer."""
    first_token_ms: int | None
    """To the answer's first byte; None: there was none."""
    attempts: int
    fallback: str | None
    """The model that it was handed on to at last."""
