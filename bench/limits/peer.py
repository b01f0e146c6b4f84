"""LiteLLM's proxy, as far as it can be told limits without its database: a `Program` for each process of it.

    requests, tokens   rpm and tpm of the deployment, counted in Redis
    money              the budget of its provider, which Redis adds up

`exact` starts them. A key with limits of its own would need PostgreSQL, so that the limits here are of the
deployment, which stands for the tenant: it has no other caller. WAYS are those that its router has to enforce
rpm and tpm; both count minutes of the clock.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.limits.processes import Program
from bench.limits.quota import MODEL, PICOS_PER_USD, PRICE
from bench.limits.scenarios import Scenario
from bench.speed.environment import Python
from bench.speed.installs import LITELLM, Missing
from bench.speed.peers import QUIET_LITELLM
from bench.speed.process import HOST, find_free_port
from bench.speed.programs import KEY

WAYS: Final[Mapping[str, str]] = {
    "LiteLLM, usage-based-routing-v2": "routing_strategy: usage-based-routing-v2",
    "LiteLLM, enforce_model_rate_limits": "optional_pre_call_checks: [enforce_model_rate_limits]",
}
_BOOT_S: Final = 180.0


def spell_litellm(
    name: str, way: str, scenario: Scenario, upstream: int, store: int, folder: Path, python: Python
) -> Program | Missing:
    """way: one of WAYS. store: the port of Redis."""
    found = LITELLM.on(python.interpreter).find()
    if isinstance(found, Missing):
        return found
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "litellm.yaml"
    config.write_text(spell_config(way, scenario, upstream, store))
    port = find_free_port()
    listen = ("--host", HOST, "--port", str(port), "--num_workers", "1", "--telemetry", "False")
    ready = f"http://{HOST}:{port}/health/liveliness"
    command = (found, "--config", config, *listen)
    return Program(name, port, command, ready, folder, QUIET_LITELLM, _BOOT_S)


def spell_config(way: str, scenario: Scenario, upstream: int, store: int) -> str:
    """The same for all processes, or they would not count together."""
    members = []
    budget = ""
    for limit in scenario.limits:
        match limit.resource:
            case "Requests":
                members.append(f"      rpm: {limit.amount}\n")
            case "TotalTokens":
                members.append(f"      tpm: {limit.amount}\n")
            case "USD":
                usd = limit.amount / PICOS_PER_USD
                budget = (
                    f"  provider_budget_config:\n    openai: {{budget_limit: {usd:.9f}, time_period: 1d}}\n"
                )
    return f"""\
model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: http://{HOST}:{upstream}/v1
      api_key: sk-upstream
      input_cost_per_token: {PRICE.input_usd_picos / PICOS_PER_USD:.12f}
      output_cost_per_token: {PRICE.output_usd_picos / PICOS_PER_USD:.12f}
{"".join(members)}    model_info: {{id: bench}}
router_settings:
  redis_host: {HOST}
  redis_port: {store}
  {way}
  disable_cooldowns: true
  num_retries: 0
{budget}litellm_settings:
  num_retries: 0
  request_timeout: 600
  set_verbose: false
  telemetry: false
general_settings:
  master_key: {KEY}
"""
