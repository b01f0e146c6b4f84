"""What every test may use. The real API server of `tests/kube` starts when the first test asks for it."""

import os
import tempfile

import pytest
from hypothesis import settings

from tests.kube.fixtures import *  # noqa: F403 (fixtures are found by name)

# Properties have no deadline: how long one example takes tells of a busy machine, not of a fault.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


# `headgate up` keeps a ledger in the user's folder for state; what tests start must not write to a real one.
_state = tempfile.TemporaryDirectory(prefix="headgate-state-")
os.environ["XDG_STATE_HOME"] = _state.name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden .out.yaml files anew")
