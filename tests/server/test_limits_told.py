"""What a gateway tells of its tenants: to the operator over the config stream, to a scraper at its port."""

from pathlib import Path

from gateway_runtime.contract.health import HealthReport, TenantReport
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.operatorend import OperatorEnd, build_deltas
from tests.server.rig import provider, serving, table, tenant
from tests.server.test_config_stream import connected, give

RPM = Limit(name="rpm", amount=2, window_s=60)


async def hear_tenant(end: OperatorEnd) -> TenantReport:
    """The next that is told."""
    while not (report := await end.hear(HealthReport)).tenants:
        pass
    (told,) = report.tenants
    return told


async def test_what_a_tenant_has_used_is_told_with_its_keys(tmp_path: Path, fake: FakeProvider) -> None:
    served = table(provider(fake.url), tenants=[tenant(limits=[RPM])])
    async with connected(tmp_path) as (rig, end):
        await give(end, *build_deltas(served, Version(1, 1)))
        before = await hear_tenant(end)
        statuses = [(await rig.ask()).status for _ in range(3)]
        while (after := await hear_tenant(end)).limits[0].used < 2:
            pass

    (then,), (now,) = before.limits, after.limits
    assert statuses == [200, 200, 429]
    assert (then.used, then.resets_unix_s, before.keys) == (0, None, ())
    assert (now.name, now.amount, now.used, now.held, now.shared) == ("rpm", 2, 2, 0, False)
    assert [len(key.key_id) for key in after.keys] == [12]


async def test_a_gateway_that_dials_again_tells_of_its_tenants_anew(
    tmp_path: Path, fake: FakeProvider
) -> None:
    served = table(provider(fake.url), tenants=[tenant(limits=[RPM])])
    async with connected(tmp_path) as (_, end):
        await give(end, *build_deltas(served, Version(1, 1)))
        first = await hear_tenant(end)
        await end.hang_up()
        second = await hear_tenant(end)

    assert first == second


async def test_a_limit_that_refuses_is_told_of_by_the_name_of_its_tenant(fake: FakeProvider) -> None:
    served = table(provider(fake.url), tenants=[tenant(limits=[RPM])])
    async with serving(served) as rig:
        for _ in range(3):
            await rig.ask()
        metrics = (await rig.look("/metrics")).body.decode()

    team = served.tenants[0].id
    labels = f'limit="rpm",resource="Requests",tenant="{team}"'
    assert f"headgate_tenant_limit_refusals_total{{{labels}}} 1.0" in metrics
    assert f'headgate_tenant_limit_used{{limit="rpm",tenant="{team}"}} 2.0' in metrics
    assert f'headgate_tenant_limit_amount{{limit="rpm",tenant="{team}"}} 2.0' in metrics
