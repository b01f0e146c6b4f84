"""A compile that knows the one before: it reuses what did not change, and comes to the same."""

from dataclasses import replace

import pytest

from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.secret import Secret
from headgate_operator.api.reasons import Code
from headgate_operator.compile import Compiled, compile_resources
from headgate_operator.compile.resources import Cluster, Resources, UnknownCluster
from tests.compile.builders import SALT, broken, provider, quota, resources, route

OPENAI = provider("team-a/openai", secret="openai")
AZURE = provider("team-a/azure", secret="azure")
CHAT = route("team-a/chat", ["gpt-4o"], ["openai"])
EMBED = route("team-a/embed", ["embed"], ["azure"])
QUOTA = quota("team-a/all", "caller")
OTHER_QUOTA = quota("team-b/all", anonymous=True)
SECRETS = {"team-a/openai": "sk-1", "team-a/azure": "sk-2", "team-a/caller": "hg-1"}


@pytest.fixture
def before() -> Resources:
    return resources(OPENAI, AZURE, CHAT, EMBED, QUOTA, OTHER_QUOTA, secrets=SECRETS)


def changed_resources(old: Compiled, new: Compiled) -> list[str]:
    """Ids of the table's entries that are other Python objects than before."""
    known = {id(resource) for resource in old.table.resources()}
    return [getattr(r, "id", "installation") for r in new.table.resources() if id(r) not in known]


def changed_verdicts(old: Compiled, new: Compiled) -> list[str]:
    return [key for key, verdict in new.verdicts.items() if old.verdicts.get(key) is not verdict]


def test_the_same_resources_give_the_same_objects(before: Resources) -> None:
    old = compile_resources(before)
    new = compile_resources(before, old)

    assert changed_resources(old, new) == []
    assert changed_verdicts(old, new) == []


def test_resources_parsed_anew_give_the_same_objects(before: Resources) -> None:
    old = compile_resources(before)
    parsed_again = resources(
        provider("team-a/openai", secret="openai"),
        provider("team-a/azure", secret="azure"),
        route("team-a/chat", ["gpt-4o"], ["openai"]),
        route("team-a/embed", ["embed"], ["azure"]),
        quota("team-a/all", "caller"),
        quota("team-b/all", anonymous=True),
        secrets=SECRETS,
        salt=Secret("the salt of the tests"),
    )
    new = compile_resources(parsed_again, old)

    assert changed_resources(old, new) == []
    assert changed_verdicts(old, new) == []


def test_an_edited_route_is_the_only_one_that_changes(before: Resources) -> None:
    old = compile_resources(before)
    edited = route("team-a/chat", ["gpt-4o", "o1"], ["openai"], generation=2)
    new = compile_resources(replace(before, routes=(edited, EMBED)), old)

    assert changed_resources(old, new) == ["team-a/chat"]
    assert changed_verdicts(old, new) == ["ModelRoute/team-a/chat"]


def test_an_edited_provider_leaves_the_routes_that_name_it(before: Resources) -> None:
    old = compile_resources(before)
    edited = provider("team-a/openai", secret="openai", spec={"timeouts": {"connect": "1s"}}, generation=2)
    new = compile_resources(replace(before, providers=(edited, AZURE)), old)

    assert changed_resources(old, new) == ["team-a/openai"]
    assert changed_verdicts(old, new) == ["LLMProvider/team-a/openai"]


def test_an_edited_quota_is_the_only_one_that_changes(before: Resources) -> None:
    old = compile_resources(before)
    edited = quota("team-a/all", "caller", anonymous=True, generation=2)
    new = compile_resources(replace(before, quotas=(edited, OTHER_QUOTA)), old)

    assert changed_resources(old, new) == ["team-a/all", "team-b/all"]
    assert new.table.tenants[0].anonymous
    assert not new.table.tenants[1].anonymous


