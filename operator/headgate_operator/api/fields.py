"""Field types that more than one resource uses: names, durations, URLs, references to Secrets.

Each pattern stands here with its words, since a regular expression teaches nobody: `FORMS` is what messages
say of a value that does not match. Patterns must mean the same to pydantic (Rust's regex) and to the API
server (RE2), so they spell characters out: `\\s` and `\\w` are Unicode in the one and ASCII in the other.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, NamedTuple

from pydantic import Field, StringConstraints

from headgate_operator.api.model import ApiModel

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PORT: Final = r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_H16: Final = "[0-9a-fA-F]{1,4}"
_IPV6: Final = "|".join(
    (
        f"({_H16}:){{7}}{_H16}",
        f"({_H16}:){{1,7}}:",
        *(f"({_H16}:){{1,{7 - n}}}(:{_H16}){{1,{n}}}" for n in range(1, 7)),
        f":((:{_H16}){{1,7}}|:)",
    )
)
"""One alternative for each place where `::` may stand. CEL's isIP() would say it better, but the API server
cannot bound its cost and refuses the CRD.
"""
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_HOST: Final = rf"([-._a-zA-Z0-9]+|\[({_IPV6})\])"
_LOOPBACK: Final = r"(localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\])"
_PATH: Final = r"(/(%[0-9a-fA-F]{2}|[-._~!$&'()*+,;=:@a-zA-Z0-9/])*)?"
_TRUSTED: Final = rf"(https://{_HOST}|http://{_LOOPBACK})(:({_PORT}))?{_PATH}"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

DURATION: Final = r"^[1-9][0-9]{0,5}(ms|s|m|h)$"
ITEM_NAME: Final = rf"^{_LABEL}$"
OBJECT_NAME: Final = rf"^{_LABEL}(\.{_LABEL})*$"
SECRET_KEY: Final = r"^[-._a-zA-Z0-9]+$"
MODEL_NAME: Final = r"^[!-)+-~]+$"
MODEL_PATTERN: Final = r"^[!-)+-~]*[*]?[!-)+-~]*$"
BASE_URL: Final = rf"^https?://{_HOST}(:({_PORT}))?{_PATH}$"
ISSUER: Final = rf"^{_TRUSTED}$"
JWKS_URL: Final = rf"^{_TRUSTED}([?](%[0-9a-fA-F]{{2}}|[-._~!$&'()*+,;=:@a-zA-Z0-9/?])*)?$"
HOST_NAME: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$"
PROBE_PATH: Final = r"^/[!\x22$-~]*$"
USD: Final = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"
USD_EXACT: Final = r"^[0-9]{1,19}(\.[0-9]{1,12})?$"
AZURE_API_VERSION: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$"
CLOUD_PROJECT: Final = r"^[a-z0-9][-.:a-z0-9]*$"
CLOUD_REGION: Final = r"^[a-z]+(-[a-z0-9]+)*$"
ENTRA_CLIENT: Final = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
ENTRA_TENANT: Final = r"^[a-zA-Z0-9][-.a-zA-Z0-9]*$"
DATE_TIME: Final = (
    r"^2[0-9]{3}(-[0-3][0-9]){2}T[0-2][0-9](:[0-5][0-9]){2}([.][0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])$"
)
TIME_ZONE: Final = r"^[a-zA-Z][-+_a-zA-Z0-9]*(/[-+_a-zA-Z0-9]+)*$"
CIDR: Final = (
    rf"^({_OCTET}(\.{_OCTET}){{3}}/([1-9]|[12][0-9]|3[0-2])|({_IPV6})/([1-9][0-9]?|1[01][0-9]|12[0-8]))$"
)
WORD: Final = r"^[!-~]+$"
ONE_LINE: Final = r"^.*[^ \n].*$"
HEADER_NAME: Final = r"^[-!#$%&'*+.^_`|~0-9a-zA-Z]+$"
HEADER_VALUE: Final = r"^[!-~]([ -~]*[!-~])?$"


LONGEST_SHOWN: Final = 20
"""Longer text is not repeated: it may be an API key in the wrong place, and none is as short as this."""


class Form(NamedTuple):
    words: str
    """Completes "must be ..."."""
    shown: bool
    """Whether a message may repeat a value that does not match. Not where people paste keys by mistake."""


FORMS: Final[Mapping[str, Form]] = {
    DURATION: Form("a whole number from 1 on and ms, s, m or h, such as 250ms or 30s", shown=True),
    ITEM_NAME: Form(
        "a name of lower-case letters, digits and `-`, beginning and ending with a letter or digit",
        shown=False,
    ),
    OBJECT_NAME: Form(
        "the name of a Kubernetes object: lower-case letters, digits, `-` and `.`, "
        "beginning and ending with a letter or digit",
        shown=False,
    ),
    SECRET_KEY: Form("the name of a key inside the Secret: letters, digits, `-`, `_` and `.`", shown=False),
    MODEL_NAME: Form("a model's name without blanks and without `*`, such as gpt-4o-mini", shown=True),
    MODEL_PATTERN: Form("a model's name without blanks, with at most one `*`, such as gpt-4o*", shown=True),
    BASE_URL: Form(
        "an http:// or https:// URL of a host and perhaps a port and a path, such as http://vllm:8000/v1; "
        "user, query and fragment have no place in it",
        shown=False,
    ),
    HOST_NAME: Form("a host's name in lower case, such as llm.internal.example", shown=True),
    PROBE_PATH: Form("a path that begins with `/` and has no blanks and no `#`", shown=False),
    USD: Form(
        'US dollars in digits, at most 6 before the point and 6 after it, such as "0.15"',
        shown=True,
    ),
    USD_EXACT: Form('US dollars in digits, to the picodollar, such as "0.000150000001"', shown=True),
    AZURE_API_VERSION: Form("a date, perhaps with -preview, such as 2024-10-21", shown=True),
    CLOUD_PROJECT: Form("the id or number of a Google Cloud project, such as my-project-1", shown=False),
    CLOUD_REGION: Form("the name of a region or location, such as us-east-1 or global", shown=True),
    ENTRA_CLIENT: Form(
        "the id of an application of Entra, such as 11111111-2222-3333-4444-555555555555", shown=False
    ),
    ENTRA_TENANT: Form(
        "the id of a tenant of Entra or one of its domains, such as contoso.onmicrosoft.com", shown=False
    ),
    ISSUER: Form(
        "an https:// URL without user, query and fragment, such as https://login.example.com; http:// only "
        "for localhost, 127.0.0.1 and [::1]",
        shown=False,
    ),
    JWKS_URL: Form(
        "an https:// URL without user and fragment, such as https://login.example.com/jwks.json; http:// "
        "only for localhost, 127.0.0.1 and [::1]",
        shown=False,
    ),
    DATE_TIME: Form(
        "a date and time of RFC 3339 with its offset, such as 2026-12-31T23:59:59Z or "
        "2026-12-31T23:59:59+01:00",
        shown=True,
    ),
    TIME_ZONE: Form("a time zone of the IANA database, such as UTC or Europe/Berlin", shown=True),
    CIDR: Form(
        "a CIDR block, such as 10.0.0.0/8 or fd00::/8; one address is a block of /32 or /128, and everybody "
        "(/0) is none",
        shown=True,
    ),
    WORD: Form("a word of visible ASCII characters, without blanks", shown=False),
    ONE_LINE: Form("one line of text that is not blank", shown=False),
    HEADER_NAME: Form("the name of an HTTP header, such as x-team", shown=False),
    HEADER_VALUE: Form(
        "the value of an HTTP header: ASCII characters, neither beginning nor ending with a blank",
        shown=False,
    ),
}

Duration = Annotated[str, StringConstraints(max_length=8, pattern=DURATION)]
"""A whole number and a unit: `250ms`, `30s`, `5m`, `1h`. Never zero: no time here makes sense as nothing."""

ItemName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=ITEM_NAME)]
"""Name of an item in a list: lower-case letters, digits and `-`."""

ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=OBJECT_NAME)]
"""Name of a Kubernetes object."""

NamespaceName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=ITEM_NAME)]
"""Name of a namespace."""

SecretKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=SECRET_KEY)]
"""Name of an entry in a Secret's data."""

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=MODEL_NAME)]
"""One model's name, as callers or providers write it: `gpt-4o-mini`, `meta-llama/Llama-3.1-8B-Instruct`."""

