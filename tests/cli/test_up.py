"""`headgate up` as a process: serving a folder, reloading on save, keeping the last good version, and ending
cleanly.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.manifests import provider, route
from tests.e2e.processes import wait_until
from tests.e2e.system import fetch_json, free_port

KEY = "sk-up-1"
QUOTA = """\
apiVersion: headgate.dev/v1alpha1
kind: TenantQuota
metadata: {name: me}
spec:
  subjects: [{name: me, type: APIKey, secretRef: {name: me}}]
---
apiVersion: v1
kind: Secret
metadata: {name: me}
stringData: {api-key: sk-up-1}
"""


class Up:
    """`headgate up FOLDER` and a fake provider beside it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.port, self.admin_port, self.provider_port = free_port(), free_port(), free_port()
        self.errors = folder.parent / "stderr"
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *provider_options: str) -> None:
        self._run("fake-provider", "--port", str(self.provider_port), *provider_options)
        ports = ("--port", str(self.port), "--admin-port", str(self.admin_port))
        self._run("up", str(self.folder), *ports)
        wait_until(self._is_ready, "it is ready", explain=self.told)

    def _run(self, *arguments: str) -> None:
        with self.errors.open("ab") as errors:
            command = [sys.executable, "-m", "headgate.cli", *arguments]
            self._running.append(
                subprocess.Popen(command, stderr=errors, stdout=errors, env=self._environment)
            )

    def _is_ready(self) -> bool:
        assert all(process.poll() is None for process in self._running), self.told()
        try:
            fetch_json(f"http://127.0.0.1:{self.provider_port}/_fake/seen")
            return bool(fetch_json(f"http://127.0.0.1:{self.admin_port}/status")["items"])
        except (urllib.error.URLError, ConnectionError):
            return False

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self._running[-1].send_signal(signal.SIGINT)
        return self._running[-1].wait(20)

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait(10)

    def told(self) -> str:
        return self.errors.read_text()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def ask(self, model: str = "gpt-4o-mini", key: str | None = KEY) -> tuple[int, str]:
        """Status and body of a completion."""
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        request = urllib.request.Request(url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @property
    def provider_url(self) -> str:
        return f"http://127.0.0.1:{self.provider_port}/v1"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    folder = tmp_path / "config"
    folder.mkdir()
    up = Up(folder, {"LOCAL_API_KEY": "sk-from-the-environment"})
    up.write("provider.yaml", provider("local", up.provider_url))
    up.write("route.yaml", route("chat", "local"))
    up.write("quota.yaml", QUOTA)
    yield up
    up.close()


def test_a_folder_is_served_and_ctrl_c_ends_it_with_code_0(up: Up) -> None:
    up.start()

    assert up.ask()[0] == 200
    assert up.interrupt() == 0
    assert "live: 1 provider, 1 route, 1 tenant" in up.told()


def test_what_is_saved_is_live_at_once(up: Up) -> None:
    up.start()
    assert up.ask("second-model")[0] == 404

    up.write("second.yaml", route("second", "local", model="second-model"))
    up.write(
        "provider.yaml",
        provider("local", up.provider_url).replace("models: [{name: gpt-4o-mini}]", "models: []"),
    )

    wait_until(lambda: up.ask("second-model")[0] == 200, "the new route is live", 10, up.told)


def test_a_broken_file_keeps_its_last_good_content_and_the_line_is_named(up: Up) -> None:
    up.start()

    up.write("route.yaml", "kind: ModelRoute\nspec:\n\tmodels: [x]\n")
    wait_until(lambda: "HG0001" in up.told(), "the broken file is told", 10, up.told)

    assert f"{up.folder}/route.yaml:3: HG0001 a tab cannot indent YAML: use spaces" in up.told()
    assert up.ask()[0] == 200


def test_a_broken_object_keeps_its_last_good_version_and_its_status_says_so(up: Up) -> None:
    up.start()

    up.write("route.yaml", route("chat", "local").replace("priority: 0", "weight: -1"))
    wait_until(lambda: "HG0101" in up.told(), "the broken object is told", 10, up.told)

    items = fetch_json(f"http://127.0.0.1:{up.admin_port}/status")["items"]
    accepted = next(
        c
        for item in items
        if item["kind"] == "ModelRoute"
        for c in item["status"]["conditions"]
        if c["type"] == "Accepted"
    )
    assert up.ask()[0] == 200
    assert (accepted["status"], accepted["reason"]) == ("False", "Invalid")
    assert accepted["message"] == (
        "HG0101 ModelRoute default/chat: spec.targets[0].weight: must be a whole number from 0 to 1000, "
        "not -1. Generation 1 keeps serving"
    )


def test_a_deleted_file_takes_its_objects_with_it(up: Up) -> None:
    up.start()

    (up.folder / "route.yaml").unlink()

    wait_until(lambda: up.ask()[0] == 404, "the route is gone", 10, up.told)
    assert '"model_not_found"' in up.ask()[1]


def test_a_key_may_come_from_the_environment(up: Up) -> None:
    with_key = provider("local", up.provider_url).replace(
        "  models:", "  credentials: [{name: main, secretRef: {name: not-in-the-folder}}]\n  models:"
    )
    up.write("provider.yaml", with_key)

    up.start("--key", "sk-from-the-environment")

    assert up.ask()[0] == 200
    assert "sk-from-the-environment" not in up.told()


def test_headgate_status_prints_the_tables_of_kubectl(up: Up) -> None:
    up.start()
    url = f"http://127.0.0.1:{up.admin_port}"
    command = [sys.executable, "-m", "headgate.cli", "status", "--url", url]
    wait_until(
        lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "all is Ready"
    )

    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert shown[0].split() == ["NAME", "TYPE", "READY", "REASON", "HEALTH", "CIRCUIT", "GATEWAYS", "AGE"]
    assert shown[1].split()[:7] == [
        "llmprovider.headgate.dev/local",
        "openai-compatible",
        "True",
        "Ready",
        "Healthy",
        "Closed",
        "1/1",
    ]


def test_headgate_status_without_a_gateway_says_what_to_do_and_exits_with_3() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "headgate.cli", "status", "--url", url],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr == (
        f"headgate status: no gateway answers at {url}/status ([Errno 111] Connection refused): "
        "start one with `headgate up DIR`, or name its admin address with --url\n"
    )


def test_a_port_that_is_taken_is_one_sentence(up: Up) -> None:
    up.start()
    command = [
        sys.executable,
        "-m",
        "headgate.cli",
        "up",
        str(up.folder),
        "--port",
        str(up.port),
        "--admin-port",
        "0",
    ]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert "choose another port with --port, --admin-port" in done.stderr
    assert "Traceback" not in done.stderr
