"""What a verified token says, held against what is wanted: claims in, a Reason out where they do not do, and
what an Identity is made of.

`authenticator` asks, once the signature is known to be good. Pure; the time is an argument.

The one subtle rule: names with dots. `realm.roles` leads into objects, and issuers also have claims with dots
in their own names (`kubernetes.io`, `https://example.com/groups`). So a name is first looked for as it
stands, then with its longest beginning that is a claim, and from there on.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway_runtime.contract.tenant import JwtSubject
from gateway_runtime.identity.rejection import Reason
from gateway_runtime.identity.signature import Claims

LEEWAY_S: Final = 30.0
"""Between the issuer's clock and ours."""

LONGEST: Final = 256
"""Of a user or a tag, as of a user that a body names: they end up in tables that people print."""


def judge_times(claims: Claims, unix_s: float) -> Reason | None:
    """None: it holds now."""
    end_s = read_end(claims)
    if end_s is None:
        return Reason.WITHOUT_END
    if unix_s >= end_s:
        return Reason.EXPIRED
    for name in ("nbf", "iat"):
        if name in claims:
            at_s = _read_number(claims[name])
            if at_s is None:
                return Reason.MALFORMED
            if at_s > unix_s + LEEWAY_S:
                return Reason.NOT_YET
    return None


def read_end(claims: Claims) -> float | None:
    """In Unix seconds, leeway included. None: it says none."""
    end_s = _read_number(claims.get("exp"))
    return None if end_s is None else end_s + LEEWAY_S


def fits_audience(claims: Claims, subject: JwtSubject) -> bool:
    return any(audience in subject.audiences for audience in _list_texts(claims.get("aud")))


def fits_conditions(claims: Claims, subject: JwtSubject) -> bool:
    return all(
        any(text in values for text in _list_texts(find_claim(claims, name)))
        for name, values in subject.claims
    )


def read_user(claims: Claims, subject: JwtSubject) -> str | None:
    """None: the token names nobody, or more than one."""
    texts = [*_list_texts(find_claim(claims, subject.user_claim))]
    return check_name(texts[0]) if len(texts) == 1 else None


def read_tags(claims: Claims, subject: JwtSubject) -> tuple[tuple[str, str], ...]:
    """Sorted. Of a list all members, with commas between."""
    found = ((name, ",".join(_list_texts(find_claim(claims, name)))) for name in subject.tag_claims)
    return tuple(sorted((name, text) for name, told in found if (text := check_name(told)) is not None))


def find_claim(claims: Claims, name: str) -> object:
    """None: there is none."""
    if name in claims:
        return claims[name]
    end = name.rfind(".")
    while end > 0:
        inner = claims.get(name[:end])
        if isinstance(inner, Mapping):
            return find_claim(inner, name[end + 1 :])
        end = name.rfind(".", 0, end)
    return None


def _list_texts(value: object) -> Iterator[str]:
    """Of a claim, or of each member of one that is a list. Booleans and numbers as JSON writes them."""
    for member in value if isinstance(value, list) else (value,):
        if isinstance(member, bool):
            yield "true" if member else "false"
        elif isinstance(member, str | int | float):
            yield str(member)


def _read_number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def check_name(text: str) -> str | None:
    """What is longer is cut: to drop it would leave the name to the request's body. None: it is empty, or not
    printable.
    """
    return text[:LONGEST] if text and text.isprintable() else None