def test_a_rotated_credential_changes_its_provider_alone(before: Resources) -> None:
    old = compile_resources(before)
    rotated = resources(secrets=SECRETS | {"team-a/openai": "sk-rotated"}).secrets
    new = compile_resources(replace(before, secrets=rotated), old)

    assert changed_resources(old, new) == ["team-a/openai"]
    assert changed_verdicts(old, new) == []
    assert new.table.providers[1].credentials[0].value == Secret("sk-rotated")


def test_a_rotated_caller_key_changes_its_quota_alone(before: Resources) -> None:
    old = compile_resources(before)
    rotated = resources(secrets=SECRETS | {"team-a/caller": "hg-rotated"}).secrets
    new = compile_resources(replace(before, secrets=rotated), old)

    assert changed_resources(old, new) == ["team-a/all"]
    assert new.table.tenants[0].keys == (hash_key("hg-rotated", SALT),)


def test_a_secret_that_nobody_names_changes_nothing(before: Resources) -> None:
    old = compile_resources(before)
    more = resources(secrets=SECRETS | {"team-a/unrelated": "x"}).secrets
    new = compile_resources(replace(before, secrets=more), old)

    assert changed_resources(old, new) == []


def test_secrets_changed_in_place_are_noticed(before: Resources) -> None:
    secrets = dict(before.secrets)
    shared = replace(before, secrets=secrets)
    old = compile_resources(shared)
    secrets.update(resources(secrets={"team-a/openai": "sk-rotated"}).secrets)
    new = compile_resources(shared, old)

    assert changed_resources(old, new) == ["team-a/openai"]


def test_another_salt_hashes_every_key_anew(before: Resources) -> None:
    old = compile_resources(before)
    salt = Secret("another salt")
    new = compile_resources(replace(before, key_salt=salt), old)

    assert new == compile_resources(replace(before, key_salt=salt))
    assert new.table.installation.key_salt == salt
    assert new.table.tenants[0].keys == (hash_key("hg-1", salt),)
    assert new.table.providers[0] is old.table.providers[0]


def test_keys_of_a_broken_quota_are_not_kept_under_another_salt(before: Resources) -> None:
    old = compile_resources(before)
    salt = Secret("another salt")
    after = replace(before, quotas=(broken(QUOTA),), key_salt=salt)

    assert compile_resources(after, old).table.tenants == ()
    assert compile_resources(after, last_good=old.table).table.tenants == ()


def test_a_deleted_object_leaves_table_and_verdicts(before: Resources) -> None:
    old = compile_resources(before)
    new = compile_resources(replace(before, routes=(EMBED,)), old)

    assert [r.id for r in new.table.routes] == ["team-a/embed"]
    assert "ModelRoute/team-a/chat" not in new.verdicts


def test_a_claim_that_ends_gives_the_model_to_the_next(before: Resources) -> None:
    late = route("team-a/late", ["gpt-4o"], ["azure"], created="2026-02-01T00:00:00Z")
    old = compile_resources(replace(before, routes=(CHAT, EMBED, late)))
    new = compile_resources(replace(before, routes=(EMBED, late)), old)

    assert [r.id for r in old.table.routes] == ["team-a/chat", "team-a/embed"]
    assert [r.id for r in new.table.routes] == ["team-a/embed", "team-a/late"]
    assert new.verdicts["ModelRoute/team-a/late"].findings == ()


def test_a_replica_that_takes_over_looks_up_what_was_published(before: Resources) -> None:
    """It started when the objects were broken already, and so knows no good version of its own."""
    published = compile_resources(before).table
    after = replace(
        before, providers=(broken(OPENAI), AZURE), routes=(broken(CHAT), EMBED), quotas=(broken(QUOTA),)
    )
    own = compile_resources(after)
    new = compile_resources(after, own, last_good=published)

    assert [r.id for r in own.table.routes] == ["team-a/embed"]
    assert own.table.tenants == ()
    assert new.table == compile_resources(after, compile_resources(before)).table
    assert compile_resources(after, new) == new


