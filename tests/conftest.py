"""What every test may use. The real API server comes from `tests/kube`; it starts when the first test asks for it."""

from tests.kube.fixtures import *  # noqa: F403 (fixtures are found by name)
