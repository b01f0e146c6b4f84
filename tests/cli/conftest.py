from tests.stores.fixtures import *  # noqa: F403 (fixtures are found by name)
