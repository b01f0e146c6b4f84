"""Objects at and beyond every bound of a schema, made from the schema itself and one full example.

In: a structural schema and an object that has all its fields. Out: `Case`s, one per bound, enum value,
pattern, required field and type. Called by the tests that put each to both judges: the models and the CRD are
made from the same lines of code, but pydantic and the API server read them with different programs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headgate_operator.api import fields

Schema = Mapping[str, Any]
_MATCHES = 'self.matches(r"'
"""Begins the rule that stands for a pattern too long to be read."""
Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class Sample:
    """Values for one pattern."""

    good: tuple[str, ...]
    bad: tuple[str, ...]
    of_length: Callable[[int], str]
    """A good one with so many characters."""


_BAD_NAMES = ("-a", "a-", "A", "a_b", "a b", "ä", "a\n")


def _letters(count: int) -> str:
    return "a" * count


SAMPLES: Mapping[str, Sample] = {
    fields.DURATION: Sample(
        good=("1ms", "30s", "999999h", "5m"),
        bad=("0s", "01s", "1", "s", "1.5s", "-1s", "1S", " 1s", "1s\n", "١s", "1h1m"),
        of_length=lambda n: "9" * (n - 2) + "ms",
    ),
    fields.ITEM_NAME: Sample(good=("a", "a-1", "1"), bad=(*_BAD_NAMES, "a.b"), of_length=_letters),
    fields.OBJECT_NAME: Sample(
        good=("a", "a.b-c.1"), bad=(*_BAD_NAMES, ".a", "a.", "a..b", "a.-b"), of_length=_letters
    ),
    fields.HOST_NAME: Sample(
        good=("a", "a.b-c.1", "10.0.0.7", "a" * 63),
        bad=(*_BAD_NAMES, ".a", "a.", "a..b", "a.-b", "a" * 64, "a:443", "*.a"),
        of_length=lambda n: ("a." * n)[: n - 1] + "a",
    ),
    fields.SECRET_KEY: Sample(good=("api-key", "A.b_c"), bad=("a b", "a/b", "ä", "a\n"), of_length=_letters),
    fields.MODEL_NAME: Sample(
        good=("gpt-4o", "meta-llama/Llama-3.1-8B:free", '"', "~", "!", ")", "+"),
        bad=("a b", "a*", "a\t", "a\n", "\u00a0", "\u3000", "ä", "a\x7f", "a\x00"),
        of_length=_letters,
    ),
    fields.MODEL_PATTERN: Sample(
        good=("*", "gpt-*", "*-mini", "gpt-*-mini", "gpt"),
        bad=("**", "*a*", "a b", "*\n", "\u00a0", "ä"),
        of_length=_letters,
    ),
    fields.BASE_URL: Sample(
        good=(
            "http://a",
            "https://a.b-c_d:65535/v1/",
            "http://a:1/~!$&'()*+,;=:@%2F//x",
            "http://[::]",
            "http://[::1]:80/v1",
            "http://[1:2:3:4:5:6:7:8]",
            "http://[1:2:3:4:5:6:7::]",
            "http://[1::8]",
            "http://[fe80::ABCD:0]",
        ),
        bad=(
            *("a", "http://", "ftp://a", "HTTP://a", "http:/a", "http://a b", "http://a\n", "http://ä"),
            *("http://u@a", "http://u:p@a", "http://a?q", "http://a#f", "http://a/%zz", "http://a/%2"),
            *("http://a:", "http://a:0", "http://a:65536", "http://a:99999", "http://a:x", "http://a:080"),
            *(
                "http://[]",
                "http://[:::]",
                "http://[1::2::3]",
                "http://[1:2:3:4:5:6:7:8:9]",
                "http://[12345::]",
            ),
            *("http://[1:2:3]", "http://[::1", "http://::1", "http://[::ffff:1.2.3.4]"),
        ),
        of_length=lambda n: "http://" + "a" * (n - 7),
    ),
    fields.PROBE_PATH: Sample(
        good=("/", "/models?limit=1", '/"'),
        bad=("models", "/a b", "/a#b", "/ä", "/\n"),
        of_length=lambda n: "/" + "a" * (n - 1),
    ),
    fields.USD: Sample(
        good=("0", "2", "0.15", "007", "999999.999999", "0.000000"),
        bad=(
            *("1.", ".5", ".", "1,5", "-1", "+1", "1e3", "1_0", "0x1", "NaN", "$1", " 1", "1 ", "1\n", "١"),
            *("1.2.3", "1000000", "0.0000001"),
        ),
        of_length=lambda n: "9" * (n - 7) + ".999999",
    ),
    fields.AZURE_API_VERSION: Sample(
        good=("2024-10-21", "2025-04-01-preview"),
        bad=("preview", "2024-10", "24-10-21", "2024-10-21-beta", "2024-10-21\n", "2024-10-21 "),
        of_length=lambda n: "2024-10-21-preview" + "w" * (n - 18),
    ),
    fields.CLOUD_PROJECT: Sample(
        good=("my-project-1", "123456789012", "example.com:my-project"),
        bad=("-a", "A", "a_b", "a b", "a/b", "ä", "a\n", ".."),
        of_length=_letters,
    ),
    fields.CLOUD_REGION: Sample(
        good=("us-east-1", "global", "europe-west4", "us-gov-west-1"),
        bad=("-a", "a-", "US", "a.b", "a/b", "a--b", "1-a", "a b", "ä", "a\n"),
        of_length=_letters,
    ),
    fields.ENTRA_CLIENT: Sample(
        good=("11111111-2222-3333-4444-555555555555", "ABCDEFab-2222-3333-4444-555555555555"),
        bad=(
            *("my-app", "1" * 32, "11111111-2222-3333-4444-55555555555g"),
            "11111111-2222-3333-4444-555555555555\n",
        ),
        of_length=lambda n: "11111111-2222-3333-4444-" + "5" * (n - 24),
    ),
    fields.ENTRA_TENANT: Sample(
        good=("11111111-2222-3333-4444-555555555555", "contoso.onmicrosoft.com", "a"),
        bad=("..", "-a", "a/b", "a_b", "a b", "https://a", "ä", "a\n"),
        of_length=_letters,
    ),
    fields.ISSUER: Sample(
        good=(
            *("https://a", "https://a.b-c_d:65535/v1/", "https://[::1]:80/x", "https://localhost"),
            *("http://localhost", "http://localhost:1/x", "http://127.0.0.1:8080", "http://[::1]/"),
        ),
        bad=(
            *("a", "https://", "http://a", "HTTPS://a", "ftp://a", "https://u@a", "https://a#f", "https://ä"),
            *("https://a?q", "https://a:0", "https://a b", "https://a\n", "http://localhost.a"),
            *("http://127.0.0.1.a", "http://127.0.0.1@a", "http://[::2]"),
        ),
        of_length=lambda n: "https://" + "a" * (n - 8),
    ),
    fields.JWKS_URL: Sample(
        good=("https://a", "https://a/keys?p=b2c_1&x=%20/?", "https://a?", "http://localhost:1/k?p=q"),
        bad=("http://a/keys", "https://a/keys#f", "https://a?ä", "https://a?%zz", "https://a? b"),
        of_length=lambda n: "https://a?" + "a" * (n - 10),
    ),
    fields.DATE_TIME: Sample(
        good=(
            *("2026-12-31T23:59:59Z", "2000-01-01T00:00:00+00:00", "2999-12-31T23:59:59.9-19:59"),
            "2028-02-29T00:00:00.000000001Z",
        ),
        bad=(
            *("2026-12-31", "2026-12-31T23:59:59", "2026-12-31 23:59:59Z", "2026-12-31t23:59:59z", "now"),
            *("2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z"),
            *("2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "1999-01-01T00:00:00Z"),
            *("2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Z\n", "٢٠٢٦"),
        ),
        of_length=lambda n: "2026-12-31T23:59:59." + "1" * (n - 26) + "+01:00",
    ),
    fields.TIME_ZONE: Sample(
        good=("UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia", "Etc/GMT+12", "Asia/Kathmandu"),
        bad=("Local", "Mars/Olympus", "+02:00", "../UTC", "/UTC", "Europe/", "Europe", "a b", "ä", "UTC\n"),
        of_length=lambda n: "America/Argentina/ComodRivadavia" + "a" * (n - 32),
    ),
    fields.CIDR: Sample(
        good=(
            "10.0.0.0/8",
            "10.1.2.3/8",
            "192.0.2.7/32",
            "fd00::/8",
            "::1/128",
            "1:2:3:4:5:6:7:8/99",
            "0.0.0.0/1",
        ),
        bad=(
            *(
                "10.0.0.1",
                "10.0.0.0/0",
                "::/0",
                "10.0.0.0/33",
                "::/129",
                "10.0.0.0/08",
                "256.0.0.0/8",
                "1.2.3/8",
            ),
            *("01.2.3.4/8", "::ffff:1.2.3.4/128", "fe80::1%eth0/64", "a/8", "10.0.0.0/8 ", "10.0.0.0/8\n"),
        ),
        of_length=lambda n: "2001:0db8:0000:0000:0000:0000:0000:0001/128" + "0" * (n - 43),
    ),
    fields.WORD: Sample(
        good=("headgate", "https://headgate.example/api", "realm_access.roles", "!", "~", '"'),
        bad=("a b", "a\t", "a\n", "ä", "\u00a0", "a\x7f", "a\x00"),
        of_length=_letters,
    ),
    fields.ONE_LINE: Sample(
        good=("a", "Forschung & Lehre", " a ", "日本", "\u00a0"),
        bad=(" ", "   ", "a\nb", "a\n", "\n"),
        of_length=_letters,
    ),
    fields.HEADER_NAME: Sample(
        good=("x-team", "X-Team", "x!#$%&'*+.^_`|~0"),
        bad=("x-team:", "x team", "x/team", "ä", "x\n"),
        of_length=_letters,
    ),
    fields.HEADER_VALUE: Sample(
        good=("a", "a b", "~", "!", 'a "b"'),
        bad=(" a", "a ", " ", "a\n", "a\tb", "ä", "a\x7f"),
        of_length=_letters,
    ),
}


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    """Of the field that is at or beyond a bound."""
    value: Any
    """The object."""
    good: bool
    """Whether this field is fine. A rule across fields may still refuse the object."""


def walk_schema(schema: Schema) -> Iterator[Schema]:
    yield schema
    for child in schema.get("properties", {}).values():
        yield from walk_schema(child)
    if "items" in schema:
        yield from walk_schema(schema["items"])


def find_patterns(schema: Schema) -> frozenset[str]:
    """All that its texts must match."""
    nodes = [node for node in walk_schema(schema) if "pattern" in node or _has_long_pattern(node)]
    return frozenset(_pattern(node) for node in nodes)


def _has_long_pattern(node: Schema) -> bool:
    return any(rule["rule"].startswith(_MATCHES) for rule in node.get("x-kubernetes-validations", ()))


def build_cases(schema: Schema, full: Mapping[str, Any]) -> Iterator[Case]:
    """`full`: the whole object; `schema`: of its spec."""
    tried: set[str] = set()
    for steps, node in _walk_fields(schema, full["spec"], ()):
        path = "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        for label, value, good in _build_values(node, _get(full["spec"], steps), tried):
            yield Case(f"{path}-{label}", path, _with(full, ("spec", *steps), value), good)
        for field in node.get("required", ()):
            owner = {key: v for key, v in _get(full["spec"], steps).items() if key != field}
            missing = _with(full, ("spec", *steps), owner)
            yield Case(f"{path}-without-{field}", f"{path}.{field}", missing, good=False)


def _walk_fields(schema: Schema, value: Any, steps: Steps) -> Iterator[tuple[Steps, Schema]]:
    yield steps, schema
    for field, child in schema.get("properties", {}).items():
        if field in value:
            yield from _walk_fields(child, value[field], (*steps, field))
    if "items" in schema:
        yield from _walk_fields(schema["items"], value[0], (*steps, 0))


def _build_values(node: Schema, now: Any, tried: set[str]) -> Iterator[tuple[str, Any, bool]]:
    """Label, value, whether it is good."""
    match node.get("type"):
        case None:
            yield from _build_numbers_and_texts(node, tried)
        case "integer":
            low, high = node["minimum"], node["maximum"]
            yield from (("lowest", low, True), ("highest", high, True), ("below", low - 1, False))
            yield from (
                ("above", high + 1, False),
                ("a-text", str(low), False),
                ("a-fraction", low + 0.5, False),
            )
        case "boolean":
            yield from (("true", True, True), ("false", False, True), ("a-text", "true", False))
            yield "a-number", 1, False
        case "string" if "enum" in node:
            yield from ((f"is-{value}", value, True) for value in node["enum"])
            yield from (
                ("unknown", "unknown", False),
                ("upper-case", now.upper() + "X", False),
                ("empty", "", False),
            )
        case "string":
            yield from _build_texts(node, tried)
        case "array":
            yield from _build_lists(node, now)
            yield "a-text", "text", False
        case "object":
            yield from (("a-text", "text", False), ("a-list", [], False), ("a-number", 1, False))


def _build_texts(node: Schema, tried: set[str]) -> Iterator[tuple[str, Any, bool]]:
    yield from _build_samples(node, tried)
    yield from (("a-number", 7, False), ("true", True, False), ("an-object", {}, False))


def _build_samples(node: Schema, tried: set[str]) -> Iterator[tuple[str, Any, bool]]:
    pattern = _pattern(node)
    sample = SAMPLES[pattern]
    # Once is enough for all samples of a pattern; after that it only matters that the field has it.
    samples = slice(1) if pattern in tried else slice(None)
    tried.add(pattern)
    yield from ((f"good-{i}", value, True) for i, value in enumerate(sample.good[samples]))
    yield from ((f"bad-{i}", value, False) for i, value in enumerate(sample.bad[samples]))
    yield "longest", sample.of_length(node["maxLength"]), True
    yield "too-long", sample.of_length(node["maxLength"] + 1), False
    yield "empty", "", False


def _build_numbers_and_texts(node: Schema, tried: set[str]) -> Iterator[tuple[str, Any, bool]]:
    """Of an int-or-string, which has no type. A number is good here, whatever a text would be."""
    low, high = node["minimum"], node["maximum"]
    yield from (("lowest", low, True), ("highest", high, True), ("below", low - 1, False))
    yield from (("above", high + 1, False), ("beyond-64-bits", 10**20, False), ("a-fraction", 0.5, False))
    yield from ((f"text-{label}", value, good) for label, value, good in _build_samples(node, tried))
    yield from (("true", True, False), ("an-object", {}, False), ("a-list", [], False))


def _build_lists(node: Schema, now: Any) -> Iterator[tuple[str, Any, bool]]:
    most, least = node["maxItems"], node.get("minItems", 0)
    values = node["items"].get("enum", ())
    yield "most-items", list(values) or [_vary(now[0], i) for i in range(most)], True
    # There is no other value left of an enum: the list is too long and has one twice.
    yield "too-many-items", [*values, *values] or [_vary(now[0], i) for i in range(most + 1)], False
    yield "no-items", [], least == 0
    # Only an atomic list may hold the same twice.
    yield "an-item-twice", [now[0], now[0]], node["x-kubernetes-list-type"] == "atomic"


def _vary(item: Any, i: int) -> Any:
    """Another item of the same kind, as far as lists must hold different ones."""
    if isinstance(item, dict):
        if "until" in item:
            return item | {"until": f"{2030 + i}-01-01T00:00:00Z"}
        return item | {"name": f"n{i}"} if "name" in item else item
    return f"10.0.{i}.0/24" if item.endswith("/24") else f"n{i}"


def _pattern(node: Schema) -> str:
    if "pattern" in node:
        return str(node["pattern"])
    rule: str = node["x-kubernetes-validations"][0]["rule"]
    return rule.removeprefix(_MATCHES).removesuffix('")')


def _get(value: Any, steps: Steps) -> Any:
    for step in steps:
        value = value[step]
    return value


def _with(value: Any, steps: Steps, new: Any) -> Any:
    changed = copy.deepcopy(value)
    owner = _get(changed, steps[:-1])
    owner[steps[-1]] = new
    return changed
