"""Which providers a tenant reaches without naming a model."""

import pytest

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.engine.lookup import build_live_table
from tests.contract.tables import build_provider, build_route, build_table, build_target, build_tenant

A, B = ProviderId("chat/a"), ProviderId("chat/b")


def reach(
    models: list[str] | None, *routed: tuple[str, str], namespace: str = "chat"
) -> dict[ProviderId, str]:
    """routed: models and their providers."""
    tenant = build_tenant("hash", models=models, namespace=namespace)
    routes = [
        build_route(model, name=f"r{i}", targets=[build_target(name)])
        for i, (model, name) in enumerate(routed)
    ]
    live = build_live_table(
        build_table(providers=[build_provider("a"), build_provider("b")], routes=routes, tenants=[tenant])
    )
    assert live.reach(tenant) is live.reach(tenant)
    return {provider: route.id for provider, route in live.reach(tenant).items()}


@pytest.mark.parametrize(
    ("models", "reached"),
    [
        (None, {A, B}),
        ([], set()),
        (["gpt"], {A}),
        (["claude-1"], {B}),
        (["claude-*"], {B}),
        (["cl*"], {B}),
        (["*-1"], {B}),
        (["gemini-*"], set()),
        (["g*"], {A}),
    ],
)
def test_a_provider_is_reached_by_a_route_whose_model_is_allowed(
    models: list[str] | None, reached: set[ProviderId]
) -> None:
    assert set(reach(models, ("gpt", "a"), ("claude-*", "b"))) == reached


def test_the_first_route_by_its_id_lends_itself() -> None:
    assert reach(None, ("x", "a"), ("y", "a")) == {A: "chat/r0"}


def test_another_namespace_reaches_nothing_here() -> None:
    assert reach(None, ("x", "a"), namespace="elsewhere") == {}
