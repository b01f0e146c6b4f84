"""`pytest --update-golden` writes the `.out.json` of every pair anew; read what `git diff` then shows."""

import pytest


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
