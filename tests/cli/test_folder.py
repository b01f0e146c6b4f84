"""A folder of manifests: what is read, what is left alone, and what each broken file says."""

import base64
from pathlib import Path

import pytest

from headgate.folder import parse_file, read_file, read_folder
from headgate_operator.compile.resources import SecretId

ROUTE = """\
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat, namespace: team-a}
spec:
  models: [gpt]
  targets: [{providerRef: {name: openai}}]
"""
FILE = Path("f.yaml")


def test_objects_of_other_kinds_are_counted_and_left_alone() -> None:
    reading = parse_file(ROUTE + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", FILE)

    assert [item.id for item in reading.objects] == [("ModelRoute", "team-a", "chat")]
    assert reading.ignored == 1
    assert reading.problems == ()


def test_the_items_of_a_list_know_their_lines() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        ("  - " if i == 0 else "    ") + line + "\n" for i, line in enumerate(ROUTE.splitlines())
    )

    (item,) = parse_file(text, FILE).objects

    assert item.id == ("ModelRoute", "team-a", "chat")
    assert item.locate("spec.models").line == 8


def test_a_secret_is_read_from_data_and_from_string_data() -> None:
    encoded = base64.b64encode(b"sk-1").decode()
    reading = parse_file(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
        f"data: {{a: {encoded}}}\nstringData: {{b: sk-2}}\n",
        FILE,
    )

    values = reading.secrets[SecretId("default", "s")].values
    assert {key: value.reveal() for key, value in values.items()} == {"a": "sk-1", "b": "sk-2"}
    assert "sk-1" not in repr(reading)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: ModelRoute\n\tx: 1\n", "f.yaml:2 HG0001 a tab cannot indent YAML: use spaces"),
        (
            "just a text\n",
            "f.yaml:1 HG0002 this is not a Kubernetes object: it needs apiVersion, kind and metadata.name",
        ),
        (
            ROUTE.replace("ModelRoute", "ModelRout"),
            "f.yaml:2 HG0002 headgate.dev has no kind 'ModelRout': "
            "it has LLMProvider, ModelRoute, TenantQuota",
        ),
        (
            ROUTE.replace("v1alpha1", "v1"),
            "f.yaml:1 HG0002 ModelRoute has apiVersion headgate.dev/v1alpha1, "
            "not 'headgate.dev/v1': correct it",
        ),
        (
            ROUTE.replace("name: chat, ", ""),
            "f.yaml:3 HG0002 this ModelRoute has no metadata.name: give it one",
        ),
        (
            ROUTE + "---\n" + ROUTE,
            "f.yaml:10 HG0003 ModelRoute team-a/chat is already defined at f.yaml:3: "
            "remove one of them or give it another name",
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  key: sk-plain\n",
            "f.yaml:5 HG0004 data.key is not base64 of a text: encode it, "
            "or move the plain text to stringData",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_line_and_remedy(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(text)

    (problem,) = read_folder([tmp_path]).problems

    line = f"{problem.location} {problem.code} {problem.message}"
    assert line.replace(f"{tmp_path}/", "") == told


def test_a_broken_file_does_not_hide_another(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: [\n")
    (tmp_path / "b.yml").write_text(ROUTE)
    (tmp_path / ".hidden.yaml").write_text(ROUTE)
    (tmp_path / "notes.txt").write_text("not a manifest")

    reading = read_folder([tmp_path])

    assert [item.file.name for item in reading.objects] == ["b.yml"]
    assert [problem.location.file.name for problem in reading.problems] == ["a.yaml"]
    assert reading.files == 2


def test_a_file_that_is_gone_by_now_is_no_problem(tmp_path: Path) -> None:
    assert read_file(tmp_path / "gone.yaml") is None


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"\xff\xfe\x00")

    (problem,) = read_folder([tmp_path]).problems

    assert problem.code == "HG0005"
    assert problem.message.startswith("the file cannot be read: 'utf-8' codec")
