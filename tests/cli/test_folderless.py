"""`headgate up` without a folder: the manifests that the environment's keys stand for, printed and served."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.engine.lookup import build_live_table
from headgate.cli import main
from headgate.environment import USUAL_VARIABLES
from headgate.folderless import MODELS, WrongVariable, build_manifests, find_providers
from headgate.standalone import Reload, Standalone
from tests.cli.test_up import Up
from tests.e2e.processes import wait_until
from tests.e2e.system import free_port

VARIABLES = sorted({variable for variables in USUAL_VARIABLES.values() for variable in variables})
ALL = {variable: f"sk-planted-{variable.lower()}" for variable in VARIABLES}
NONE = {
    name: value
    for name, value in os.environ.items()
    if name not in VARIABLES and not name.endswith("_BASE_URL")
}
"""This process's environment without what would bring a provider."""


def load(environment: Mapping[str, str]) -> Reload:
    text = build_manifests(environment, 8080).manifests
    return Standalone((), environment, "2026-01-01T00:00:00Z", text).reload()


def invoke(*arguments: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    removed = dict.fromkeys([*VARIABLES, "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"])
    done = CliRunner().invoke(main, ["up", *arguments], env={**removed, **environment})
    return done.exit_code, done.stdout, done.stderr


@given(variables=st.sets(st.sampled_from(VARIABLES)))
def test_each_key_brings_its_provider_and_whichever_are_there_nothing_is_wrong(variables: set[str]) -> None:
    environment = {variable: ALL[variable] for variable in variables}
    reload = load(environment)
    table = reload.compiled.table

    expected = {name for name in MODELS if variables & set(USUAL_VARIABLES[name])} or {"fake"}
    assert reload.findings == ()
    assert {provider.id.partition("/")[2] for provider in table.providers} == expected
    assert {route.id.partition("/")[2] for route in table.routes} == expected
    assert all(provider.credentials for provider in table.providers) == (expected != {"fake"})
    assert [tenant.anonymous for tenant in table.tenants] == [True]


@given(variables=st.sets(st.sampled_from(VARIABLES)))
def test_no_key_is_ever_printed(variables: set[str]) -> None:
    text = build_manifests({variable: ALL[variable] for variable in variables}, 8080).manifests

    assert "planted" not in text


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", "openai"),
        ("o3", "openai"),
        ("text-embedding-3-small", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-flash", "google"),
        ("Llama-4-Maverick-17B-128E-Instruct-FP8", "meta"),
        ("llama3", "meta"),
        ("llama-3.3-70b-versatile", "groq"),
        ("mistral-large-latest", "mistral"),
        ("deepseek-chat", "deepseek"),
        ("grok-4", "xai"),
        ("Qwen/Qwen3-235B-A22B", "together"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "fireworks"),
        ("openai/gpt-4o", "openrouter"),
        ("openai/gpt-oss-120b", "groq"),
        ("command-a-03-2025", "cohere"),
        ("my-own", None),
    ],
)
def test_the_name_of_a_model_decides_between_them(model: str, provider: str | None) -> None:
    live = build_live_table(load(ALL).compiled.table)
    identity = live.authenticate(None)
    assert identity is not None

    route = live.match_route(identity.tenant, model)

    assert (route.id if route else None) == (f"default/{provider}" if provider else None)


def test_a_pattern_of_two_hosts_goes_to_the_other_where_the_first_has_no_key() -> None:
    table = load({"TOGETHER_API_KEY": "sk-1"}).compiled.table

    assert "meta-llama/*" in table.routes[0].models


def test_what_is_printed_and_saved_in_a_folder_is_served_the_same(tmp_path: Path) -> None:
    (tmp_path / "headgate.yaml").write_text(build_manifests(ALL, 8080).manifests)

    of_folder = Standalone((tmp_path,), ALL, "2026-01-01T00:00:00Z").reload()

    served = load(ALL).compiled.table
    assert of_folder.findings == ()
    assert of_folder.compiled.table.providers == served.providers
    assert of_folder.compiled.table.routes == served.routes


def test_of_two_variables_the_first_counts() -> None:
    environment = {"GEMINI_API_KEY": "sk-gemini", "GOOGLE_API_KEY": "sk-google"}

    (provider,) = load(environment).compiled.table.providers
    assert provider.credentials[0].value.reveal() == "sk-google"
    assert find_providers(environment) == {"google": "GOOGLE_API_KEY"}
    assert find_providers({**environment, "GOOGLE_API_KEY": ""}) == {"google": "GEMINI_API_KEY"}


@pytest.mark.parametrize(
    ("variable", "said", "url"),
    [
        ("OPENAI_BASE_URL", "http://llm.example:8000/v1/", "http://llm.example:8000/v1"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9000/v1", "http://127.0.0.1:9000/v1"),
        ("ANTHROPIC_BASE_URL", "https://claude.example", "https://claude.example/v1"),
        ("ANTHROPIC_BASE_URL", "https://claude.example/v1", "https://claude.example/v1"),
    ],
)
def test_a_base_url_is_heeded_as_the_sdks_read_it(variable: str, said: str, url: str) -> None:
    environment = {variable.replace("BASE_URL", "API_KEY"): "sk-1", variable: said}

    (provider,) = load(environment).compiled.table.providers

    assert provider.endpoints[0].url == url


def test_the_gateways_own_address_is_not_taken_for_a_provider() -> None:
    environment = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://localhost:8080/v1"}

    served = build_manifests(environment, 8080)

    assert served.ignored == (
        "OPENAI_BASE_URL is left out: it is this gateway's own address, meant for its callers",
    )
    assert load(environment).compiled.table.providers[0].endpoints[0].url == "https://api.openai.com/v1"


def test_a_base_url_that_is_none_is_told_without_being_repeated() -> None:
    environment = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "https://user:pass@llm.example/v1"}

    with pytest.raises(WrongVariable) as caught:
        build_manifests(environment, 8080)

    assert str(caught.value) == (
        "OPENAI_BASE_URL must be an http:// or https:// URL of a host and perhaps a port and a path, such as "
        "http://vllm:8000/v1; user, query and fragment have no place in it: correct or unset it"
    )
    code, _, error = invoke("--print", environment=environment)
    assert (code, "OPENAI_BASE_URL must be" in error, "pass" in error) == (2, True, False)


