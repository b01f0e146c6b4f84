"""`headgate usage`: what it prints, and with which exit code; and that `headgate up` keeps what it reads."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from gateway_runtime.ledger.sqlite import SqliteStore
from headgate.cli import main
from headgate.usage import find_default_ledger
from tests.cli.test_up import Up
from tests.cli.test_up import up as up  # a fixture
from tests.e2e.processes import wait_until
from tests.ledger.rows import DAY_MS, NOON_MS, build_row

ALL = ("--since", "2026-10-01", "--until", "2026-12-01")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "usage.db"
    store = SqliteStore(path)
    store.write(
        [
            build_row("1", user="alice"),
            build_row("2", tenant="b/team", model="llama", cost_usd_picos=None, priced=False),
            build_row("3", ended_unix_ms=NOON_MS - DAY_MS, status=502, error="HG1013", input_tokens=None,
                      output_tokens=None, cached_tokens=None, cache_write_tokens=None, reasoning_tokens=None,
                      cost_usd_picos=None),
            build_row("4", cost_usd_picos=10**12 + 1, user="alice"),
        ]
    )  # fmt: skip
    store.close()
    return path


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["usage", *arguments], env=environment)


def test_sums_are_a_table(ledger: Path) -> None:
    result = run("--ledger", str(ledger), "--by", "tenant,model", *ALL)

    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
TENANT      MODEL   REQUESTS   ERRORS   INPUT   CACHED   OUTPUT              USD
b/team      llama          1        0      10        0        4                0
chat/team   gpt            3        1      20        0        8   1.000003900001
TOTAL                      4        1      30        0       12   1.000003900001
1 of 4 requests have no known price: their cost is not in the sums.
"""
    )


def test_csv_is_for_programs(ledger: Path) -> None:
    result = run("--ledger", str(ledger), "--by", "day", "--by", "user", "-o", "csv", *ALL)

    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