def test_what_a_replica_saw_itself_goes_before_what_was_published(before: Resources) -> None:
    published = compile_resources(before).table
    edited = provider("team-a/openai", secret="openai", spec={"baseUrl": "http://new/v1"}, generation=2)
    seen = compile_resources(replace(before, providers=(edited, AZURE)))
    after = replace(before, providers=(broken(edited, generation=3), AZURE))
    new = compile_resources(after, seen, last_good=published)

    assert new.table.providers[1].endpoints[0].url == "http://new/v1"


def test_a_target_is_judged_by_the_models_that_are_left_to_its_route() -> None:
    """Else it would depend on whether the lost ones are still known, as they are not after a restart."""
    lists = provider("team-a/lists", spec={"models": [{"name": "m0"}]})
    old = route("team-a/old", ["*"], ["lists"])
    late = route("team-a/late", ["*", "m1"], ["lists"], created="2026-02-01T00:00:00Z")
    compiled = compile_resources(resources(lists, old, late))
    finding = compiled.verdicts["ModelRoute/team-a/late"].findings[1]

    assert compiled.table.routes[0].targets == ()
    assert finding.code is Code.MODEL_NOT_FOUND
    assert (
        compile_resources(resources(lists, old, broken(late)), last_good=compiled.table).table
        == compiled.table
    )


def test_the_codec_encodes_only_what_changed(before: Resources) -> None:
    old = compile_resources(before)
    snapshot = build_snapshot(old.table)
    edited = route("team-a/chat", ["gpt-4o", "o1"], ["openai"], generation=2)
    new = build_snapshot(compile_resources(replace(before, routes=(edited, EMBED)), old).table, snapshot)

    assert [k for k, entry in new.encoded.items() if entry is not snapshot.encoded[k]] == [
        "Route/team-a/chat"
    ]


def test_a_fallback_goes_live_with_the_route_that_serves_it_and_only_its_own_route_changes(
    before: Resources,
) -> None:
    chat = route("team-a/chat", ["gpt-4o"], ["openai"], fallbacks=["claude", "embed"])
    old = compile_resources(replace(before, routes=(chat, EMBED)))
    claude = route("team-a/claude", ["claude*"], ["azure"])
    new = compile_resources(replace(before, routes=(chat, EMBED, claude)), old)

    assert [rule.model for rule in old.table.routes[0].fallbacks] == ["embed"]
    assert [rule.model for rule in new.table.routes[0].fallbacks] == ["claude", "embed"]
    assert changed_resources(old, new) == ["team-a/chat", "team-a/claude"]
    assert changed_verdicts(old, new) == ["ModelRoute/team-a/chat", "ModelRoute/team-a/claude"]


def test_a_route_whose_fallbacks_are_served_stays_the_same_when_others_come(before: Resources) -> None:
    chat = route("team-a/chat", ["gpt-4o"], ["openai"], fallbacks=["embed"])
    old = compile_resources(replace(before, routes=(chat, EMBED)))
    claude = route("team-a/claude", ["claude*"], ["azure"])
    new = compile_resources(replace(before, routes=(chat, EMBED, claude)), old)

    assert changed_resources(old, new) == ["team-a/claude"]


DEPARTMENT = quota("team-a/department")
TEAM = quota("team-a/team", anonymous=True, spec={"parent": {"name": "department"}})


def test_a_parents_new_limits_leave_its_children_alone() -> None:
    old = compile_resources(resources(DEPARTMENT, TEAM))
    edited = quota("team-a/department", spec={"requestsPerHour": 5}, generation=2)
    new = compile_resources(resources(edited, TEAM), old)

    assert changed_resources(old, new) == ["team-a/department"]
    assert changed_verdicts(old, new) == ["TenantQuota/team-a/department"]


