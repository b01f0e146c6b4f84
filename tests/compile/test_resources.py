"""What compile reads: which Secrets an object needs, and which of two objects with one name counts."""

import itertools

from headgate_operator.compile import compile_resources
from headgate_operator.compile.resources import SecretId, referenced_secrets
from tests.compile.builders import broken, provider, quota, resources, route


def test_a_provider_needs_the_secrets_of_its_credentials() -> None:
    assert referenced_secrets(provider("team-a/openai", secret="key")) == {SecretId("team-a", "key")}


def test_a_quota_needs_the_secrets_of_its_api_keys() -> None:
    manifest = quota("team-a/all", "ci", "web", "ci", anonymous=True)

    assert referenced_secrets(manifest) == {SecretId("team-a", "ci"), SecretId("team-a", "web")}


def test_routes_and_broken_objects_need_none() -> None:
    assert referenced_secrets(route("team-a/chat", ["m"], ["openai"])) == frozenset()
    assert referenced_secrets(broken(provider("team-a/openai", secret="key"))) == frozenset()


def test_a_secret_is_written_as_namespace_and_name() -> None:
    assert str(SecretId("team-a", "key")) == "team-a/key"


def test_of_two_objects_with_one_name_the_younger_counts() -> None:
    ghost = route("team-a/chat", ["old"], ["p"], uid="1", created="2026-01-01T00:00:00Z", generation=7)
    alive = route("team-a/chat", ["new"], ["p"], uid="2", created="2026-01-02T00:00:00Z")

    for order in itertools.permutations((ghost, alive)):
        assert [r.models for r in compile_resources(resources(*order)).table.routes] == [("new",)]


def test_objects_that_differ_in_nothing_but_their_spec_are_chosen_from_without_regard_to_order() -> None:
    one, two = route("team-a/chat", ["a"], ["p"]), route("team-a/chat", ["b"], ["p"])

    assert compile_resources(resources(one, two)) == compile_resources(resources(two, one))


def test_a_verdict_knows_its_keys() -> None:
    verdicts = compile_resources(
        resources(provider("a/p"), route("a/r", ["m"], ["p"]), quota("a/q", anonymous=True))
    ).verdicts

    assert list(verdicts) == ["LLMProvider/a/p", "ModelRoute/a/r", "TenantQuota/a/q"]
    assert [verdict.key for verdict in verdicts.values()] == list(verdicts)
    assert [v.resource_key for v in verdicts.values()] == ["Provider/a/p", "Route/a/r", "Tenant/a/q"]
