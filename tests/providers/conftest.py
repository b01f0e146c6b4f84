"""`pytest --update-golden` writes the expected halves of the golden pairs anew."""

import pytest


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
