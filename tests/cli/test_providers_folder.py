"""`/v1/providers` of `headgate up`: a folder that is written by callers, and stays a folder of people."""

import asyncio
import json
import os
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.server.providers_api import Caller
from headgate.providers_folder import FolderProviders
from headgate.validate import validate_paths
from tests.cli.test_up import KEY, QUOTA, Up
from tests.e2e.manifests import provider, route
from tests.e2e.processes import wait_until

HERE = Caller(None, None, "127.0.0.1", is_local=True)
ELSEWHERE = Caller(None, None, "203.0.113.7", is_local=False)
MIXED = """\
# What we pay for.

# The first.
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {name: first}
spec: {type: vllm, baseUrl: "http://first/v1"}
---
# Keep this one.
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {name: second}   # really
spec: {type: vllm, baseUrl: "http://second/v1"}
"""


NOBODY = 65534
VLLM = {"name": "vllm", "base_url": "http://vllm.example:8000/v1"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Providers:
    """`/v1/providers` of a running `headgate up`."""

    def __init__(self, up: Up) -> None:
        self._url = f"http://127.0.0.1:{up.port}/v1/providers"

    def ask(
        self,
        method: str = "GET",
        path: str = "",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    folder = tmp_path / "config"
    folder.mkdir()
    up = Up(folder, {"HEADGATE_ADMIN_KEY": "an-admins-key"})
    up.write("quota.yaml", QUOTA)
    yield up
    up.close()


def test_a_posted_provider_serves_when_the_answer_comes_until_it_is_deleted(up: Up) -> None:
    up.start("--key", "sk-posted")
    providers = Providers(up)
    body = {"base_url": up.provider_url, "api_key": "sk-posted", "model_names": ["new-model"]}

    status, made = providers.ask("POST", body={"name": "new", **body})
    answered = up.ask("new-model")
    wait_until(lambda: providers.ask(path="/new")[1]["ready"], "its first probe is told", 10, up.told)
    listed = providers.ask()[1]
    deleted = providers.ask("DELETE", "/new")
    gone = up.ask("new-model")

    assert (status, made["id"], made["models"]) == (201, "default/new", ["new-model"])
    assert {c["type"]: c["status"] for c in made["conditions"]}["Programmed"] == "True"
    assert answered[0] == 200
    assert [item["id"] for item in listed["data"]] == ["default/new"]
    assert deleted == (200, {"id": "default/new", "object": "provider", "deleted": True})
    assert gone[0] == 404
    assert names(up.folder) == ["quota.yaml"]
    assert "sk-posted" not in json.dumps([made, listed]) + up.told()


def test_what_is_written_is_what_a_person_would_write_and_the_key_is_its_owners_alone(up: Up) -> None:
    up.start()

    Providers(up).ask("POST", body={**VLLM, "apiKey": "sk-posted", "models": ["llama"]})

    secret = up.folder / "vllm.secret.yaml"
    assert (up.folder / "vllm.yaml").read_text() == (
        "# Made by POST /v1/providers.\n"
        "apiVersion: headgate.dev/v1alpha1\n"
        "kind: LLMProvider\n"
        "metadata:\n"
        "  name: vllm\n"
        "spec:\n"
        "  type: openai-compatible\n"
        "  baseUrl: http://vllm.example:8000/v1\n"
        "  models:\n"
        "  - name: llama\n"
        "  credentials:\n"
        "  - name: main\n"
        "    secretRef:\n"
        "      name: vllm-credential\n"
    )
    assert "api-key: sk-posted" in secret.read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE((up.folder / "vllm.yaml").stat().st_mode) == 0o644
    assert validate_paths([up.folder], secrets=True).findings == ()


def test_what_makes_no_sense_is_refused_as_validate_would_and_nothing_is_written(
    up: Up, tmp_path: Path
) -> None:
    up.start()
    file = tmp_path / "opnai.yaml"
    file.write_text(
        "apiVersion: headgate.dev/v1alpha1\nkind: LLMProvider\nmetadata: {name: x}\nspec: {type: opnai}\n"
    )
    (finding,) = validate_paths([file], secrets=False).findings

    status, answer = Providers(up).ask("POST", body={"name": "x", "type": "opnai", "apiKey": "sk-posted"})

    assert (status, answer["error"]["code"]) == (422, "invalid_provider")
    assert answer["error"]["message"].startswith("HG0101 LLMProvider default/x: spec.type: must be one of ")
    assert str(finding) == f"{file}:4: {answer['error']['message']}"
    assert names(up.folder) == ["quota.yaml"]


def test_a_provider_that_is_there_is_never_overwritten(up: Up) -> None:
    up.write("mine.yaml", provider("local", up.provider_url))
    up.start()

    status, answer = Providers(up).ask("POST", body={"name": "local", "type": "openai", "apiKey": "k"})

    assert (status, answer["error"]["code"]) == (409, "provider_conflict")
    assert answer["error"]["message"] == (
        f"LLMProvider default/local is already defined in {up.folder}/mine.yaml. "
        "Give the new one another name, or delete that one first."
    )
    assert (up.folder / "mine.yaml").read_text() == provider("local", up.provider_url)


@pytest.mark.parametrize("body", [None, {**VLLM, "name": "x"}])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_web_page_and_a_tenants_key_are_refused_and_the_admins_key_is_not(
    up: Up, body: object, key: str | None
) -> None:
    up.start()
    providers = Providers(up)
    page = {"origin": "https://page.example", **({"authorization": f"Bearer {key}"} if key else {})}
    method = "GET" if body is None else "POST"

    refused, answer = providers.ask(method, body=body, headers=page)
    admitted, _ = providers.ask(method, body=body, headers=page | {"authorization": "Bearer an-admins-key"})

    assert (refused, answer["error"]["code"]) == (403, "not_permitted")
    assert answer["error"]["message"] == (
        "Providers are managed from the gateway's own machine, or with the key in its HEADGATE_ADMIN_KEY as "
        "`Authorization: Bearer <key>`. A key for models does not open this, nor does a web page."
    )
    assert admitted == (200 if body is None else 201)
    assert (up.folder / "x.yaml").exists() == (body is not None)


# The same without a process around it.


class Live:
    """What `up` brings: here a reload shows what the files hold."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.objects = [{"kind": "LLMProvider", "metadata": {"name": name}} for name in names]
        self.reloads = 0
        self.providers = FolderProviders((folder,), None, lambda: self.objects, self.reload)

    async def reload(self) -> None:
        self.reloads += 1


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("first", "# What we pay for.\n\n" + MIXED[MIXED.index("---") :]),
        ("second", MIXED[: MIXED.index("---")]),
    ],
)
async def test_deleting_takes_out_one_document_and_keeps_every_other_byte(
    tmp_path: Path, name: str, left: str
) -> None:
    file = tmp_path / "mixed.yaml"
    file.write_bytes(MIXED.encode())
    file.chmod(0o640)
    live = Live(tmp_path)

    assert await live.providers.delete_provider(HERE, name) == f"default/{name}"

    assert file.read_bytes() == left.encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert names(tmp_path) == ["mixed.yaml"]
    assert live.reloads == 1


async def test_a_file_is_removed_with_its_last_document_and_a_link_stays_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text(MIXED)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(outside)
    live = Live(folder)

    await live.providers.delete_provider(HERE, "first")
    then = (folder / "link.yaml").is_symlink(), outside.read_text()
    await live.providers.delete_provider(HERE, "second")

    assert then == (True, "# What we pay for.\n\n" + MIXED[MIXED.index("---") :])
    assert names(folder) == []


async def test_what_other_objects_are_called_alike_stays(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(provider("same", "http://a/v1") + route("same", "same"))
    other = provider("same", "http://b/v1").replace("{name: same}", "{name: same, namespace: team-b}")
    (tmp_path / "b.yaml").write_text(other)

    await Live(tmp_path).providers.delete_provider(HERE, "same")

    assert (tmp_path / "a.yaml").read_text() == "---\n" + route("same", "same")
    assert (tmp_path / "b.yaml").read_text() == other


async def test_a_provider_of_another_namespace_is_made_and_deleted_there(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.objects = [{"kind": "LLMProvider", "metadata": {"name": "groq", "namespace": "team-b"}}]
    there = HERE._replace(namespace="team-b")

    made = await live.providers.create_provider(there, {"name": "groq", "apiKey": "k"})
    text = (tmp_path / "groq.yaml").read_text()
    with pytest.raises(GatewayError) as refused:
        await live.providers.delete_provider(HERE, "groq")
    await live.providers.delete_provider(there, "groq")

    assert made.id == "team-b/groq"
    assert "  namespace: team-b\n" in text
    assert refused.value.message == ("There is no provider default/groq. Providers there are: team-b/groq.")
    assert names(tmp_path) == []


async def test_a_file_of_that_name_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "vllm.yaml").write_text("# notes\n")
    live = Live(tmp_path, "vllm")

    await live.providers.create_provider(HERE, VLLM)

    assert (tmp_path / "vllm.yaml").read_text() == "# notes\n"
    assert "kind: LLMProvider" in (tmp_path / "default.vllm.yaml").read_text()


async def test_when_no_file_can_be_made_nothing_is_left_behind(tmp_path: Path) -> None:
    for name in ("groq.yaml", "default.groq.yaml"):
        (tmp_path / name).write_text("# notes\n")
    before = names(tmp_path)

    with pytest.raises(GatewayError) as refused:
        await Live(tmp_path).providers.create_provider(HERE, {"name": "groq", "apiKey": "sk-posted"})

    assert refused.value.code is ErrorCode.PROVIDERS_UNAVAILABLE
    assert names(tmp_path) == before


async def test_a_name_that_no_file_can_have_is_told_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as refused:
        await Live(tmp_path).providers.create_provider(HERE, {**VLLM, "name": "a" * 253})

    assert refused.value.message == (
        "The folder of manifests cannot be written: File name too long. Make it writable for `headgate up`, "
        "or edit the files yourself."
    )
    assert names(tmp_path) == []


async def test_a_caller_sees_those_of_the_namespace_that_it_names(tmp_path: Path) -> None:
    live = Live(tmp_path, "a")
    live.objects += [
        {"kind": "LLMProvider", "metadata": {"name": "b", "namespace": "team-b"}},
        {"kind": "ModelRoute", "metadata": {"name": "c"}},
    ]

    everywhere = await live.providers.list_providers(HERE)
    there = await live.providers.list_providers(HERE._replace(namespace="team-b"))

    assert [item.id for item in everywhere] == ["default/a", "team-b/b"]
    assert [item.id for item in there] == ["team-b/b"]


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder with MIXED in it, which this process cannot write. Root may write everywhere, so root becomes
    nobody meanwhile.
    """
    folder = Path(tempfile.mkdtemp())  # nobody cannot reach what pytest makes for root
    (folder / "mixed.yaml").write_text(MIXED)
    is_root = os.geteuid() == 0
    folder.chmod(0o555)
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


async def test_a_folder_that_cannot_be_written_is_told(read_only: Path) -> None:
    providers = Live(read_only).providers

    for work in (providers.create_provider(HERE, VLLM), providers.delete_provider(HERE, "first")):
        with pytest.raises(GatewayError) as refused:
            await work
        assert "Make it writable for `headgate up`" in refused.value.message


async def test_without_a_folder_there_is_no_place_for_a_provider(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(MIXED)

    with pytest.raises(GatewayError) as refused:
        await Live(file).providers.create_provider(HERE, VLLM)

    assert refused.value.message == (
        "`headgate up` runs without a folder, so there is no place for a new provider. Start it with one: "
        "headgate up FOLDER."
    )


async def test_a_provider_in_a_list_is_left_to_people(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n"
        "  - {apiVersion: headgate.dev/v1alpha1, kind: LLMProvider, metadata: {name: a}}\n"
    )
    (tmp_path / "list.yaml").write_text(text)

    with pytest.raises(GatewayError) as refused:
        await Live(tmp_path).providers.delete_provider(HERE, "a")

    assert refused.value.message == (
        f"Provider default/a cannot be taken out of {tmp_path}/list.yaml: it stands in a List there: "
        "take it out by hand."
    )
    assert (tmp_path / "list.yaml").read_text() == text


async def test_a_provider_whose_file_is_broken_now_cannot_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("\tkind: LLMProvider\n")

    with pytest.raises(GatewayError) as refused:
        await Live(tmp_path, "a").providers.delete_provider(HERE, "a")

    assert refused.value.message == (
        "Provider default/a serves, but no file says so: it comes from the environment, or its file is "
        "broken now. `headgate validate` names the line then."
    )


async def test_a_table_that_the_gateway_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as refused:
        await Live(tmp_path).providers.create_provider(HERE, VLLM)

    assert refused.value.message == (
        "Provider default/vllm stands in the folder, and the gateway has refused the whole of it: what it "
        "ran before runs on. Its log says why."
    )


async def test_of_two_who_post_the_same_at_once_one_is_refused(tmp_path: Path) -> None:
    providers = Live(tmp_path, "vllm").providers

    answers = await asyncio.gather(
        *(providers.create_provider(HERE, VLLM) for _ in range(2)), return_exceptions=True
    )

    refused = [answer for answer in answers if isinstance(answer, GatewayError)]
    assert [error.code for error in refused] == [ErrorCode.PROVIDER_CONFLICT]


def test_without_an_admin_key_nobody_elsewhere_is_admitted(tmp_path: Path) -> None:
    for admin_key in (None, ""):
        providers = FolderProviders((tmp_path,), admin_key, list, Live(tmp_path).reload)

        providers.admit(HERE)
        for key in (None, "", "guess"):
            with pytest.raises(GatewayError):
                providers.admit(ELSEWHERE._replace(key=key))
