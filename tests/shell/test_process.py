"""The operator as a process, where there is no API server to be found."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.kube.access import Access
from tests.kube.ports import ReservedPort

SCRIPT = """
import asyncio, sys
from headgate_operator.main import run_operator
from headgate_operator.settings import OperatorSettings
settings = OperatorSettings(kubeconfig=sys.argv[1], stream_port=0, probe_port=0, log_format="json")
raise SystemExit(asyncio.run(run_operator(settings)))
"""


def start(kubeconfig: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(kubeconfig)], stderr=subprocess.PIPE, text=True
    )


def test_settings_that_lead_to_no_api_server_end_it_with_a_sentence() -> None:
    with start(Path("/nowhere/kubeconfig")) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.read().splitlines()[-1])

    assert process.returncode == 1
    assert line["event"] == "no way to the API server"
    assert "name a kubeconfig file with --kubeconfig or KUBECONFIG" in line["error"]


def test_it_waits_for_an_api_server_that_is_away_and_ends_well_when_told(tmp_path: Path) -> None:
    port = ReservedPort()  # nobody listens
    access = Access(f"http://127.0.0.1:{port.number}", "token", None)
    with start(access.write_kubeconfig(tmp_path / "kubeconfig")) as process:
        assert process.stderr is not None
        waiting = json.loads(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        rest = [json.loads(line) for line in process.stderr]
    port.close()

    assert (waiting["event"], "no answer from" in waiting["reason"]) == ("waiting", True)
    assert [line["event"] for line in rest] == ["operator stopped"]
    assert process.returncode == 0
