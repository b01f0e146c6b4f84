"""`/v1/providers` on the gateway's port: its HTTP, and what it says of callers to who keeps providers."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.server.providers_api import Caller, ListedProvider, load_providers_api
from gateway_runtime.server.settings import ProvidersSource
from gateway_runtime.workers.channel import Begin
from headgate.providers_cluster import ClusterProviders
from headgate.providers_object import describe_provider
from tests.server.rig import serving, settings

PATH = "/v1/providers"


class Kept:
    """Providers in memory; it remembers who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Caller, object]] = []
        self.providers: dict[str, ListedProvider] = {}
        self.refuses: GatewayError | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.begun = asyncio.Event()

    def admit(self, caller: Caller) -> None:
        if self.refuses is not None:
            raise self.refuses

    async def list_providers(self, caller: Caller) -> Sequence[ListedProvider]:
        self.asked.append(("list", caller, None))
        return list(self.providers.values())

    async def read_provider(self, caller: Caller, name: str) -> ListedProvider:
        self.asked.append(("read", caller, name))
        if name not in self.providers:
            raise GatewayError(ErrorCode.UNKNOWN_PROVIDER, f"There is no provider {name}.")
        return self.providers[name]

    async def create_provider(self, caller: Caller, wanted: Mapping[str, object]) -> ListedProvider:
        self.asked.append(("create", caller, wanted))
        self.begun.set()
        await self.go_on.wait()
        name = str(wanted["name"])
        self.providers[name] = describe_provider({"metadata": {"name": name}, "spec": {"type": "groq"}})
        return self.providers[name]

    async def delete_provider(self, caller: Caller, name: str) -> str:
        self.asked.append(("delete", caller, name))
        del self.providers[name]
        return f"default/{name}"


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_a_provider_is_added_listed_read_and_removed(kept: Kept) -> None:
    async with serving(providers_api=kept) as rig:
        added = await rig.ask({"name": "groq"}, path=PATH)
        listed = await rig.ask(method="GET", path=PATH)
        read = await rig.ask(method="GET", path=f"{PATH}/groq")
        removed = await rig.ask(method="DELETE", path=f"{PATH}/groq")
        gone = await rig.ask(method="GET", path=f"{PATH}/groq")

    assert added.status == 201
    assert added.json == read.json == listed.json["data"][0]
    assert listed.json["object"] == "list"
    assert read.json == {
        "id": "default/groq",
        "object": "provider",
        "created": 0,
        "name": "groq",
        "namespace": "default",
        "type": "groq",
        "baseUrl": None,
        "endpoints": [],
        "models": [],
        "credentials": [],
        "ready": None,
        "health": None,
        "circuit": None,
        "conditions": [],
    }
    assert (removed.status, removed.json) == (
        200,
        {"id": "default/groq", "object": "provider", "deleted": True},
    )
    assert (gone.status, gone.error["code"]) == (404, "provider_not_found")
    assert gone.headers["x-headgate-request-id"]


async def test_without_somebody_who_keeps_providers_the_path_says_who_would() -> None:
    async with serving() as rig:
        answer = await rig.ask(method="GET", path=PATH)

    assert (answer.status, answer.error["code"]) == (404, "unknown_path")
    assert answer.error["message"] == (
        "This gateway does not manage providers. `headgate up FOLDER` does, and in a cluster "
        "`headgate gateway --kubernetes-api URL`; /v1/providers is there then."
    )


@pytest.mark.parametrize(("path", "allowed"), [(PATH, "GET, POST"), (f"{PATH}/groq", "GET, DELETE")])
async def test_another_method_is_told_which_there_are(kept: Kept, path: str, allowed: str) -> None:
    async with serving(providers_api=kept) as rig:
        answer = await rig.ask(method="PATCH", path=path)

    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert kept.asked == []


async def test_who_is_not_admitted_is_refused_before_a_body_is_read(kept: Kept) -> None:
    kept.refuses = GatewayError(ErrorCode.NOT_PERMITTED, "Not here.")
    async with serving(providers_api=kept) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(b"POST /v1/providers HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{")
        answer = await reader.readuntil(b"\r\n")
        writer.close()

    assert answer == b"HTTP/1.1 403 Forbidden\r\n"
    assert kept.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"name"', b"\xff\xfe"])
