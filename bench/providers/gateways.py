"""The gateways that are measured, each a process with a table of its own.

    NATIVE    OpenAI and each provider with an API of its own
    ALONE     OpenAI and nothing else
    LITELLM   OpenAI, and one provider through litellm
    BEFORE    as ALONE, with the gateway's code of an earlier commit

In: the mock's port, cores, a folder. Out: `Started`, or a reason. The rest of each table is what
`bench.speed.ours` compiles (a key, a list of models, three limits, circuits, probes), so that only the wire
differs. `Imports` are written by Python itself, since nobody can look into another process's modules.
"""

import io
import re
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from bench.providers.bodies import build_chat
from bench.providers.cases import LITELLM_PROVIDER, NATIVE, OPENAI, THROUGH_LITELLM, Case
from bench.speed.environment import CHECKOUT, Python
from bench.speed.machine import Cores, find_tree, read_memory_mb
from bench.speed.ours import compile_table, save_table, write_manifests
from bench.speed.process import HOST, NotStarted, Pinned, find_free_port, spell_folder
from bench.speed.programs import KEY, PATH
from gateway_runtime.contract.ids import EndpointId, ProviderId, RouteId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Endpoint, LitellmOptions, Model, RoutingTable, Target

NATIVE_GATEWAY: Final = "a provider for each wire"
ALONE: Final = "OpenAI alone"
LITELLM: Final = "OpenAI, and Mistral through litellm"
BEFORE: Final = "OpenAI alone, before"
_BOOT_S: Final = 30.0
"""litellm takes three seconds of it."""
_SOURCES: Final = ("gateway_runtime", "headgate", "operator")
_LITELLM_IMPORT: Final = re.compile(r"^import time:[^|]*\|[^|]*\| *litellm(\.|$)", re.MULTILINE)
"""As `-X importtime` writes it; the gateway's own package for it has another name."""
_LISTS_IMPORTS: Final = {"PYTHONPROFILEIMPORTTIME": "1"}


class NoSuchCommit(RuntimeError):
    """The commit to compare with cannot be had."""


@dataclass(frozen=True, slots=True)
class Started:
    port: int
    program: Pinned

    @property
    def pid(self) -> int:
        return self.program.pid

    def read_memory_mb(self) -> float:
        return read_memory_mb(self.pid)

    def count_litellm_modules(self) -> int:
        """That were imported since the process began."""
        return count_imports(self.program.output.read_text(errors="replace"))

    def count_litellm_files(self) -> int:
        """That are mapped into its memory now: the part of litellm that is machine code."""
        maps = [Path(f"/proc/{pid}/maps").read_text() for pid in find_tree(self.pid)]
        return count_mapped("".join(maps))


def count_imports(importtime: str) -> int:
    return len(_LITELLM_IMPORT.findall(importtime))


def count_mapped(maps: str) -> int:
    """maps: as /proc has it, a path at the end of a line."""
    paths = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "/" in line}
    return sum("/litellm/" in path for path in paths)


@contextmanager
def start_gateways(
    before: str | None, upstream: int, cores: Cores, folder: Path, python: Python
) -> Iterator[tuple[dict[str, Started], dict[str, str]]]:
    """Those that answer by name, and why others do not. before: the commit of BEFORE; None: without it."""
    cases = {
        NATIVE_GATEWAY: (OPENAI, *NATIVE),
        ALONE: (OPENAI,),
        LITELLM: (OPENAI, THROUGH_LITELLM),
    }
    if before is not None:
        cases[BEFORE] = (OPENAI,)
    started: dict[str, Started] = {}
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        for name, theirs in cases.items():
            where = folder / spell_folder(name)
            environment = dict(_LISTS_IMPORTS)
            try:
                if name == BEFORE:
                    assert before is not None
                    environment["PYTHONPATH"] = extract_commit(before, where / "code")
                save_table(build_table(theirs, upstream, where / "manifests"), where / "state")
                port = find_free_port()
                program = Pinned(name, _spell(python, where, port), [cores.gateway], where, environment)
                stack.enter_context(program)
                program.wait_until(partial(_answers, port, theirs[-1]), _BOOT_S)
            except (NotStarted, NoSuchCommit) as error:
                absent[name] = str(error)
                continue
            started[name] = Started(port, program)
        yield started, absent


def build_table(cases: Sequence[Case], upstream: int, manifests: Path) -> RoutingTable:
    """A route for each case, named after its wire. manifests: a folder for those that the rest is made of."""
    write_manifests(manifests, (upstream, upstream), 1)
    like = compile_table(manifests)
    provider, route, tenant = like.providers[0], like.routes[0], like.tenants[0]
    cases = sorted(cases, key=lambda case: case.wire)
    return replace(
        like,
        providers=tuple(
            replace(
                provider,
                id=ProviderId(f"default/{case.wire}"),
                uid=f"provider-{case.wire}",
                type=case.type,
                endpoints=(
                    Endpoint(
                        id=EndpointId(f"default/{case.wire}/default"),
                        url=f"http://{HOST}:{upstream}{case.base}",
                    ),
                ),
                credentials=(replace(provider.credentials[0], value=Secret(case.key)),),
                models=(Model(name=case.model, upstream_name=case.model),),
                wire=case.wire,
                bedrock=case.bedrock,
                litellm=LitellmOptions(provider=LITELLM_PROVIDER) if case.wire == "litellm" else None,
            )
            for case in cases
        ),
        routes=tuple(
            replace(
                route,
                id=RouteId(f"default/{case.wire}"),
                uid=f"route-{case.wire}",
                models=(case.wire,),
                targets=(
                    Target(
                        provider=ProviderId(f"default/{case.wire}"), model=case.model, weight=1, priority=0
                    ),
                ),
            )
            for case in cases
        ),
        tenants=(replace(tenant, models=tuple(case.wire for case in cases)),),
    )


def extract_commit(commit: str, folder: Path) -> str:
    """The commit's code into a folder; what PYTHONPATH has to be for it. Raises NoSuchCommit."""
    asked = ("git", "archive", "--format=tar", commit, *_SOURCES)
    try:
        packed = subprocess.run(asked, cwd=CHECKOUT, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise NoSuchCommit("git is not on PATH") from None
    except subprocess.CalledProcessError as error:
        raise NoSuchCommit(error.stderr.decode(errors="replace").strip()) from None
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    return f"{folder}:{folder / 'operator'}"


def _spell(python: Python, folder: Path, port: int) -> tuple[str | Path, ...]:
    ports = ("--port", str(port), "--admin-port", str(find_free_port()))
    serving = ("gateway", "--name", "bench", "--state-dir", folder / "state", "--drain", "0", *ports)
    return (python.program, "-m", "headgate.cli", *serving)


def _answers(port: int, case: Case) -> bool:
    request = urllib.request.Request(
        f"http://{HOST}:{port}{PATH}",
        data=build_chat(case.wire),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 200 and b'"usage"' in answer.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
