"""A table of an operator that knows less than this gateway: what it does not say is as it was before."""

import json

from gateway_runtime.contract.codec import assemble_table, build_snapshot, parse_bucket
from gateway_runtime.contract.table import Model, RoutingTable
from tests.contract.tables import build_provider, build_route, build_table, build_target

NEWER = {"strategy", "panic_percent", "fallbacks", "hedge", "causes", "budget_percent"} | {
    "slow_call_s",
    "slow_call_percent",
    "max_open_percent",
    "stream_usage",
    "price",
}


def age(value: object) -> object:
    """The same JSON without the fields that came later."""
    if isinstance(value, dict):
        return {key: age(child) for key, child in value.items() if key not in NEWER}
    return [age(item) for item in value] if isinstance(value, list) else value


def test_an_older_table_parses_and_means_what_it_meant() -> None:
    provider = build_provider(models=[Model(name="gpt", upstream_name="gpt-2026")])
    table = build_table(providers=[provider], routes=[build_route("gpt", targets=[build_target()])])
    payloads = [bucket.payload for bucket in build_snapshot(table).buckets]
    aged = [json.dumps(age(json.loads(payload))).encode() for payload in payloads]
    older: RoutingTable = assemble_table(resource for payload in aged for resource in parse_bucket(payload))
    route, circuit = older.routes[0], older.providers[0].circuit

    assert older == table
    assert (route.strategy, route.panic_percent, route.fallbacks, route.hedge) == ("Weighted", 0, (), None)
    assert (route.retry.causes, route.retry.budget_percent) == (None, 20)
    assert (circuit.slow_call_percent, circuit.max_open_percent) == (0, 100)
    assert older.providers[0].models[0].price is None
    assert not NEWER & set(json.dumps([json.loads(payload) for payload in aged]).split('"'))
