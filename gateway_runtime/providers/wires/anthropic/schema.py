"""JSON Schema as Anthropic's structured outputs take it: a caller's in, the same without what they refuse
out.

    additionalProperties absent     false: it is demanded, and OpenAI's strict mode demands it as well
    oneOf                           anyOf: of what is written token by token, only one comes about anyway
    minimum, maxLength, ...         lost, but said in the description, as Anthropic's own SDKs do

https://platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON Schema limitations). What
else Anthropic refuses, such as a schema that refers to itself, it says itself.

The subtle rule: a keyword's name may also be the name of a property, so keywords are looked for in schemas
alone, never in what `properties`, `enum`, `const` or `default` hold.
"""

from typing import Final, TypeAlias

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses

_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | int | float | bool | None"

_UNENFORCED: Final = frozenset(
    {
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "multipleOf",
        "uniqueItems",
    }
)
_MAPS: Final = frozenset({"properties", "$defs", "definitions"})
"""Hold schemas by name."""
_LISTS: Final = frozenset({"anyOf", "allOf", "oneOf"})

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def build_schema(raw: msgspec.Raw, where: str, losses: Losses) -> dict[str, _Json]:
    """where: the member that it is, for messages. Raises GatewayError: MALFORMED_BODY when it is no object,
    UNSUPPORTED through `losses`.
    """
    try:
        schema: _Json = _decoder.decode(raw)
        if isinstance(schema, dict):
            return _build(schema, where, losses)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise GatewayError(ErrorCode.MALFORMED_BODY, f"`{where}` must be a JSON Schema: an object.")


def _build(schema: dict[str, _Json], where: str, losses: Losses) -> dict[str, _Json]:
    built: dict[str, _Json] = {}
    unenforced: list[str] = []
    for name, value in schema.items():
        place = f"{where}.{name}"
        if name in _UNENFORCED and not (name == "minItems" and value in (0, 1)):
            losses.add(place, "structured outputs do not enforce it")
            unenforced.append(f"{name}: {_encoder.encode(value).decode()}")
        elif name == "additionalProperties" and value is not False:
            losses.add(place, "in structured outputs it is always false")
        elif name in _MAPS and isinstance(value, dict):
            built[name] = {key: _build_any(inner, f"{place}.{key}", losses) for key, inner in value.items()}
        elif name in _LISTS and isinstance(value, list):
            built["anyOf" if name == "oneOf" else name] = [
                _build_any(inner, f"{place}[{index}]", losses) for index, inner in enumerate(value)
            ]
        elif name == "items":
            built[name] = _build_any(value, place, losses)
        else:
            built[name] = value
    kind = schema.get("type")
    if "properties" in schema or kind == "object" or (isinstance(kind, list) and "object" in kind):
        built["additionalProperties"] = False
    if unenforced:
        words = "{" + ", ".join(unenforced) + "}"
        told = schema.get("description")
        built["description"] = f"{told}\n\n{words}" if isinstance(told, str) and told else words
    return built


def _build_any(schema: _Json, where: str, losses: Losses) -> _Json:
    return _build(schema, where, losses) if isinstance(schema, dict) else schema
