"""litellm itself: the one module that imports it. Nothing in, the few functions of it that a wire calls out,
as typed as they get.

`LitellmWire` calls `load_litellm` when it is made, which is when a table is loaded: the import takes two
seconds of CPU and 160 MB, and would stop every other request if it came with one. A gateway without such a
provider never imports it.

This module alone in `providers` touches the process's environment. litellm reads settings from it at import
and at each request: it would fetch a price list from the network, load a `.env` file, and let variables
replace keys and hosts that were given to it. So the settings that keep it still are set first, and the
variables that override something are removed, from this process only.

The one subtle rule: exactly one version will do. Its functions move from release to release, some of them in
what they do and not in their signature; the tests ran against the pinned one.
"""

import importlib
import importlib.metadata
import inspect
import os
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from functools import cache
from types import ModuleType
from typing import Final, NamedTuple, Protocol, TypeAlias

from gateway_runtime.providers.wires.litellm.providers import SUPPORTED

Json: TypeAlias = dict[str, object]

VERSION: Final = "1.106.2"
"""As `pyproject.toml` pins it."""
REMEDY: Final = "pip install 'headgate[litellm]'"

SETTINGS: Final = {
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",  # else it GETs a list of them at first use
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it GETs the price list at import
    "LITELLM_MODE": "PRODUCTION",  # else it loads a `.env` file into the environment
}
_OVERRIDES: Final = frozenset(
    {"AWS_BEARER_TOKEN_BEDROCK", "HF_API_BASE", "LITELLM_RUST", "USE_LITELLM_PROXY"}
)
_OVERRIDING: Final = tuple(
    sorted(
        {f"{name.upper().replace('-', '_')}_" for name in (*SUPPORTED, "openai", "openai_like", "watsonx")}
    )
)
"""`DATABRICKS_CLIENT_SECRET`, `GROQ_API_KEY`, `MISTRAL_AZURE_API_BASE`: whatever bears a provider's name."""


class LitellmMissing(Exception):
    """litellm is not installed, or not as the gateway needs it. The message has the remedy."""


class Dumped(Protocol):
    def model_dump(self, *, exclude_none: bool, warnings: bool) -> Json:
        """warnings: that its own members are not as it declares them, which they are not."""


class ChunkParser(Protocol):
    """Of one stream: it keeps what it has seen."""

    def chunk_parser(self, chunk: Json) -> Dumped | Json: ...


class Config(Protocol):
    """What litellm knows of one provider. It keeps nothing of a request."""

    supports_stream_param_in_request_body: bool

    def get_supported_openai_params(self, model: str) -> list[str] | None: ...

    def map_openai_params(
        self, *, non_default_params: Json, optional_params: Json, model: str, drop_params: bool
    ) -> Json: ...

    def validate_environment(
        self,
        *,
        headers: dict[str, str],
        model: str,
        messages: list[Json],
        optional_params: Json,
        litellm_params: Json,
        api_key: str,
        api_base: str,
    ) -> Mapping[str, str]:
        """The headers of a request, with its key."""

    def get_complete_url(
        self,
        *,
        api_base: str,
        api_key: str,
        model: str,
        optional_params: Json,
        litellm_params: Json,
        stream: bool,
    ) -> str: ...

    def transform_request(
        self,
        *,
        model: str,
        messages: list[Json],
        optional_params: Json,
        litellm_params: Json,
        headers: dict[str, str],
    ) -> Json: ...

    def transform_response(
        self,
        *,
        model: str,
        raw_response: object,
        model_response: object,
        logging_obj: object,
        request_data: Json,
        messages: list[Json],
        optional_params: Json,
        litellm_params: Json,
        encoding: None,
        api_key: str,
        json_mode: bool | None,
    ) -> Dumped: ...

    def get_model_response_iterator(
        self, *, streaming_response: object, sync_stream: bool, json_mode: bool | None
    ) -> ChunkParser | None: ...


