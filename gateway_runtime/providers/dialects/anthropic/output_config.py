"""How an answer shall look and how hard the model shall try: `output_config`, and `output_format`, the older
name of its `format`.

    effort      -> `reasoning_effort`. Anthropic's scale ends one step later: `max` is the hub's `xhigh`
    format      -> `response_format`, strict: Anthropic guarantees that an answer fits its schema
    all others  -> told by their place, `output_config.task_budget`

Formats: https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs and .../effort.
"""

from typing import Final, Literal

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import ABSENT, JsonSchema, ResponseFormat, is_there

_SCHEMA_NAME: Final = "answer"
"""OpenAI wants one, Anthropic has none."""


class OutputFormat(msgspec.Struct):
    type: Literal["json_schema"]
    schema: msgspec.Raw = ABSENT


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: OutputFormat | None = None


_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def build_effort(config: OutputConfig | None) -> str | None:
    effort = None if config is None else config.effort
    return "xhigh" if effort == "max" else effort


def build_format(config: OutputConfig | None, older: OutputFormat | None) -> ResponseFormat | None:
    """older: `output_format`. Raises GatewayError MALFORMED_BODY."""
    asked, where = older, "output_format"
    if config is not None and config.format is not None:
        asked, where = config.format, "output_config.format"
    if asked is None:
        return None
    if not is_there(asked.schema):
        raise GatewayError(ErrorCode.MALFORMED_BODY, f"`{where}` does not fit: its `schema` is missing.")
    return ResponseFormat("json_schema", JsonSchema(_SCHEMA_NAME, schema=asked.schema, strict=True))


def find_unknown(config: msgspec.Raw) -> list[str]:
    """The places of what the hub does not know. config: the member as the caller wrote it, an object."""
    return [
        f"output_config.{name}"
        for name, value in _members_decoder.decode(config).items()
        if name not in OutputConfig.__struct_fields__ and is_there(value)
    ]
