"""Answers and events that are not in OpenAI's shape: litellm's transformers make it of them.

Databricks writes reasoning and text as a list of content blocks, for one
(https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models). In: the provider's
JSON. Out: the same in OpenAI's shape, for `answer` and `stream` to read, or None where litellm raised.

The subtle rule: litellm's transformers expect an HTTP response and a logging object, of which they touch
little. The two classes here are that little.
"""

import msgspec

from gateway_runtime.providers.wires.litellm.load import ChunkParser, Config, Json, Litellm

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, object])


class _Response:
    """As much of an httpx.Response as transformers look at."""

    status_code = 200
    request = None

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.headers: dict[str, str] = {}

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    def json(self) -> Json:
        return _decoder.decode(self.content)


class _Log:
    """As much of litellm's logging object: it takes everything and keeps nothing."""

    def __init__(self) -> None:
        self.model_call_details: Json = {}
        self.litellm_params: Json = {}
        self.optional_params: Json = {}

    def pre_call(self, **ignored: object) -> None: ...

    def post_call(self, **ignored: object) -> None: ...


def translate_answer(litellm: Litellm, config: Config, body: bytes) -> bytes | None:
    """None: litellm can make nothing of it either."""
    try:
        answer = config.transform_response(
            model="",
            raw_response=_Response(body),
            model_response=litellm.make_answer(),
            logging_obj=_Log(),
            request_data={},
            messages=[],
            optional_params={},
            litellm_params={},
            encoding=None,
            api_key="",
            json_mode=None,
        )
        return _encoder.encode(answer.model_dump(exclude_none=True, warnings=False))
    except Exception:
        # Whatever comes out of a stranger's code for a stranger's body: the answer is not what was asked for.
        return None


def open_parser(config: Config) -> ChunkParser | None:
    try:
        return config.get_model_response_iterator(
            streaming_response=iter(()), sync_stream=True, json_mode=None
        )
    except Exception:
        return None


def translate_event(parser: ChunkParser, data: bytes) -> bytes | None:
    """None: litellm can make nothing of it either."""
    try:
        chunk = parser.chunk_parser(_decoder.decode(data))
        return _encoder.encode(
            chunk if isinstance(chunk, dict) else chunk.model_dump(exclude_none=True, warnings=False)
        )
    except Exception:
        return None
