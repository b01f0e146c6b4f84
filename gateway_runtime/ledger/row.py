"""One request as it stands in the ledger: what was asked, who asked, what it used and cost, how it ended.

`server.account` makes one for each request; the journal carries it, a Store keeps it. The order of the
members is that of the table's columns and of the journal's records: a new one goes to the end, with a default
for what was written before there was it, and a new version of the schema.
"""

from typing import Final, Literal, TypeAlias

import msgspec

LARGEST: Final = 2**63 - 1
"""That a Store can keep of any number: what PostgreSQL and SQLite call a big integer."""


End: TypeAlias = Literal["answered", "refused", "failed", "broke-off", "left", ""]
"""How a request ended: a whole answer went out; a provider's refusal did; an error of ours did; a stream
broke off behind its 200; the caller left, or the gateway was stopped, before the end. Empty: nobody wrote it
down.
"""


class UsageRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    request_id: str
    """Unique: a row that comes twice is kept once."""
    ended_unix_ms: int
    tenant: str
    user: str | None
    """Whom the caller acts for. None: nobody is named."""
    key_id: str | None
    """The first 12 hex digits of the key's hash, never the key; of callers without one, the name of their
    subject. None: the caller showed nothing.
    """
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
    """Some of the tokens are not a provider's word: it answered and told none."""
    duration_ms: int
    """From the request's head to the moment before the end of its answer goes out."""
    first_token_ms: int | None
    """To the answer's first byte; None: there was none."""
    attempts: int
    fallback: str | None
    """The model that it was handed on to at last."""
    end: str = ""
    """An End; a text, so that one which a later Headgate wrote can be read."""
    tags: str | None = None
    """What is known of the caller beside its name: a JSON object of texts. None: nothing."""
    input_usd_picos: int | None = None
    """Of one token, as the next four: at the last attempt that has a price. None: none has."""
    output_usd_picos: int | None = None
    cached_input_usd_picos: int | None = None
    """None: as any other input."""
    cache_write_usd_picos: int | None = None
    """None: as any other input."""
    reasoning_usd_picos: int | None = None
    """None: as any other output."""
