"""litellm's translations, timed without a gateway, beside which `bench.providers` puts Headgate's own.

    python -m bench.providers_litellm PORT    the mock's; prints `Costs` as JSON

A process of its own, since importing litellm changes any process: 190 MB, its log handler, its settings. Its
transformers serve as pure functions, as for Headgate's providers of type litellm: no client, no router, no
callbacks. What its client does beside them is not counted, so that these figures are the least that litellm
could cost. What surrounds them in a gateway is ours and cheap: the framing of streams, JSON by msgspec, and a
copy of the messages, which some transformers change.
"""

import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

import msgspec

from bench.providers.bodies import build_chat
from bench.providers.cases import ACCESS_KEY_ID, NATIVE, REGION, SECRET_ACCESS_KEY, Case
from bench.providers.in_process import Cost, Costs, calm, fetch, time_us
from bench.speed.process import HOST
from bench.speed.streams import CHUNKS

_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it GETs the price list at import
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",  # else it GETs a list of them at first use
    "LITELLM_MODE": "PRODUCTION",  # else it loads a `.env` file
}
_OUTSIDE = frozenset({"model", "messages", "stream", "stream_options"})
"""Of a request: what is not given to litellm as a parameter."""
_PATHS = {
    "anthropic": "/messages",
    "google": "/models/{model}:generateContent",
    "bedrock": "/model/{model}/converse",
    "cohere": "/chat",
    "ollama": "/chat",
}
_STREAM_PATHS = {
    **_PATHS,
    "google": "/models/{model}:streamGenerateContent?alt=sse",
    "bedrock": "/model/{model}/converse-stream",
}


class Unread(RuntimeError):
    """litellm understood less of a stream than was in it."""


class NoLog:
    """For litellm's Logging object: as much of it as transformers touch."""

    def __init__(self, optional_params: dict[str, Any]) -> None:
        self.model_call_details: dict[str, Any] = {"input": None, "litellm_params": {}}
        self.litellm_params: dict[str, Any] = {}
        self.optional_params = optional_params
        self.stream_options = None
        self.messages = None

    def _ignore(self, *_: object, **__: object) -> None: ...

    pre_call = post_call = debug = warning = _ignore


class Answer:
    """For httpx's Response, which costs more."""

    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012
    request = None

    def __init__(self, content: bytes, loads: Callable[[bytes], Any]) -> None:
        self.content = content
        self._loads = loads

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self, **_: object) -> Any:
        return self._loads(self.content)


class Translator:
    """One provider through litellm."""

    def __init__(self, case: Case, port: int, tools: SimpleNamespace) -> None:
        assert case.foreign is not None
        self.case = case
        self.tools = tools
        self.url = f"http://{HOST}:{port}{case.base}"
        self.config = tools.find_config(model=case.model, provider=tools.providers(case.foreign))
        self.supported = frozenset(self.config.get_supported_openai_params(case.model) or ())
        # `map_openai_params` asks for it again at each request; this one, a gateway could keep.
        self.path = _PATHS[case.wire].format(model=case.model)
        self.messages: list[dict[str, Any]] = []
        self.optional: dict[str, Any] = {}
        self.data: dict[str, Any] = {}

    def build(self, body: bytes) -> bytes:
        """The provider's body, with the headers made, too."""
        request = self.tools.loads(body)  # read anew, and so a copy
        stream = bool(request.get("stream"))
        self.messages = request["messages"]
        wanted = {name: request[name] for name in request.keys() - _OUTSIDE if name in self.supported}
        self.optional = self.config.map_openai_params(
            non_default_params=wanted, optional_params={}, model=self.case.model, drop_params=True
        )
        return self._FINISH[self.case.wire](self, stream)

    def _finish_plain(self, stream: bool) -> bytes:
        url = self.url + self.path
        given: dict[str, Any] = {
            "model": self.case.model,
            "messages": self.messages,
            "optional_params": self.optional,
            "litellm_params": {},
        }
        headers = self.config.validate_environment(headers={}, api_key=self.case.key, api_base=url, **given)
        self.data = self.config.transform_request(headers=headers, **given)
        if stream:
            self.data["stream"] = True
        return self.tools.dumps(self.data)

    def _finish_google(self, stream: bool) -> bytes:
        self.data = self.tools.build_gemini(
            messages=self.messages,
            model=self.case.model,
            optional_params=self.optional,
            custom_llm_provider="gemini",
            litellm_params={},
            cached_content=None,
        )
        return self.tools.dumps(self.data)

    def _finish_bedrock(self, stream: bool) -> bytes:
        self.data = self.config.transform_request(
            model=self.case.model,
            messages=self.messages,
            optional_params=self.optional,
            litellm_params={},
            headers={},
        )
        body = self.tools.dumps(self.data)
        self.tools.aws.get_request_headers(
            credentials=self.tools.credentials,
            aws_region_name=REGION,
            extra_headers=None,
            endpoint_url=self.url + self.path,
            data=body,
            headers={"Content-Type": "application/json"},
            api_key=None,
        )
        return body

    _FINISH = {  # noqa: RUF012
        "anthropic": _finish_plain,
        "google": _finish_google,
        "bedrock": _finish_bedrock,
        "cohere": _finish_plain,
        "ollama": _finish_plain,
    }

    def read(self, content: bytes) -> bytes:
        answer = self.config.transform_response(
            model=self.case.model,
            raw_response=Answer(content, self.tools.loads),
            model_response=self.tools.make_answer(),
            logging_obj=NoLog(self.optional),
            request_data=self.data,
            messages=self.messages,
            optional_params=self.optional,
            litellm_params={},
            encoding=None,
            api_key=self.case.key,
            json_mode=False,
        )
        return self.tools.dumps(answer.model_dump(exclude_none=True))

    def feed(self, stream: bytes) -> int:
        """The number of chunks that came out, each written as JSON."""
        parse = self._open_parser()
        count = 0
        for event in self._cut(stream):
            chunk = parse(event)
            if chunk is None:
                continue
            self.tools.dumps(chunk if isinstance(chunk, dict) else chunk.model_dump(exclude_none=True))
            count += 1
        return count

    def _open_parser(self) -> Callable[[dict[str, Any]], Any]:
        tools = self.tools
        match self.case.wire:
            case "anthropic":
                return tools.anthropic_iterator(None, sync_stream=True, json_mode=False).chunk_parser
            case "google":
                log = NoLog(self.optional)
                return tools.gemini_iterator(None, sync_stream=True, logging_obj=log).chunk_parser
            case "bedrock":
                return tools.bedrock_decoder(model=self.case.model, json_mode=False).chunk_parser
        return self.config.get_model_response_iterator(
            streaming_response=iter(()), sync_stream=True, json_mode=False
        ).chunk_parser

    def _cut(self, stream: bytes) -> Iterator[dict[str, Any]]:
        loads = self.tools.loads
        if self.case.wire == "bedrock":
            decoder = self.tools.bedrock_decoder(model=self.case.model, json_mode=False)
            buffer = self.tools.event_buffer()
            buffer.add_data(stream)
            for event in buffer:
                message = decoder._parse_message_from_event(event)
                if message:
                    yield loads(message)
            return
        for line in stream.splitlines():
            if line.startswith(b"data:"):
                yield loads(line[5:])
            elif line.startswith(b"{"):
                yield loads(line)


