"""The wires of the table and their golden pairs, as the tables of `docs/providers.md` need them.

In: `contract.table.WireName`, `wires.build` and `tests/wires/testdata`. A new wire is found by its name and
its folder; nothing has to be said here.

The one subtle rule: wires that read answers with the same code share their pairs. Azure's and Vertex AI's
answers are those of OpenAI and of the Gemini API, and few pairs say so again.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import (
    AzureOptions,
    BedrockOptions,
    Endpoint,
    LitellmOptions,
    VertexOptions,
    WireName,
)
from gateway_runtime.providers.wire import Wire
from gateway_runtime.providers.wires.build import build_wire
from gateway_runtime.providers.wires.litellm.providers import SUPPORTED
from tests.wires.golden import TESTDATA, encode, find_situations
from tests.wires.test_bedrock import frame_events

NAMES: Final[tuple[WireName, ...]] = get_args(WireName)
LITELLM: Final = tuple(sorted(SUPPORTED))
ANY_MODEL: Final = "some-model"

_ENDPOINT: Final = Endpoint(id=EndpointId("docs/provider/default"), url="https://provider.test/v1")


class Pair(NamedTuple):
    path: Path
    """Of what comes in."""
    wire: Wire
    model: str

    @property
    def data(self) -> bytes:
        """What the provider sends."""
        if self.path.suffix != ".json":
            return self.path.read_bytes()
        return frame_events(self.raw["events"]) if "events" in self.raw else encode(self.raw["body"])

    @property
    def raw(self) -> Any:
        return json.loads(self.path.read_text())

    @property
    def is_special(self) -> bool:
        """It answers a question of its own, such as one with a schema."""
        return self.path.suffix == ".json" and "asked" in self.raw

    @property
    def out(self) -> Any:
        """What the hub makes of it."""
        return json.loads(self.path.with_name(self.path.name.partition(".in.")[0] + ".out.json").read_text())


@cache
def make_wire(name: WireName, provider: str = LITELLM[0]) -> Wire:
    """provider: litellm's."""
    return build_wire(
        name,
        AzureOptions(),
        VertexOptions(project="docs", location="global"),
        BedrockOptions(region="us-east-1"),
        LitellmOptions(provider=provider),
        _ENDPOINT,
    )


@cache
def find_models(name: WireName, kind: str = "chat") -> tuple[str, ...]:
    """Those that the golden pairs ask for, that of the plain text first."""
    if name == "litellm":
        return (ANY_MODEL,)
    paths = sorted(
        (TESTDATA / name).glob(f"{kind}-*.in.json"), key=lambda p: (p.name != "chat-text.in.json", p)
    )
    return tuple(dict.fromkeys(json.loads(path.read_text())["target"]["model"] for path in paths))


@cache
def find_pairs(kind: str, name: WireName) -> tuple[Pair, ...]:
    """kind: `answer`, `stream`, `error`. Those of the wires that read alike, spoken by this one."""
    return tuple(
        Pair(path, _wire_of(path, name), find_models(name)[0])
        for alike in NAMES
        if reads_alike(alike, name)
        for path in find_situations(alike)
        if path.name.startswith(f"{kind}-")
    )


def reads_alike(name: WireName, other: WireName) -> bool:
    one, two = type(make_wire(name)), type(make_wire(other))
    return one.read_chat is two.read_chat and one.open_chat is two.open_chat


def _wire_of(path: Path, name: WireName) -> Wire:
    """litellm's pairs have the provider as the second word of their names."""
    return make_wire(name, path.name.split("-")[1] if name == "litellm" else LITELLM[0])
