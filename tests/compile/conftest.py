"""`pytest tests/compile --update-golden` writes the expected halves of the golden pairs anew."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden .out.yaml files anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    # The option exists only when this folder is named on the command line.
    return bool(request.config.getoption("--update-golden", default=False))