def load_tools() -> SimpleNamespace:
    """Imports litellm. Raises ImportError, AttributeError."""
    os.environ.update(_QUIET)
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)  # it would take the signature's place
    litellm = import_module("litellm")
    litellm.suppress_debug_info = True
    litellm.drop_params = True
    litellm.verbose_logger.disabled = True
    llms, types = "litellm.llms", import_module("litellm.types.utils")
    google = import_module(f"{llms}.vertex_ai.gemini.vertex_and_google_ai_studio_gemini")
    return SimpleNamespace(
        loads=msgspec.json.decode,
        dumps=msgspec.json.encode,
        find_config=litellm.ProviderConfigManager.get_provider_chat_config,
        providers=types.LlmProviders,
        make_answer=types.ModelResponse,
        build_gemini=import_module(f"{llms}.vertex_ai.gemini.transformation").transform_request_body,
        gemini_iterator=google.ModelResponseIterator,
        anthropic_iterator=import_module(f"{llms}.anthropic.chat.handler").ModelResponseIterator,
        bedrock_decoder=import_module(f"{llms}.bedrock.chat.invoke_handler").AWSEventStreamDecoder,
        aws=import_module(f"{llms}.bedrock.base_aws_llm").BaseAWSLLM(),
        event_buffer=import_module("botocore.eventstream").EventStreamBuffer,
        credentials=import_module("botocore.credentials").Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
    )


def measure(case: Case, port: int, tools: SimpleNamespace) -> Cost:
    translator = Translator(case, port, tools)
    chat = build_chat(case.model)
    stream_path = _STREAM_PATHS[case.wire].format(model=case.model)
    streamed = fetch(port, case.base + stream_path, translator.build(build_chat(case.model, chunks=CHUNKS)))
    answer = fetch(port, case.base + translator.path, translator.build(chat))
    if translator.feed(streamed) < CHUNKS or b"liveness" not in translator.read(answer):
        raise Unread(f"{case.name}: {translator.feed(streamed)} chunks; {translator.read(answer)!r}")
    request_us = time_us(lambda: translator.build(chat))
    answer_us = time_us(lambda: translator.read(answer))
    return Cost(request_us, answer_us, time_us(lambda: translator.feed(streamed)) / CHUNKS)


def main(port: int) -> None:
    try:
        installed = f"litellm {version('litellm')}"
        tools = load_tools()
    except PackageNotFoundError:
        costs = Costs(absent="litellm is not installed")
    except (ImportError, AttributeError) as error:
        costs = Costs(absent=f"{installed} does not load: {error}")
    else:
        calm()
        costs = Costs({case.wire: measure(case, port, tools) for case in NATIVE}, version=installed)
    sys.stdout.buffer.write(msgspec.json.encode(costs))


if __name__ == "__main__":
    main(int(sys.argv[1]))
