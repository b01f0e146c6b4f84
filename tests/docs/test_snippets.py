"""What the README and the pages of docs/ show is run: YAML is judged, commands are executed, Python is
executed.

`headgate` commands run here; `kubectl` commands run in order against a real API server, page by page. `make
run` has a test of its own, and `make test` is what runs this.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gateway_runtime.ledger.sqlite import SqliteStore
from headgate.folder import parse_file
from headgate_operator.api.manifest import BrokenManifest, parse_manifest
from tests.e2e.processes import wait_until
from tests.kube.cluster import Cluster
from tests.ledger.rows import build_rows

PAGES = (Path("README.md"), *sorted(Path("docs").glob("*.md")))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STAYS = ("headgate up", "make ")
"""Commands that run until they are stopped, or run this: they have tests of their own."""
NEEDS_OPERATOR = ("kubectl wait", "kubectl get headgate")


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found, text in _BLOCK.findall(page.read_text()):
            if found == language:
                yield page, text


def commands(program: str) -> list[tuple[Path, str]]:
    return [
        (page, line)
        for page, text in blocks("sh")
        for line in text.splitlines()
        if line.startswith(f"{program} ") and not line.startswith(STAYS)
    ]


@pytest.mark.parametrize(("page", "text"), list(blocks("yaml")))
def test_yaml_in_the_docs_is_what_the_api_takes(page: Path, text: str) -> None:
    reading = parse_file(text, page)

    assert reading.problems == ()
    assert [
        p
        for item in reading.objects
        if isinstance(p := parse_manifest(item.raw, refuse_unknown_fields=True), BrokenManifest)
    ] == []
    assert reading.objects or list(yaml.safe_load_all(text))


@pytest.mark.parametrize(("page", "command"), commands("headgate"))
def test_headgate_commands_in_the_docs_succeed(page: Path, command: str, tmp_path: Path) -> None:
    """There is a ledger in its place, as after some days of `headgate up`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_STATE_HOME": str(tmp_path)}
    store = SqliteStore(tmp_path / "headgate" / "usage.db")
    store.write(build_rows(3))
    store.close()

    done = subprocess.run(shlex.split(command), env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.kube
def test_kubectl_commands_in_the_docs_succeed_in_order(cluster: Cluster) -> None:
    ran = []
    for page, command in commands("kubectl"):
        if command.startswith(NEEDS_OPERATOR):
            continue
        _, *arguments = shlex.split(command.replace("kubectl create", "kubectl create -n default"))
        done = cluster.kubectl(*arguments, check=False)
        assert done.returncode == 0, f"{page}: {command}: {done.stderr}"
        ran.append(command)

    assert len(ran) >= 5


def test_every_command_in_the_docs_is_of_a_kind_that_is_tested() -> None:
    known = ("headgate ", "kubectl ", "make ")
    lines = [line for _, text in blocks("sh") for line in text.splitlines() if line]

    assert [line for line in lines if not line.startswith(known)] == []


def test_make_run_prints_three_curl_lines_that_work_and_the_python_of_the_readme_too(tmp_path: Path) -> None:
    """The README's first command as printed, with the default port. Ctrl-C ends it in good order."""
    log = tmp_path / "run.log"
    with log.open("wb") as output:
        running = subprocess.Popen(["make", "run"], stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until(lambda: "Ctrl-C ends everything" in log.read_text(), "make run is up", 60, log.read_text)
        curls = [line.strip() for line in log.read_text().splitlines() if line.strip().startswith("curl ")]
        answers = [
            subprocess.run(shlex.split(c), capture_output=True, text=True, check=True).stdout for c in curls
        ]
        ((_, snippet),) = blocks("python")
        python = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
    finally:
        os.killpg(running.pid, 2)
        running.wait(30)

    assert len(answers) == 3
    assert '"object":"chat.completion"' in answers[0]
    assert answers[1].rstrip().endswith("data: [DONE]")
    assert '"kind": "LLMProvider"' in answers[2]
    assert "it heard: Hello" in python.stdout, python.stderr
    assert "gateway stopped" in log.read_text()