ModelPattern = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=MODEL_PATTERN)]
"""A model's name, or a pattern with one `*`: `gpt-4o*`, `*`."""

BaseUrl = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=BASE_URL)]
"""`http://` or `https://`, host, perhaps port and path; no user, query or fragment."""

HostName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=HOST_NAME)]
"""A DNS name, or an IPv4 address."""

ProbePath = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=PROBE_PATH)]
"""A path below a base URL, perhaps with a query."""

Usd = Annotated[str, StringConstraints(max_length=13, pattern=USD)]
"""US dollars as a decimal number: `0.15`, `2`, `0`. Text, since binary fractions are not exact and the
Kubernetes API conventions advise against them.
"""

MAX_COUNT: Final = 10**15
"""More than the world's models write in a day, and JSON keeps every whole number below nine times this."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT, json_schema_extra={"format": "int64"})]
"""So many requests or tokens; never none."""

Amount = Count | Usd
"""A Count, or US dollars in quotes. In a CRD the one union that Kubernetes knows, int-or-string."""

Used = (
    Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
    | Annotated[str, StringConstraints(max_length=32, pattern=USD_EXACT)]
)
"""What is used of an Amount, or left of it: a whole number, or US dollars as text. Exact, so that it is the
same text here, in a gateway's answers and in the ledger's sums.
"""

AzureApiVersion = Annotated[str, StringConstraints(max_length=18, pattern=AZURE_API_VERSION)]
"""A version of Azure OpenAI's API, which is a date."""

