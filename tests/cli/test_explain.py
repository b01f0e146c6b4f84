"""`headgate explain`: what it says is what the gateway would do."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway_runtime.providers.operations import COUNT_TOKENS, OPERATIONS
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

PRICED = MANIFESTS.replace(
    'baseUrl: "http://vllm:8000/v1"}',
    """baseUrl: "http://vllm:8000/v1", models: [
  {name: llama, price: {input: "0.1", output: "0.6"}},
  {name: small-llama, price: {input: "0", output: "0"}}, {name: small}]}""",
)
OPEN = MANIFESTS.replace('models: [large, "big-*"]\n  limits', "limits")
"""The tenant may use every model."""


def with_limits(text: str, limits: str) -> str:
    return text.replace("  limits: [{name: per-minute, amount: 100, window: 1m}]\n", limits)


def write(folder: Path, text: str) -> None:
    (folder / "all.yaml").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, MANIFESTS)
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
        "needs at most 42 input tokens; nothing bounds its output, since no limit counts it",
        "  no known price: default/local/default (llama), default/local/default (small-llama)",
        "  limit per-minute: 100 requests in any 60 s; needs 1, room for 100 such requests, the tightest",
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
    write(folder, with_limits(PRICED, limits))
    told = explain(folder, "--model", "large")

    assert told.exit_code == 0
    assert told.output.splitlines()[2:] == [
        "  1. default/claude/default (anthropic), priority 0, 75 % of its priority: claude-sonnet-4-5",
        "     POST https://api.anthropic.com/v1/messages, at most 0.0615975 US dollars",
        "  2. default/local/default (vllm), priority 0, 25 % of its priority: llama",
        "     POST http://vllm:8000/v1/chat/completions, at most 0.0024618 US dollars",
        "  3. default/local/default (vllm), priority 1, 100 % of its priority: small-llama",
        "     POST http://vllm:8000/v1/chat/completions, at most 0 US dollars",
        "  then small (on RateLimited), which this tenant may not use",
        "reserves 42 input tokens, 4096 output tokens, 0.0615975 US dollars; "
        "it says nothing of its output, so max_tokens: 4096 is put into it",
        "  limit requests-per-minute: 600 requests in any 60 s; needs 1, room for 600 such requests",
        "  limit input: 5000 input tokens in any 60 s; needs 42, room for 119 such requests",
        "  limit output: 1000 output tokens in any 60 s, refuses nobody",
        '     HG1031 Limit "output" of default/team has 1000 output tokens at this gateway, and this request '
        "may need 4096 output tokens. Send less, or allow a shorter answer with `max_tokens`.",
        "  limit both: 100000 tokens in any 3600 s; needs 4138, room for 24 such requests",
        "  limit money: 100.5 US dollars in any 3600 s; needs 0.0615975, room for 1631 such requests",
        "  limit at-once: 8 requests at once; needs 1, room for 8 such requests, the tightest",
    ]


def test_json_has_the_same_facts(folder: Path) -> None:
    write(folder, with_limits(PRICED, "  tokensPerMinute: 9000\n"))
    told = json.loads(explain(folder, "--model", "large", "-o", "json").output)

    assert told["need"] == {
        "reserved": True,
        "input_tokens": 42,
        "output_tokens": 4096,
        "cost_usd": "0.0615975",
        "copies": 1,
        "output_limit": {"max_tokens": 4096},
        "unpriced": [],
        "on_unpriced": "Deny",
    }
    assert told["limits"] == [
        {
            "name": "tokens-per-minute",
            "quota": "default/team",
            "resource": "TotalTokens",
            "scope": "Tenant",
            "shadow": False,
            "window_s": 60.0,
            "calendar": None,
            "zone": None,
            "period_ends": None,
            "amount": 9000,
            "override_until": None,
            "own_amount": None,
            "part": 9000,
            "needs": 4138,
            "fits": 2,
            "takes_rest": False,
            "refusal": "",
            "tightest": True,
        }
    ]


def test_a_request_that_no_limit_ever_has_room_for_is_not_served(folder: Path) -> None:
    write(folder, with_limits(PRICED, "  tokensPerMinute: 9000\n"))
    asked = {"model": "large", "max_tokens": 9000, "messages": [{"role": "user", "content": "Hi"}]}
    told = explain(folder, "--request", "-", body=asked)

    assert told.exit_code == 1
    assert told.output.splitlines()[0] == (
        'model "large" for tenant default/team: not served; HG1031 Limit "tokens-per-minute" of default/team '
        "has 9000 tokens at this gateway, and this request may need 9046 tokens. Send less, or allow a "
        "shorter answer with `max_tokens`."
    )


def test_gateways_without_a_store_in_common_share_an_amount(folder: Path) -> None:
    write(folder, with_limits(PRICED, "  tokensPerMinute: 9000\n"))
    two = explain(folder, "--model", "large", "--gateways", "2")
    three = explain(folder, "--model", "large", "--gateways", "3")

    assert (two.exit_code, three.exit_code) == (0, 1)
    assert two.output.splitlines()[-1] == (
        "  limit tokens-per-minute: 9000 tokens in any 60 s, of which each of 2 gateways has at least 4500; "
        "needs 4138, room for 1 such requests, the tightest"
    )
    assert "has 3000 tokens at this gateway, and this request may need 4138 tokens" in three.output


@pytest.mark.parametrize(
    ("rule", "exit_code", "words"),
    [
        ("Deny", 1, 'HG1032 Limit "money" of default/team counts US dollars, and what this model costs'),
        ("Allow", 0, "limit money: 5 US dollars in any 3600 s; needs an unknown amount, and counts nothing"),
    ],
)
def test_what_becomes_of_a_model_without_a_price_under_a_limit_of_money(
    folder: Path, rule: str, exit_code: int, words: str
) -> None:
    limits = f'  onUnpriced: {rule}\n  limits: [{{name: money, resource: USD, amount: "5", window: 1h}}]\n'
    write(folder, with_limits(MANIFESTS, limits))
    told = explain(folder, "--model", "large")

    assert told.exit_code == exit_code
    assert words in told.output
    assert f"(onUnpriced: {rule})" in told.output


def test_a_target_that_is_not_served_is_told_with_the_reason(folder: Path) -> None:
    more = "    - {providerRef: {name: gone}}\n    - {providerRef: {name: broken}}\n  fallbacks:"
    text = MANIFESTS.replace("  fallbacks:", more)
    write(folder, text)
    broken = (
        "apiVersion: headgate.dev/v1alpha1\nkind: LLMProvider\nmetadata: {name: broken}\nspec: {type: b}\n"
    )
    (folder / "broken.yaml").write_text(broken)
    told = explain(folder, "--model", "large").output.splitlines()
    first = told.index("  dropped: spec.targets[3], provider default/gone")

    assert told[first + 1].startswith(f"     {folder / 'all.yaml'}:")
    assert 'target provider "gone" not found' in told[first + 1]
    assert told[first + 2] == "  dropped: spec.targets[4], provider default/broken, which is not served"
    assert told[-1].startswith(f"{folder / 'broken.yaml'}:4: HG0101 LLMProvider default/broken: spec.type:")
    assert len([line for line in told if 'target provider "gone"' in line]) == 1


def test_a_route_without_a_target_that_is_served(folder: Path) -> None:
    write(
        folder, OPEN.replace("targets: [{providerRef: {name: local}}]", "targets: [{providerRef: {name: x}}]")
    )
    small = explain(folder, "--model", "small")
    large = explain(folder, "--model", "large")

    assert small.exit_code == 1
    assert small.output.splitlines()[0] == (
        'model "small" for tenant default/team: not served; its route has no target that is served'
    )
    assert (
        "  then small (on RateLimited), by route default/small, which has no target that is served"
        in large.output.splitlines()
    )


def test_the_cheapest_comes_first_where_the_route_goes_by_cost(folder: Path) -> None:
    text = PRICED.replace(
        '  models: [large, "big-*"]\n  targets', "  models: [large]\n  strategy: Cost\n  targets"
    )
    write(folder, text)
    told = explain(folder, "--model", "large")

    assert [line for line in told.output.splitlines() if line[2:3].isdigit()] == [
        "  1. default/local/default (vllm), priority 0, by its price: llama",
        "  2. default/claude/default (anthropic), priority 0, by its price: claude-sonnet-4-5",
        "  3. default/local/default (vllm), priority 1, by its price: small-llama",
    ]


def test_a_target_of_weight_0_comes_after_the_others(folder: Path) -> None:
    write(folder, MANIFESTS.replace("model: large, weight: 3", "model: large, weight: 0"))
    told = explain(folder, "--model", "large")

    assert [line for line in told.output.splitlines() if line[2:3].isdigit()][:2] == [
        "  1. default/local/default (vllm), priority 0, 100 % of its priority: llama",
        "  2. default/claude/default (anthropic), priority 0, last of its priority: claude-sonnet-4-5",
    ]


def test_a_route_that_hedges_reserves_for_each_copy(folder: Path) -> None:
    text = with_limits(PRICED, "  tokensPerMinute: 9000\n").replace(
        "  targets:\n", "  hedge: {after: 1s}\n  targets:\n", 1
    )
    write(folder, text)
    told = explain(folder, "--model", "large")

    assert (
        "reserves 84 input tokens, 8192 output tokens, 0.123195 US dollars, in 2 copies, since the route "
        "hedges; it says nothing of its output, so max_tokens: 4096 is put into it"
    ) in told.output.splitlines()


@pytest.mark.parametrize("path", sorted(OPERATIONS.keys() - {COUNT_TOKENS.path}))
def test_a_model_alone_is_asked_for_as_its_path_has_it(folder: Path, path: str) -> None:
    write(folder, OPEN)
    told = explain(folder, "--model", "small", "--path", path)

    assert told.exit_code == 0
    assert told.output.splitlines()[3].startswith("     POST http://vllm:8000/")


def test_tokens_that_no_provider_counts_are_estimated_by_the_gateway(folder: Path) -> None:
    write(folder, OPEN)
    told = explain(folder, "--model", "small", "--path", COUNT_TOKENS.path)

    assert told.exit_code == 0
    assert told.output.splitlines()[0] == (
        'model "small" for tenant default/team: served; no provider of the route counts tokens, so the '
        "gateway estimates them"
    )
    assert "POST" not in told.output


def test_a_fallback_is_told_with_what_it_costs(folder: Path) -> None:
    text = OPEN.replace("name: local}}]", "name: claude}, model: large}]")
    write(folder, with_limits(text, "  tokensPerMinute: 9000\n"))
    told = explain(folder, "--model", "large")

    assert (
        "  then small (on RateLimited), by route default/small, at most 0.0615975 US dollars"
        in told.output.splitlines()
    )


def test_a_name_that_no_route_covers_goes_where_its_family_is(folder: Path) -> None:
    text = MANIFESTS.replace("  type: anthropic\n", "  type: anthropic\n  inferModels: true\n")
    text = text.replace("  models: [{name: large, upstreamName: claude-sonnet-4-5}]\n", "")
    write(folder, text.replace('models: [large, "big-*"]\n  limits', "limits"))
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


def test_a_request_in_a_file(folder: Path) -> None:
    request = folder / "request.json"
    request.write_text('{"model": "big-one", "messages": []}')
    told = explain(folder, "--request", str(request))

    assert told.exit_code == 0
    assert told.output.startswith('model "big-one" for tenant default/team: served; it matches big-*, large')


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
    write(folder, text)
    told = explain(folder, "--model", "big-one")

    assert told.exit_code == 1
    assert "a route serves it, and the tenant's list of models does not name it: large" in told.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --model or --request, and not both"),
        (["--model", "m", "--path", "/v1/nothing"], "no requests are served at /v1/nothing: choose one of"),
        (["--model", "m", "--tenant", "other"], 'no TenantQuota "other" serves anybody'),
        (["--body", "-"], "The request body is empty"),
    ],
)
def test_a_question_that_makes_no_sense(folder: Path, options: list[str], message: str) -> None:
    told = explain(folder, *options)

    assert told.exit_code == 2
    assert message in told.output
