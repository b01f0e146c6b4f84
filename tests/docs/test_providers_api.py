"""The curl lines of docs/providers-api.md do what the page says, against a `headgate up`."""

import json
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_up import KEY, QUOTA, Up

PAGE = Path("docs/providers-api.md").read_text()
LOCAL = "http://127.0.0.1:8080"


def commands() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    folder = tmp_path / "config"
    folder.mkdir()
    up = Up(folder, {})
    up.write("quota.yaml", QUOTA)
    yield up
    up.close()


def test_the_local_lines_succeed_in_order_and_make_what_is_told(up: Up) -> None:
    up.start()
    local = [command for command in commands() if LOCAL in command]

    answers = []
    for command in local:
        arguments = shlex.split(command.replace(LOCAL, f"http://127.0.0.1:{up.port}"))
        done = subprocess.run([*arguments, "-sf"], capture_output=True, text=True, check=True)
        answers.append(done.stdout)
    request = urllib.request.Request(
        f"http://127.0.0.1:{up.port}/v1/models", headers={"authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        models = json.load(answer)

    assert len(local) == len(commands()) - 1
    assert '"id":"default/vllm"' in answers[0]
    assert '"credentials":["main"]' in answers[1]
    assert '"deleted":true' in answers[2]
    assert '"id":"default/newprovider"' in answers[3]
    assert '"baseUrl":"https://api.newprovider.example/v1"' in answers[3]
    assert [model["id"] for model in models["data"]] == ["new-model-1", "new-model-2"]
    assert sorted(path.name for path in up.folder.iterdir()) == [
        "newprovider.secret.yaml",
        "newprovider.yaml",
        "quota.yaml",
    ]