def test_a_key_that_is_none_is_told_with_its_line_of_what_is_printed() -> None:
    text = build_manifests({"OPENAI_API_KEY": "two words"}, 8080).manifests
    findings = [str(finding) for finding in load({"OPENAI_API_KEY": "two words"}).findings]

    line = text[: text.index("secretRef")].count("\n") + 1
    assert findings[0] == (
        f'environment:{line}: HG0206 LLMProvider default/openai: key "api-key" of Secret "openai" cannot be '
        "an API key: it has white space inside. Put the API key there, alone"
    )


def test_print_shows_the_yaml_and_ends() -> None:
    code, out, error = invoke("--print", environment={"OPENAI_API_KEY": "sk-planted"})

    assert (code, error) == (0, "")
    assert out == build_manifests({"OPENAI_API_KEY": "sk-planted"}, 8080).manifests
    assert "# The key is that of OPENAI_API_KEY." in out
    assert "planted" not in out


def test_print_without_a_key_shows_the_fake_provider_as_its_own_command_starts_it() -> None:
    code, out, _ = invoke("--print", environment={})

    assert code == 0
    assert "baseUrl: http://127.0.0.1:9901/v1" in out
    assert "# No key was found: OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_API_KEY, META_API_KEY," in out


def test_print_tells_what_is_left_out_beside_the_yaml() -> None:
    environment = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}

    code, out, error = invoke("--print", environment=environment)

    assert (code, "baseUrl" in out) == (0, False)
    assert error.startswith("OPENAI_BASE_URL is left out")


def test_print_with_a_folder_is_wrong_usage(tmp_path: Path) -> None:
    code, _, error = invoke("--print", str(tmp_path), environment={})

    assert code == 2
    assert "--print shows what stands for a folder: give none, or leave --print out" in error


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gateway.example"])
def test_keys_are_not_given_to_the_network(host: str) -> None:
    code, _, error = invoke("--host", host, environment={"OPENAI_API_KEY": "sk-1"})

    assert code == 2
    assert f"--host {host} would give your keys to the network" in " ".join(error.split())


@contextmanager
def running(folder: Path, environment: Mapping[str, str], *fake: str) -> Iterator[Up]:
    """`headgate up` alone; with `fake`, options of a fake provider, that beside it."""
    up = FolderlessUp(folder, {})
    try:
        up.begin({**NONE, **environment, "PYTHONUNBUFFERED": "1"}, *fake)
        yield up
    finally:
        up.close()


class FolderlessUp(Up):
    def begin(self, environment: Mapping[str, str], *fake: str) -> None:
        self._environment = dict(environment)
        if fake:
            self._run("fake-provider", "--port", str(self.provider_port), *fake)
            self._environment["OPENAI_BASE_URL"] = self.provider_url
        self._run("up", "--port", str(self.port), "--admin-port", str(self.admin_port))
        wait_until(lambda: "serving http://" in self.told(), "it serves", explain=self.told)


def test_without_a_key_the_fake_provider_answers_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path / "none", {}) as up:
        answers = [up.ask(key=key) for key in (None, "sk-headgate-demo", "sk-another")]
        code = up.interrupt()

    assert [status for status, _ in answers] == [200, 200, 401]
    assert "This is the fake provider. It was asked for gpt-4o-mini" in answers[0][1]
    assert (
        "no provider's key in the environment, such as OPENAI_API_KEY: serving the built-in fake" in up.told()
    )
    assert code == 0


def test_with_a_key_its_provider_answers_callers_with_no_key_and_with_the_same(tmp_path: Path) -> None:
    with running(tmp_path / "none", {"OPENAI_API_KEY": "sk-planted-1"}, "--key", "sk-planted-1") as up:
        wait_until(lambda: up.ask(key=None)[0] == 200, "the provider answers", 10, up.told)
        same = up.ask(key="sk-planted-1")
        other = up.ask("claude-sonnet-4-5", key=None)

    assert same[0] == 200
    assert other[0] == 404
    assert "no folder given: serving openai (OPENAI_API_KEY), also to callers without a key" in up.told()
    assert "sk-planted-1" not in up.told()


def test_a_port_that_is_taken_is_one_sentence_and_ends_the_fake_provider_too(tmp_path: Path) -> None:
    with running(tmp_path / "none", {}) as up:
        command = [sys.executable, "-m", "headgate.cli", "up", "--port", str(up.port), "--admin-port", "0"]
        done = subprocess.run(command, env=NONE, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert "choose another port with --port, --admin-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_variable_ends_it_before_anything_is_served() -> None:
    environment = {**NONE, "OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "llm.example"}
    command = [sys.executable, "-m", "headgate.cli", "up", "--port", str(free_port()), "--admin-port", "0"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 2
    assert "OPENAI_BASE_URL must be an http:// or https:// URL" in " ".join(done.stderr.split())