async def test_a_body_that_is_no_object_is_refused(kept: Kept, body: bytes) -> None:
    async with serving(providers_api=kept) as rig:
        answer = await rig.ask(path=PATH, data=body)

    assert (answer.status, answer.error["code"]) == (400, "malformed_body")
    assert kept.asked == []


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        (f"{PATH}/groq", None, "groq"),
        (f"{PATH}/groq?namespace=team-a", "team-a", "groq"),
        (f"{PATH}/team-a/groq", "team-a", "groq"),
        (f"{PATH}/team-a/groq?namespace=team-b", "team-a", "groq"),
        (f"{PATH}/v1.eu", None, "v1.eu"),
    ],
)
async def test_a_provider_is_named_alone_or_with_its_namespace(
    kept: Kept, path: str, namespace: str | None, name: str
) -> None:
    async with serving(providers_api=kept) as rig:
        await rig.ask(method="GET", path=path)

    ((_, caller, asked),) = kept.asked
    assert (caller.namespace, asked) == (namespace, name)


@pytest.mark.parametrize(
    "path",
    [f"{PATH}/", f"{PATH}/a/..%2Fsecrets", f"{PATH}/a/b/c", f"{PATH}/A", f"{PATH}/%00", f"{PATH}/a%3Fb"],
)
async def test_what_cannot_be_a_name_is_not_asked_for(kept: Kept, path: str) -> None:
    async with serving(providers_api=kept) as rig:
        answer = await rig.ask(method="DELETE", path=path)

    assert (answer.status, answer.error["code"]) == (404, "provider_not_found")
    assert kept.asked == []


async def test_what_cannot_be_a_namespace_is_refused(kept: Kept) -> None:
    async with serving(providers_api=kept) as rig:
        answer = await rig.ask(method="GET", path=f"{PATH}?namespace=..%2F..%2Fnodes")

    assert (answer.status, answer.error["code"]) == (400, "missing_namespace")
    assert kept.asked == []


@pytest.mark.parametrize(
    ("headers", "is_local"),
    [
        ({}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]:8080"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": "https://elsewhere.example"}, False),
        ({"origin": "http://localhost"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"host": "rebound.example:8080"}, False),
        ({"host": ""}, False),
        ({"x-forwarded-for": "203.0.113.7"}, False),
        ({"forwarded": "for=203.0.113.7"}, False),
        ({"x-real-ip": "203.0.113.7"}, False),
    ],
)
async def test_a_caller_is_local_when_it_comes_from_here_by_its_own_will(
    kept: Kept, headers: dict[str, str], is_local: bool
) -> None:
    async with serving(providers_api=kept) as rig:
        await rig.ask(method="GET", path=PATH, headers=headers)

    ((_, caller, _),) = kept.asked
    assert (caller.is_local, caller.peer) == (is_local, "127.0.0.1")


async def test_what_has_begun_is_finished_when_the_caller_leaves(kept: Kept) -> None:
    kept.go_on.clear()
    async with serving(providers_api=kept) as rig:
        asking = asyncio.create_task(rig.ask({"name": "groq"}, path=PATH))
        await kept.begun.wait()
        asking.cancel()
        await asyncio.wait([asking])
        kept.go_on.set()
        listed = await rig.ask(method="GET", path=PATH)
        while not listed.json["data"]:
            listed = await rig.ask(method="GET", path=PATH)

    assert [item["name"] for item in listed.json["data"]] == ["groq"]


def test_the_settings_name_what_keeps_providers_and_tell_it_to_workers() -> None:
    source = ProvidersSource(
        "headgate.providers_cluster:make_cluster_providers", ("https://kubernetes.default.svc", "/ca.crt")
    )
    begin = Begin(worker=0, settings=replace(settings(), providers_api=source))

    received = msgspec.json.decode(msgspec.json.encode(begin), type=Begin)

    assert received.settings.providers_api == source
    assert isinstance(load_providers_api(source), ClusterProviders)


async def test_the_gateway_makes_what_the_settings_name() -> None:
    source = ProvidersSource("headgate.providers_cluster:make_cluster_providers", ("https://127.0.0.1:1", ""))
    async with serving(chosen=replace(settings(), providers_api=source)) as rig:
        without = await rig.ask(method="GET", path=PATH, key=None)
        unreachable = await rig.ask(method="GET", path=PATH, key="a-token")
        odd = await rig.ask(method="GET", path=PATH, key="tökén")

    assert (without.status, without.error["code"]) == (401, "missing_api_key")
    assert (unreachable.status, unreachable.error["code"]) == (503, "providers_unavailable")
    assert "The Kubernetes API at https://127.0.0.1:1 did not answer" in unreachable.error["message"]
    assert "a-token" not in json.dumps(unreachable.json)
    assert (odd.status, odd.error["code"]) == (401, "invalid_api_key")