_CALLED: Final = (
    (Config.get_supported_openai_params, "get_supported_openai_params"),
    (Config.map_openai_params, "map_openai_params"),
    (Config.validate_environment, "validate_environment"),
    (Config.get_complete_url, "get_complete_url"),
    (Config.transform_request, "transform_request"),
    (Config.transform_response, "transform_response"),
    (Config.get_model_response_iterator, "get_model_response_iterator"),
)


class Litellm(NamedTuple):
    find_config: Callable[[str, str], Config | None]
    """provider, model. None: it has none for a chat."""
    make_answer: Callable[[], Dumped]
    """An empty answer, which `transform_response` fills."""
    json_tool: str
    """The name of the tool that stands for a JSON schema where the provider has tools and no schemas."""


def load_litellm() -> Litellm:
    """Imports it once per process, and quietens the environment each time. Raises LitellmMissing."""
    check_version(find_version("litellm"))
    quieten(os.environ)
    return _load_once()


@cache
def _load_once() -> Litellm:
    return build_litellm(importlib.import_module)


def build_litellm(load: Callable[[str], ModuleType]) -> Litellm:
    """load: imports a module by its name. Raises LitellmMissing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # pydantic's, of litellm's models: nothing that a user could do about
            return _collect(load)
    except (ImportError, AttributeError) as error:
        words = f"litellm {VERSION} does not load: {error}. Install it anew: {REMEDY}"
        raise LitellmMissing(words) from error


def _collect(load: Callable[[str], ModuleType]) -> Litellm:
    litellm, types = load("litellm"), load("litellm.types.utils")
    # What it would refuse is found before it is asked.
    vars(litellm).update(suppress_debug_info=True, drop_params=True)
    litellm.verbose_logger.disabled = True  # it warns of models that it has not heard of, at each request
    find = litellm.ProviderConfigManager.get_provider_chat_config
    providers = types.LlmProviders
    make_answer: Callable[[], Dumped] = types.ModelResponse
    make_chunk: Callable[[], Dumped] = types.ModelResponseStream
    json_tool: str = load("litellm.constants").RESPONSE_FORMAT_TOOL_NAME
    for make in (make_answer, make_chunk):
        # pydantic builds their validators at first use, in a tenth of a second.
        make().model_dump(exclude_none=True, warnings=False)

    def find_config(provider: str, model: str) -> Config | None:
        found: Config | None = find(model=model, provider=providers(provider))
        return found

    return Litellm(find_config, make_answer, json_tool)


def find_version(package: str) -> str | None:
    """As it is installed. None: it is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_version(installed: str | None) -> None:
    """Raises LitellmMissing."""
    if installed is None:
        raise LitellmMissing(f"providers of type litellm need litellm, which is not installed: {REMEDY}")
    if installed != VERSION:
        raise LitellmMissing(
            f"providers of type litellm need litellm {VERSION}, and {installed} is installed: {REMEDY}"
        )


def check_config(config: Config) -> None:
    """Raises LitellmMissing when a function of it cannot be called as a wire does."""
    for ours, name in _CALLED:
        called = [parameter for parameter in inspect.signature(ours).parameters if parameter != "self"]
        theirs: object = getattr(config, name, None)
        where = f"litellm's {type(config).__name__}.{name}"
        if not callable(theirs):
            raise LitellmMissing(f"{where} is not there, as it is in version {VERSION}: {REMEDY}")
        try:
            inspect.signature(theirs).bind(**dict.fromkeys(called))
        except TypeError as error:
            raise LitellmMissing(f"{where} is not as in version {VERSION} ({error}): {REMEDY}") from error


def quieten(environ: MutableMapping[str, str]) -> None:
    """environ: of the process. Sets what keeps litellm off the network; removes what would override keys and
    hosts.
    """
    environ.update(SETTINGS)
    for name in [*environ]:
        if name in _OVERRIDES or name.startswith(_OVERRIDING):
            del environ[name]
