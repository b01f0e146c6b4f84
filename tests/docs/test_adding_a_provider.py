"""`docs/adding-a-provider.md` names what is there, and all places that know the wire it follows."""

import ast
import re
from pathlib import Path

import pytest

PAGE = Path("docs/adding-a-provider.md").read_text()
WIRE = Path("gateway_runtime/providers/wires/ollama")
ROOTS = ("gateway_runtime", "operator", "headgate")
_LOOK_AT = re.compile(r"^\| `([^`]+\.py)` \|[^|]*\| ([^|]*) \|$", re.MULTILINE)
_NAMED_IN = re.compile(r"^\| `([^`]+\.py)` \|[^|]*\|$", re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:gateway_runtime|operator|tests|docs)/[^`]+)`", PAGE)))
)
def test_a_path_that_the_page_names_is_there(path: str) -> None:
    assert Path(path).exists()


@pytest.mark.parametrize(("path", "names"), _LOOK_AT.findall(PAGE))
def test_what_the_page_looks_at_in_a_file_is_in_it(path: str, names: str) -> None:
    wanted = set(re.findall(r"`([^`]+)`", names))

    assert wanted
    assert wanted - find_definitions(Path(path)) == set()


def test_the_page_goes_through_all_of_the_wire() -> None:
    files = {str(path) for path in WIRE.glob("*.py") if path.name != "__init__.py"}

    assert files - {path for path, _ in _LOOK_AT.findall(PAGE)} == set()


def test_no_other_code_than_the_page_says_knows_the_wire() -> None:
    code = (path for root in ROOTS for path in Path(root).rglob("*.py") if WIRE not in path.parents)

    assert {str(path) for path in code if knows(path, WIRE.name)} == set(_NAMED_IN.findall(PAGE))


def find_definitions(path: Path) -> set[str]:
    """Functions, classes and what is assigned, also inside of classes."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def knows(path: Path, name: str) -> bool:
    """It has the name as a value, or imports something of it. Comments and sentences do not count."""
    text = path.read_text()
    if name not in text:
        return False
    return any(
        (isinstance(node, ast.Constant) and node.value == name)
        or (isinstance(node, ast.ImportFrom) and name in (node.module or "").split("."))
        for node in ast.walk(ast.parse(text))
    )