def test_a_parent_that_comes_back_brings_its_children_back() -> None:
    old = compile_resources(resources(DEPARTMENT, TEAM, OTHER_QUOTA))
    away = compile_resources(resources(TEAM, OTHER_QUOTA), old)
    back = compile_resources(resources(DEPARTMENT, TEAM, OTHER_QUOTA), away)

    assert [tenant.id for tenant in away.table.tenants] == ["team-b/all"]
    assert away.verdicts["TenantQuota/team-a/team"].serving == "Nothing"
    assert back == old
    assert back.table.tenants[1] is old.table.tenants[1]


def test_a_version_that_was_never_served_is_not_the_last_good_one() -> None:
    nowhere = quota("team-a/team", anonymous=True, spec={"parent": {"name": "nobody"}}, generation=2)
    old = compile_resources(resources(DEPARTMENT, nowhere))
    new = compile_resources(resources(DEPARTMENT, broken(nowhere, generation=3)), old)

    assert [tenant.id for tenant in new.table.tenants] == ["team-a/department"]


def test_what_was_served_last_outlives_several_edits_that_name_no_parent() -> None:
    compiled = compile_resources(resources(DEPARTMENT, quota("team-a/team", anonymous=True)))
    served = compiled.table.tenants[1]
    for generation in (2, 3):
        spec = {"parent": {"name": "nobody"}, "priority": generation}
        edited = quota("team-a/team", anonymous=True, spec=spec, generation=generation)
        compiled = compile_resources(resources(DEPARTMENT, edited), compiled)
    compiled = compile_resources(resources(DEPARTMENT, broken(TEAM, generation=4)), compiled)

    assert compiled.table.tenants[1] is served
    assert compiled.verdicts["TenantQuota/team-a/team"].serving == "LastGood"


def test_a_child_created_anew_has_no_last_good_version() -> None:
    old = compile_resources(resources(DEPARTMENT, TEAM))
    other = quota("team-a/team", anonymous=True, spec={"parent": {"name": "nobody"}}, uid="another")

    assert [t.id for t in compile_resources(resources(DEPARTMENT, other), old).table.tenants] == [
        "team-a/department"
    ]
    assert [t.id for t in compile_resources(resources(DEPARTMENT, other), None, old.table).table.tenants] == [
        "team-a/department"
    ]


CLUSTER = Cluster("https://kubernetes.default.svc", '{"keys":[]}')
ROBOT = quota(
    "team-a/robot",
    spec={"subjects": [{"name": "r", "type": "ServiceAccount", "serviceAccount": {"name": "robot"}}]},
)


def test_new_keys_of_the_cluster_change_the_installation_alone() -> None:
    old = compile_resources(resources(ROBOT, OTHER_QUOTA, cluster=CLUSTER))
    keys = Cluster(CLUSTER.issuer, '{"keys":[{}]}')
    new = compile_resources(resources(ROBOT, OTHER_QUOTA, cluster=keys), old)

    assert changed_resources(old, new) == ["installation"]
    assert changed_verdicts(old, new) == []
    assert new.table.installation.cluster_keys == keys.keys


def test_another_issuer_changes_the_quotas_with_service_accounts() -> None:
    old = compile_resources(resources(ROBOT, OTHER_QUOTA, cluster=CLUSTER))
    other = Cluster("https://oidc.example.com", CLUSTER.keys)
    new = compile_resources(resources(ROBOT, OTHER_QUOTA, cluster=other), old)

    assert changed_resources(old, new) == ["installation", "team-a/robot"]
    assert new.table.tenants[0].jwts[0].issuer == other.issuer


def test_a_cluster_that_says_nothing_now_has_said_it_before() -> None:
    silent = UnknownCluster("GET /openid/v1/jwks: 503: away")
    old = compile_resources(resources(ROBOT, cluster=CLUSTER))
    new = compile_resources(resources(ROBOT, cluster=silent), old)
    own = compile_resources(resources(ROBOT, cluster=silent))

    assert new == old
    assert own.table.tenants[0].jwts == ()
    assert compile_resources(resources(ROBOT, cluster=silent), None, old.table) == old
    assert compile_resources(resources(ROBOT, cluster=silent), own, old.table) == old
