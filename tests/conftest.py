"""What every test may use. The real API server of `tests/kube` starts when the first test asks for it."""

import pytest
from hypothesis import settings

from tests.kube.fixtures import *  # noqa: F403 (fixtures are found by name)

# Properties have no deadline: how long one example takes tells of a busy machine, not of a fault.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden .out.yaml files anew")
