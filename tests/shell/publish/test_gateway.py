"""The publisher and the gateway's own end of the stream, together."""

import asyncio
from pathlib import Path

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import Version
from gateway_runtime.server.main import Gateway
from gateway_runtime.server.settings import GatewaySettings
from tests.shell.publish.conftest import Bench
from tests.shell.publish.fakes import make_provider, make_table


def build_settings(leader: Bench, folder: Path, name: str = "gw-1") -> GatewaySettings:
    (folder / "token").write_text(leader.kube.admit(pod=name))
    (folder / "ca.crt").write_bytes(leader.kube.secrets["headgate-ca-bundle"].data["ca.crt"])
    return GatewaySettings(
        name=GatewayId(name),
        port=0,
        admin_port=0,
        operator_urls=(f"wss://127.0.0.1:{leader.publisher.port}",),
        operator_ca_file=folder / "ca.crt",
        token_file=folder / "token",
        state_dir=folder / "state",
    )


async def test_a_real_gateway_follows_every_edit_and_a_change_of_leader(
    leader: Bench, tmp_path: Path
) -> None:
    def publish(generation: int) -> Version:
        table = make_table(make_provider(1, generation), make_provider(2))
        published = leader.publisher.publish(table, shrink_confirmed=False)
        assert published is not None
        return published.version

    async def wait_acked(version: Version) -> None:
        await leader.wait_change(lambda change: change.event == "Acked" and change.version == version)

    gateway = Gateway(build_settings(leader, tmp_path))
    await gateway.start()
    try:
        for generation in range(1, 4):
            await wait_acked(publish(generation))
        leader.changes.clear()
        await leader.publisher.become_leader(0)
        await wait_acked(publish(3))
        await leader.wait_change(lambda change: len(change.endpoints) == 2)
        view = leader.publisher.views()[0]
    finally:
        await gateway.stop(drain_s=0)

    assert gateway.version == Version(2, 1)
    assert (view.gateway, view.connected, view.applied, view.refused) == ("gw-1", True, Version(2, 1), None)
    assert set(view.reports) == {"team/p00001/default", "team/p00002/default"}


async def test_a_real_gateway_refuses_a_sharp_loss_until_it_is_confirmed(
    leader: Bench, tmp_path: Path
) -> None:
    full, rest = make_table(*map(make_provider, range(12))), make_table(make_provider(1))
    gateway = Gateway(build_settings(leader, tmp_path))
    await gateway.start()
    try:
        leader.publisher.publish(full, shrink_confirmed=False)
        await leader.wait_event("Acked")
        leader.publisher.publish(rest, shrink_confirmed=False)
        await leader.wait_event("Refused")
        refused = leader.publisher.views()[0].refused
        before = gateway.version
        leader.publisher.publish(rest, shrink_confirmed=True)
        await leader.wait_event("Acked")
    finally:
        await gateway.stop(drain_s=0)

    assert refused is not None
    assert refused.faults[0].message == (
        "version 1.2 has 1 providers where 12 are running, and the operator did not confirm the loss"
    )
    assert (before, gateway.version) == (Version(1, 1), Version(1, 2))


async def test_a_real_gateway_starts_from_the_bootstrap_while_no_operator_answers(
    leader: Bench, tmp_path: Path
) -> None:
    leader.publisher.publish(make_table(make_provider(1)), shrink_confirmed=False)
    first = "headgate-bootstrap-0"
    await leader.kube.wait_written(lambda: "part-000" in leader.kube.secrets[first].data)
    folder = tmp_path / "bootstrap"
    folder.mkdir()
    for key, value in leader.kube.secrets[first].data.items():
        await asyncio.to_thread((folder / key).write_bytes, value)
    gateway = Gateway(GatewaySettings(name=GatewayId("gw-1"), port=0, admin_port=0, bootstrap_dir=folder))
    await gateway.start()
    try:
        assert gateway.version == Version(1, 1)
    finally:
        await gateway.stop(drain_s=0)
