"""A JSON schema for Converse: as the caller wrote it in, as the text that Bedrock takes out.

`outputConfig.textFormat` wants the schema as a string, with `additionalProperties: false` at each object:
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html. Strict schemas of OpenAI's say so
themselves.

The subtle rule: closing an object takes nothing from the caller. All that fits the closed schema fits the
open one.
"""

from typing import Final, TypeAlias

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError

_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | int | float | bool | None"

_BY_NAME: Final = frozenset({"properties", "$defs", "definitions"})
"""Members that hold schemas by names of the caller's."""
_NESTED: Final = frozenset({"items", "anyOf", "allOf", "oneOf"})

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def build_schema(schema: msgspec.Raw) -> str:
    """schema: valid JSON. Raises GatewayError MALFORMED_BODY where it nests too deep to be read."""
    try:
        value: _Json = _decoder.decode(schema)
        return _encoder.encode(_close(value)).decode()
    except RecursionError as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, "`response_format.json_schema.schema` does not fit: it nests too deep."
        ) from error


def _close(schema: _Json) -> _Json:
    if isinstance(schema, list):
        return [_close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, _Json] = {}
    for name, value in schema.items():
        if name in _NESTED:
            closed[name] = _close(value)
        elif name in _BY_NAME and isinstance(value, dict):
            closed[name] = {key: _close(item) for key, item in value.items()}
        else:
            closed[name] = value
    kind = closed.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        closed.setdefault("additionalProperties", False)
    return closed