day,user,requests,errors,input_tokens,output_tokens,cached_tokens,cache_write_tokens,reasoning_tokens,\
cost_usd,unpriced,uncounted,estimated
2026-10-31,,1,1,0,0,0,0,0,0,0,0,0
2026-11-01,,1,0,10,4,0,0,0,0,1,0,0
2026-11-01,alice,2,0,20,8,0,0,0,1.000003900001,0,0,0
"""
    )


def test_json_says_what_was_asked_and_has_money_as_text(ledger: Path) -> None:
    result = run("--ledger", str(ledger), "--tenant", "chat/team", "-o", "json", *ALL)
    total = {
        "requests": 3,
        "errors": 1,
        "input_tokens": 20,
        "output_tokens": 8,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "cost_usd": "1.000003900001",
        "unpriced": 0,
        "uncounted": 0,
        "estimated": 0,
    }

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "object": "usage",
        "by": [],
        "since": "2026-10-01T00:00:00Z",
        "until": "2026-12-01T00:00:00Z",
        "data": [total],
        "total": total,
    }


def test_no_requests_in_the_time_are_no_failure(ledger: Path) -> None:
    result = run("--ledger", str(ledger), "--since", "2020-01-01", "--until", "2020-02-01")

    assert result.exit_code == 0
    assert result.stdout == "No requests between 2020-01-01T00:00:00Z and 2020-02-01T00:00:00Z.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "colour"], 'Sums cannot be made by "colour". They can by: tenant, user, key, route,'),
        (["--since", "soon"], '"soon" is no time: write how long ago (12h, 30d, 4w)'),
        (["--since", "1d", "--until", "2d"], "`until` is not after `since`"),
        (["-o", "xml"], "'xml' is not one of 'table', 'csv', 'json'"),
    ],
)
def test_wrong_usage_is_code_2(ledger: Path, arguments: list[str], message: str) -> None:
    result = run("--ledger", str(ledger), *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_without_a_ledger_it_could_not_look_which_is_code_3(tmp_path: Path) -> None:
    result = run(environment={"XDG_STATE_HOME": str(tmp_path)})

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        f"headgate usage: no ledger at {tmp_path}/headgate/usage.db: `headgate up` and `headgate gateway "
        "--ledger PATH` keep one; name it with --ledger\n"
    )


def test_a_file_that_is_no_ledger_is_code_3(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("Dear Sir or Madam, " * 100)
    result = run("--ledger", str(tmp_path / "letters"))

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"headgate usage: {tmp_path}/letters: file is not a database\n"


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    result = run("--ledger", str(tmp_path))

    assert result.exit_code == 2
    assert f"{tmp_path} is a folder: name a file in it, such as {tmp_path}/usage.db." in result.stderr


@pytest.mark.parametrize("command", ["usage", "up", "gateway"])
def test_a_url_with_a_password_in_it_is_refused_without_it(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--ledger", "postgresql://me:planted-secret@db/usage"])

    assert result.exit_code == 2
    assert "The ledger's URL has a password in it: write ${NAME} in its place" in result.stderr
    assert "planted-secret" not in result.output


def test_a_gateway_with_a_ledger_in_postgresql_needs_a_folder_for_its_journal(tmp_path: Path) -> None:
    url = "postgresql://me@db.invalid/usage"
    result = CliRunner().invoke(main, ["gateway", "--bootstrap-dir", str(tmp_path), "--ledger", url])

    assert result.exit_code == 2
    assert "name one with --ledger-spool" in " ".join(result.stderr.split())


def test_an_export_is_every_row(ledger: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    shown = run("export", "--ledger", str(ledger), *ALL)
    written = run("export", "--ledger", str(ledger), *ALL, "-o", str(path))
    lines = shown.stdout.splitlines()

    assert (shown.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert path.read_text() == shown.stdout
    assert lines[0].startswith("request_id,ended_unix_ms,tenant,user,key_id,route,provider,model,")
    assert lines[0].endswith(",reasoning_usd_picos,ended,cost_usd")
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "1", "2", "4"]
    assert lines[-1].endswith(",2026-11-01T12:00:00Z,1.000000000001")


def test_an_export_is_about_one_tenant_where_one_is_named(ledger: Path) -> None:
    result = run("export", "--ledger", str(ledger), "--tenant", "b/team", *ALL)

    assert [line.split(",")[0] for line in result.stdout.splitlines()[1:]] == ["2"]


def test_billing_rows_are_an_export_too(ledger: Path) -> None:
    result = run("export", "--ledger", str(ledger), "--format", "focus", *ALL)
    lines = result.stdout.splitlines()

    assert result.exit_code == 0
    assert lines[0].startswith("BilledCost,BillingAccountId,BillingCurrency,")
    assert [line.split(",")[0] for line in lines[1:]] == ["1.000003900001"]


def test_parquet_is_one_more(ledger: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    result = run("export", "--ledger", str(ledger), "--format", "parquet", *ALL, "-o", str(path))

    assert result.exit_code == 0
    assert parquet.read_table(path).num_rows == 4
    assert [file.name for file in tmp_path.iterdir() if "part" in file.name.split(".")] == []


def test_without_its_package_parquet_is_told_how_to_get_it(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "rows.parquet"
    result = run("export", "--ledger", str(ledger), "--format", "parquet", "-o", str(path))

    assert (result.exit_code, path.exists()) == (3, False)
    assert result.stderr == (
        "headgate usage export: Parquet needs the package pyarrow: pip install 'headgate[parquet]'\n"
    )


def test_without_its_package_postgresql_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway_runtime.ledger.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    result = run("--ledger", "postgresql://me@db.invalid/usage")

    assert result.exit_code == 2
    assert "pip install 'headgate[postgres]'" in " ".join(result.stderr.split())


def test_an_export_that_cannot_be_finished_leaves_no_file(ledger: Path, tmp_path: Path) -> None:
    ledger.write_bytes(b"Dear Sir or Madam, " * 1000)
    result = run("export", "--ledger", str(ledger), "-o", str(tmp_path / "rows.csv"))

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"headgate usage export: {ledger}: file is not a database\n"
    assert [file.name for file in tmp_path.iterdir() if "rows" in file.name] == []


def test_a_place_that_cannot_be_written_is_named(ledger: Path, tmp_path: Path) -> None:
    result = run("export", "--ledger", str(ledger), "-o", str(tmp_path / "nowhere" / "rows.csv"))

    assert result.exit_code == 3
    assert result.stderr == (
        f"headgate usage export: {tmp_path}/nowhere/rows.csv: No such file or directory\n"
    )


def test_options_of_an_export_stand_behind_it(ledger: Path) -> None:
    result = run("--since", "7d", "export", "--ledger", str(ledger))

    assert result.exit_code == 2
    assert "options of `export` stand behind it: headgate usage export --since 7d" in result.stderr


def test_the_default_place_is_where_programs_keep_their_state() -> None:
    home = Path("/home/me")
    own = home / ".local/state/headgate/usage.db"

    assert find_default_ledger({}, home) == own
    assert find_default_ledger({"XDG_STATE_HOME": "not/absolute"}, home) == own
    assert find_default_ledger({"XDG_STATE_HOME": "/state"}, home) == Path("/state/headgate/usage.db")


def test_up_keeps_a_ledger_there_unless_it_is_told_not_to(up: Up, tmp_path: Path) -> None:
    path = tmp_path / "headgate" / "usage.db"
    up._environment["XDG_STATE_HOME"] = str(tmp_path)
    up.start()

    assert up.ask()[0] == 200
    assert up.interrupt() == 0
    result = run("--by", "tenant,model", environment={"XDG_STATE_HOME": str(tmp_path)})
    assert path.exists()
    assert result.stdout.splitlines()[1].split()[:3] == ["default/me", "gpt-4o-mini", "1"]


def test_up_with_no_ledger_makes_no_file(up: Up, tmp_path: Path) -> None:
    up._environment["XDG_STATE_HOME"] = str(tmp_path)
    up.start()
    up.interrupt()
    (tmp_path / "headgate" / "usage.db").unlink()
    up._run("up", str(up.folder), "--port", "0", "--admin-port", "0", "--no-ledger")
    wait_until(lambda: up.told().count("serving http://") == 2, "it serves", explain=up.told)

    assert up.interrupt() == 0
    assert not (tmp_path / "headgate" / "usage.db").exists()


def test_a_ledger_and_none_are_opposites(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["up", "--ledger", str(tmp_path / "x"), "--no-ledger"])

    assert result.exit_code == 2
    assert "--ledger and --no-ledger are opposites: give one of them" in result.stderr