CloudProject = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=CLOUD_PROJECT)]
"""A project of Google Cloud, by id or number; old ones have their domain before a colon."""

CloudRegion = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=CLOUD_REGION)]
"""A region of a cloud. It becomes part of a host's name."""

EntraClient = Annotated[str, StringConstraints(max_length=36, pattern=ENTRA_CLIENT)]
"""An application of Microsoft Entra."""

EntraTenant = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=ENTRA_TENANT)]
"""A tenant of Microsoft Entra."""

Issuer = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=ISSUER)]
"""Who signs tokens: a URL that nobody on the way can answer for."""

JwksUrl = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=JWKS_URL)]
"""As an issuer, perhaps with a query."""

CidrBlock = Annotated[str, StringConstraints(min_length=1, max_length=43, pattern=CIDR)]
"""A block of addresses; never all of them."""

Word = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=WORD)]
"""Visible ASCII."""

OneLine = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=ONE_LINE)]
"""Anything that people write on one line."""

HeaderName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=HEADER_NAME)]
"""A token of RFC 9110, in any case."""

HeaderValue = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=HEADER_VALUE)]
"""What a header can carry, and a proxy can be told to send."""


def parse_duration(text: str) -> float:
    """Seconds. `text` is a `Duration`; raises ValueError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})(ms|s|m|h)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a whole number and ms, s, m or h, such as 30s")
    return int(match[1]) * _UNITS[match[2]]


def parse_usd_micros(text: str) -> int:
    """Micro-dollars, exactly. `text` is a `Usd`; raises ValueError for anything else."""
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) is None:
        raise ValueError(f"{text!r} is no amount of US dollars: write digits, such as 0.15")
    return int(Decimal(text).scaleb(6))


class SecretKeyRef(ApiModel):
    """One key of a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret. Label it `headgate.dev/watched: "true"` and a change of it is live at once; without
    the label it is read again every few minutes.
    """
    key: SecretKey = Field(default="api-key")
    """Key inside the Secret's data."""
