"""Headgate's own translations, timed without a gateway. `python -m bench.providers.own PORT`, the mock's.

Every call goes the way of a request: read the caller's body, translate, sign; read the answer and write it
for the caller; feed a stream of the mock, as it would come in one piece.
"""

import sys
from typing import Final

import msgspec

from bench.providers.bodies import build_chat
from bench.providers.cases import NATIVE, Case
from bench.providers.in_process import Cost, Costs, calm, fetch, time_us
from bench.speed.process import HOST
from bench.speed.streams import CHUNKS
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Endpoint
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.models.facts import load_facts
from gateway_runtime.providers.operations import CHAT
from gateway_runtime.providers.request_body import read_body
from gateway_runtime.providers.translation import Question, Translation, translate
from gateway_runtime.providers.wire import Target
from gateway_runtime.providers.wires.build import build_wire

_UNIX_S: Final = 1_760_000_000


class BrokenTranslation(RuntimeError):
    """The mock's answer was not understood."""


def measure(case: Case, port: int) -> Cost:
    url = f"http://{HOST}:{port}{case.base}"
    endpoint = Endpoint(id=EndpointId("default/bench/default"), url=url)
    wire = build_wire(case.wire, None, None, case.bedrock, None, endpoint)
    target, stamp, secret = Target(case.model), Stamp("req_bench", _UNIX_S, case.model), Secret(case.key)

    def ask(body: bytes) -> Translation:
        translation = translate(Question(CHAT, read_body(body), {}), wire, target, stamp, ask_usage=True)
        outgoing = translation.outgoing
        wire.authorize(secret, outgoing, url + outgoing.path, _UNIX_S)
        return translation

    chat, stream = build_chat(case.wire), build_chat(case.wire, chunks=CHUNKS)
    whole, streamed = ask(chat), ask(stream)
    answer = fetch(port, case.base + whole.outgoing.path, whole.outgoing.body)
    pieces = fetch(port, case.base + streamed.outgoing.path, streamed.outgoing.body)

    def read() -> None:
        if whole.read_answer(answer).fault is not None:
            raise BrokenTranslation(f"{case.name}: {whole.read_answer(answer).fault}")

    def feed() -> None:
        reader = streamed.open_stream()
        reader.feed(pieces)
        reader.finish()
        if not reader.done or reader.events < CHUNKS:
            raise BrokenTranslation(f"{case.name}: {reader.events} events, {reader.fault}")

    return Cost(time_us(lambda: ask(chat)), time_us(read), time_us(feed) / CHUNKS)


def main(port: int) -> None:
    load_facts()
    calm()
    costs = Costs({case.wire: measure(case, port) for case in NATIVE})
    sys.stdout.buffer.write(msgspec.json.encode(costs))


if __name__ == "__main__":
    main(int(sys.argv[1]))
