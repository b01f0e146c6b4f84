"""What `parse_manifest` makes of an object as a whole, beyond the fields that the corpus has."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate_operator.api.manifest import BrokenManifest, Manifest, Meta, parse_manifest, parse_meta
from headgate_operator.api.route import ModelRouteSpec

CORPUS = Path(__file__).parent / "corpus"
TARGET = {"providerRef": {"name": "openai"}}


def route(**changes: Any) -> dict[str, Any]:
    whole = {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": "chat", "namespace": "team-a"},
        "spec": {"models": ["gpt-4o"], "targets": [TARGET]},
    }
    return {key: value for key, value in (whole | changes).items() if value is not ...}


def problems(raw: dict[str, Any], *, strict: bool = True) -> list[str]:
    parsed = parse_manifest(raw, refuse_unknown_fields=strict)
    return [str(problem) for problem in parsed.problems] if isinstance(parsed, BrokenManifest) else []


def test_a_good_object_becomes_a_spec_with_its_defaults() -> None:
    parsed = parse_manifest(route())

    assert isinstance(parsed, Manifest)
    assert isinstance(parsed.spec, ModelRouteSpec)
    assert (str(parsed.meta), parsed.meta.id) == ("ModelRoute team-a/chat", "team-a/chat")
    assert (parsed.spec.targets[0].weight, parsed.spec.retry.max_attempts) == (1, 3)


def test_the_metadata_is_taken_from_the_api_server() -> None:
    metadata = {
        "name": "chat",
        "namespace": "team-a",
        "uid": "u",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }

    assert parse_meta(route(metadata=metadata)) == Meta(
        "2026-01-01T00:00:00Z", "team-a", "chat", "ModelRoute", "u", 3
    )


def test_an_object_without_a_namespace_is_in_default() -> None:
    assert parse_meta(route(metadata={"name": "chat"})).namespace == "default"


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (..., "metadata: is required: write an object with name"),
        ("chat", "metadata: is required: write an object with name"),
        ({}, "metadata.name: is required: write a name, in quotes if it looks like a number"),
        ({"name": 7}, "metadata.name: is required: write a name, in quotes if it looks like a number"),
        (
            {"name": "a", "namespace": "Team"},
            "metadata.namespace: must be a name of lower-case letters, digits and `-`, beginning and ending"
            " with a letter or digit; 63 characters at most",
        ),
        (
            {"generateName": "chat-"},
            "metadata.name: is required: write a name, in quotes if it looks like a number",
        ),
    ],
)
def test_metadata_without_a_usable_name_is_a_problem(metadata: object, said: str) -> None:
    assert problems(route(metadata=metadata)) == [said]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("LLMProvidr", ", not 'LLMProvidr'. Did you mean \"LLMProvider\"?"),
        ("Service", ", not 'Service'"),
        (..., ", not ''"),
        (7, ", not ''"),
    ],
)
def test_a_kind_that_is_not_ours_is_a_problem(kind: object, said: str) -> None:
    assert problems(route(kind=kind)) == [f"kind: must be one of LLMProvider, ModelRoute, TenantQuota{said}"]


def test_another_version_of_the_api_is_a_problem() -> None:
    assert problems(route(apiVersion="headgate.dev/v1")) == ["apiVersion: must be headgate.dev/v1alpha1"]


def test_every_problem_of_an_object_is_told_at_once() -> None:
    spec = {"models": ["a b"], "targets": [], "retries": {}, "retry": {"maxAttempts": 0}}

    assert problems(route(spec=spec, metadata={"name": "Chat"})) == [
        "metadata.name: must be the name of a Kubernetes object: lower-case letters, digits, `-` and `.`,"
        " beginning and ending with a letter or digit; 253 characters at most",
        'spec.retries: is not a field. Did you mean "retry"? Known here: fallbacks, hedge, models, '
        "panicPercent, retry, strategy, targets, timeouts, unsupported",
        "spec.models[0]: must be a model's name without blanks, with at most one `*`, such as gpt-4o*,"
        ' not "a b"',
        "spec.targets: is empty: write a list of 1 to 32 items, each an object with providerRef",
        "spec.retry.maxAttempts: must be a whole number from 1 to 10, not 0",
    ]


def test_a_malformed_item_is_not_said_to_be_missing_from_its_list() -> None:
    spec = {"models": ["gpt-4o"], "targets": [{"providerRef": {"name": "a", "namespace": 7}, "weight": -1}]}

    assert problems(route(spec=spec)) == [
        "spec.targets[0].providerRef.namespace: must be a name of lower-case letters, digits and `-`,"
        " beginning and ending with a letter or digit, not a number: put it in quotes",
        "spec.targets[0].weight: must be a whole number from 0 to 1000, not -1",
    ]


def test_a_number_is_not_told_to_go_into_quotes_where_that_would_not_help() -> None:
    spec = {"models": ["gpt-4o"], "targets": [TARGET], "timeouts": {"idle": 5}}

    assert problems(route(spec=spec)) == [
        "spec.timeouts.idle: must be a whole number from 1 on and ms, s, m or h, such as 250ms or 30s,"
        " not a number"
    ]


def test_an_unknown_field_passes_where_the_api_server_has_already_judged() -> None:
    spec = {"models": ["gpt-4o"], "targets": [TARGET], "fromTheFuture": {"a": 1}}

    assert problems(route(spec=spec), strict=False) == []


def test_yaml_that_contains_itself_is_a_problem_and_no_endless_loop() -> None:
    spec: dict[str, Any] = yaml.safe_load("models: [gpt-4o]\ntargets: &again\n- *again\n")

    assert problems(route(spec=spec)) == [
        "spec: is nested without end: remove the YAML anchor that contains itself"
    ]


def test_text_that_is_not_unicode_is_a_problem() -> None:
    spec = {"models": ["\ud800"], "targets": [TARGET]}

    assert problems(route(spec=spec)) == [
        "spec.models[0]: has characters that are not Unicode text: write them anew"
    ]


def test_a_date_of_a_yaml_parser_is_the_text_that_it_was() -> None:
    parsed = parse_manifest(route(spec={"models": [datetime.date(2026, 1, 31)], "targets": [TARGET]}))

    assert isinstance(parsed, Manifest)
    assert isinstance(parsed.spec, ModelRouteSpec)
    assert parsed.spec.models == ("2026-01-31",)


def test_keys_that_are_no_text_are_unknown_fields() -> None:
    spec = {"models": ["gpt-4o"], "targets": [TARGET], 5: 1, None: 2}

    assert [line.partition(" Known")[0] for line in problems(route(spec=spec))] == [
        "spec.5: is not a field.",
        "spec.None: is not a field.",
    ]


def test_items_without_their_key_are_not_called_twins() -> None:
    quota = route(kind="TenantQuota", spec={"subjects": [{"type": "Anonymous"}, {"type": "Anonymous"}]})

    assert [line.partition(":")[0] for line in problems(quota)] == [
        "spec.subjects[0].name",
        "spec.subjects[1].name",
    ]


KEY = "sk-proj-0123456789abcdefghijKLMN"


def planted(value: Any) -> Iterator[Any]:
    """The value with the key in each place, one after the other."""
    yield KEY
    if isinstance(value, dict):
        for field, child in value.items():
            yield from (value | {field: changed} for changed in planted(child))
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from ([*value[:i], changed, *value[i + 1 :]] for changed in planted(child))


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*-full*.yaml")), ids=lambda file: file.stem)
def test_no_problem_repeats_an_api_key_from_the_wrong_place(file: Path) -> None:
    full = [*yaml.safe_load_all(file.read_text())][1]
    said = [
        message
        for spec in planted(full["spec"])
        for message in problems({**copy.deepcopy(full), "spec": spec})
    ]

    assert len(said) >= 10
    assert not [message for message in said if KEY in message or "0123456789" in message]
