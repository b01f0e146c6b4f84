"""`headgate explain`: what it says is what the gateway would do."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headgate.cli import main

MANIFESTS = """\
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {name: claude}
spec:
  type: anthropic
  credentials: [{name: main, secretRef: {name: keys}}]
  models: [{name: large, upstreamName: claude-sonnet-4-5}]
---
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {name: local}
spec: {type: vllm, baseUrl: "http://vllm:8000/v1"}
---
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata: {name: large}
spec:
  models: [large, "big-*"]
  targets:
    - {providerRef: {name: claude}, model: large, weight: 3}
    - {providerRef: {name: local}, model: llama, weight: 1}
    - {providerRef: {name: local}, model: small-llama, priority: 1}
  fallbacks: [{model: small, causes: [RateLimited]}]
---
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata: {name: small}
spec: {models: [small], targets: [{providerRef: {name: local}}]}
---
apiVersion: headgate.dev/v1alpha1
kind: TenantQuota
metadata: {name: team}
spec:
  subjects: [{name: main, type: APIKey, secretRef: {name: keys}}]
  models: [large, "big-*"]
  limits: [{name: per-minute, amount: 100, window: 1m}]
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {api-key: sk-planted-key}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "all.yaml").write_text(MANIFESTS)
    return tmp_path


def explain(folder: Path, *options: str, body: object = None) -> Result:
    data = None if body is None else json.dumps(body)
    return CliRunner().invoke(main, ["explain", str(folder), *options], input=data)


def test_a_request_that_is_served(folder: Path) -> None:
    told = explain(folder, "--model", "large")

    assert told.exit_code == 0
    assert told.output.splitlines() == [
        'model "large" for tenant default/team: served; the route names it',
        "route default/large: strategy Weighted, up to 3 attempts, what a provider cannot express is refused",
        "  1. default/claude/default (anthropic), priority 0, 75 % of its priority: claude-sonnet-4-5",
        "     POST https://api.anthropic.com/v1/messages",
        "  2. default/local/default (vllm), priority 0, 25 % of its priority: llama",
        "     POST http://vllm:8000/v1/chat/completions",
        "  3. default/local/default (vllm), priority 1, 100 % of its priority: small-llama",
        "     POST http://vllm:8000/v1/chat/completions",
        "  then small (on RateLimited), which this tenant may not use",
        "  limit per-minute: 100 requests in any 60 s",
    ]
    assert "sk-planted-key" not in told.output


def test_each_limit_is_told_in_the_unit_that_it_counts(folder: Path) -> None:
    limits = """\
  requestsPerMinute: 600
  limits:
    - {name: input, resource: InputTokens, amount: 5000, window: 1m}
    - {name: output, resource: OutputTokens, amount: 1000, window: 1m, mode: Shadow}
    - {name: both, resource: TotalTokens, amount: 100000, window: 1h}
    - {name: money, resource: USD, amount: "100.50", window: 1h}
    - {name: at-once, resource: Concurrency, amount: 8}
"""
    text = MANIFESTS.replace("  limits: [{name: per-minute, amount: 100, window: 1m}]\n", limits)
    (folder / "all.yaml").write_text(text)
    told = explain(folder, "--model", "large")

    assert [line for line in told.output.splitlines() if line.startswith("  limit ")] == [
        "  limit requests-per-minute: 600 requests in any 60 s",
        "  limit input: 5000 input tokens in any 60 s",
        "  limit output: 1000 output tokens in any 60 s, refuses nobody",
        "  limit both: 100000 tokens in any 3600 s",
        "  limit money: 100.5 US dollars in any 3600 s",
        "  limit at-once: 8 requests at once",
    ]


def test_a_name_that_no_route_covers_goes_where_its_family_is(folder: Path) -> None:
    text = MANIFESTS.replace("  type: anthropic\n", "  type: anthropic\n  inferModels: true\n")
    text = text.replace("  models: [{name: large, upstreamName: claude-sonnet-4-5}]\n", "")
    (folder / "all.yaml").write_text(text.replace('models: [large, "big-*"]\n  limits', "limits"))
    told = explain(folder, "--model", "claude-haiku-4-5")

    assert told.exit_code == 0
    assert told.output.splitlines()[:4] == [
        'model "claude-haiku-4-5" for tenant default/team: served; '
        "no route names it; it is inferred from its name (claude-*)",
        "route default/~claude: strategy Weighted, up to 3 attempts, "
        "what a provider cannot express is refused",
        "  1. default/claude/default (anthropic), priority 0, 100 % of its priority: claude-haiku-4-5",
        "     POST https://api.anthropic.com/v1/messages",
    ]


def test_what_a_provider_cannot_be_told_stands_beside_it(folder: Path) -> None:
    asked = {"model": "big-one", "messages": [{"role": "user", "content": "Hi"}], "seed": 7, "user": "u"}
    told = explain(folder, "--body", "-", "-o", "json", body=asked)
    steps = json.loads(told.output)["steps"]

    assert told.exit_code == 0
    assert steps[0]["refused"].startswith("`seed` cannot be said in Anthropic's API")
    assert [step["refused"] for step in steps[1:]] == ["", ""]


def test_a_request_in_anthropics_words(folder: Path) -> None:
    asked = {"model": "large", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    told = explain(folder, "--body", "-", "--path", "/v1/messages", body=asked)

    assert told.exit_code == 0
    assert "POST https://api.anthropic.com/v1/messages" in told.output


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("other", "no route of namespace default names it; models that this tenant may use: large"),
    ],
)
def test_a_request_that_is_not_served(folder: Path, model: str, reason: str) -> None:
    told = explain(folder, "--model", model)

    assert told.exit_code == 1
    assert told.output.splitlines()[0] == f'model "{model}" for tenant default/team: not served; {reason}'


def test_an_allow_list_that_hides_a_route_is_named(folder: Path) -> None:
    text = MANIFESTS.replace('models: [large, "big-*"]\n  limits', "models: [large]\n  limits")
    (folder / "all.yaml").write_text(text)
    told = explain(folder, "--model", "big-one")

    assert told.exit_code == 1
    assert "a route serves it, and the tenant's list of models does not name it: large" in told.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --model or --body, and not both"),
        (["--model", "m", "--path", "/v1/nothing"], "no requests are served at /v1/nothing: choose one of"),
        (["--model", "m", "--tenant", "other"], 'no TenantQuota "other" serves anybody'),
        (["--body", "-"], "The request body is empty"),
    ],
)
def test_a_question_that_makes_no_sense(folder: Path, options: list[str], message: str) -> None:
    told = explain(folder, *options)

    assert told.exit_code == 2
    assert message in told.output
