"""What holds for every installation, whatever users write."""

from dataclasses import replace
from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_runtime.contract.codec import assemble_table, build_snapshot, parse_bucket
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import RoutingTable, resource_key
from headgate_operator.api.manifest import BrokenManifest
from headgate_operator.compile import Compiled, compile_resources
from headgate_operator.compile.resources import Resources
from headgate_operator.compile.subjects import ANONYMOUS, claims_of
from headgate_operator.rollup import Published, roll_up
from tests.compile.builders import broken
from tests.compile.strategies import family_histories, installations, wild_installations

EXAMPLES = settings(max_examples=60, deadline=None)


@EXAMPLES
@given(installation=wild_installations(), data=st.data())
def test_the_order_of_resources_does_not_matter(installation: Resources, data: st.DataObject) -> None:
    shuffled = replace(
        installation,
        providers=tuple(data.draw(st.permutations(installation.providers))),
        routes=tuple(data.draw(st.permutations(installation.routes))),
        quotas=tuple(data.draw(st.permutations(installation.quotas))),
        secrets=dict(data.draw(st.permutations(list(installation.secrets.items())))),
    )

    assert compile_resources(shuffled) == compile_resources(installation)


@EXAMPLES
@given(installation=wild_installations())
def test_compiling_again_changes_nothing(installation: Resources) -> None:
    first = compile_resources(installation)
    again = compile_resources(installation, first)

    assert again == first
    assert all(a is b for a, b in zip(again.table.resources(), first.table.resources(), strict=True))


@EXAMPLES
@given(steps=st.lists(installations(), min_size=2, max_size=4))
def test_an_incremental_compile_comes_to_the_same_as_a_cold_one(steps: list[Resources]) -> None:
    compiled: Compiled | None = None
    for step in steps:
        compiled = compile_resources(step, compiled)
    cold = compile_resources(steps[-1])

    assert compiled == cold
    assert build_snapshot(compiled.table).digest == build_snapshot(cold.table).digest


@EXAMPLES
@given(steps=family_histories())
def test_a_quota_follows_its_parent_as_if_everything_were_compiled_anew(steps: list[Resources]) -> None:
    compiled: Compiled | None = None
    for step in steps:
        compiled = compile_resources(step, compiled)

    assert compiled == compile_resources(steps[-1])


@EXAMPLES
@given(before=installations(), after=installations())
def test_an_entry_that_comes_out_equal_stays_the_same_object(before: Resources, after: Resources) -> None:
    old = compile_resources(before)
    new = compile_resources(after, old)
    known = {resource_key(resource): resource for resource in old.table.resources()}
    equal = [r for r in new.table.resources() if known.get(resource_key(r)) == r]

    assert all(known[resource_key(resource)] is resource for resource in equal)
    assert all(
        old.verdicts[key] is verdict
        for key, verdict in new.verdicts.items()
        if old.verdicts.get(key) == verdict
    )


@EXAMPLES
@given(before=installations(), data=st.data())
def test_a_broken_edit_changes_nothing_in_the_table(before: Resources, data: st.DataObject) -> None:
    def break_some(manifests: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(broken(m, generation=9) if data.draw(st.booleans()) else m for m in manifests)

    old = compile_resources(before)
    after = replace(
        before,
        providers=break_some(before.providers),
        routes=break_some(before.routes),
        quotas=break_some(before.quotas),
    )
    edited = compile_resources(after, old)
    restarted = compile_resources(after, last_good=old.table)

    assert edited.table == old.table
    assert restarted.table == old.table
    assert all(a is b for a, b in zip(edited.table.resources(), old.table.resources(), strict=True))


@EXAMPLES
@given(installation=wild_installations(), before=installations())
def test_every_object_gets_a_verdict_and_a_status(installation: Resources, before: Resources) -> None:
    compiled = compile_resources(installation, compile_resources(before), last_good=None)
    published = Published(Version(1, 1), {resource_key(r): Version(1, 1) for r in compiled.table.resources()})
    manifests = (*installation.providers, *installation.routes, *installation.quotas)

    assert set(compiled.verdicts) == {f"{m.meta.kind}/{m.meta.id}" for m in manifests}
    for verdict in compiled.verdicts.values():
        status = roll_up(verdict, None, published, (), {}, 0.0, "2026-03-01T12:00:00Z", settled=True)
        assert status["observedGeneration"] == verdict.meta.generation


@EXAMPLES
@given(installation=wild_installations(), before=installations())
def test_a_table_keeps_its_promises(installation: Resources, before: Resources) -> None:
    table = compile_resources(installation, compile_resources(before)).table
    provider_ids = {provider.id for provider in table.providers}
    claimed_models = [(route.namespace, model) for route in table.routes for model in route.models]
    claims = [claim for tenant in table.tenants for claim in claims_of(tenant)]
    parents = {tenant.id: tenant.parent for tenant in table.tenants}

    assert all(target.provider in provider_ids for route in table.routes for target in route.targets)
    assert all(route.models for route in table.routes)
    assert len(claimed_models) == len(set(claimed_models))
    assert all(set(claims_of(a)).isdisjoint(claims_of(b)) for a, b in combinations(table.tenants, 2))
    assert claims.count(ANONYMOUS) <= 1
    assert all(parent is None or parents[parent] is None for parent in parents.values())
    assert all({term.key for term in tenant.key_terms} <= set(tenant.keys) for tenant in table.tenants)
    assert all(jwt.audiences for tenant in table.tenants for jwt in tenant.jwts)
    assert all(
        len({limit.name for limit in tenant.limits}) == len(tenant.limits)
        and all(0 < limit.amount <= 10**18 for limit in tenant.limits)
        and all(
            [limit.window_s > 0, limit.calendar is not None, limit.resource == "Concurrency"].count(True) == 1
            for limit in tenant.limits
        )
        for tenant in table.tenants
    )
    assert travel(table) == table


@EXAMPLES
@given(installation=wild_installations())
def test_a_verdict_agrees_with_the_table(installation: Resources) -> None:
    compiled = compile_resources(installation)
    in_table = {resource_key(resource) for resource in compiled.table.resources()}
    broken_keys = {
        f"{m.meta.kind}/{m.meta.id}"
        for m in (*installation.providers, *installation.routes, *installation.quotas)
        if isinstance(m, BrokenManifest)
    }

    for key, verdict in compiled.verdicts.items():
        assert (verdict.serving != "Nothing") == (verdict.resource_key in in_table)
        assert verdict.serving != "LastGood" or key in broken_keys
        assert 0 <= verdict.refs_resolved <= verdict.refs_total


def travel(table: RoutingTable) -> RoutingTable:
    """The table as a gateway has it."""
    snapshot = build_snapshot(table)
    return assemble_table(
        resource for bucket in snapshot.buckets for resource in parse_bucket(bucket.payload)
    )
