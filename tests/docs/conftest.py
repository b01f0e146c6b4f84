"""`pytest --update-golden` writes the tables of `docs/providers.md` anew; read what `git diff` then shows."""

import pytest


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
