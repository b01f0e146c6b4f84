"""What the tests of the workers share with those of the server."""

from tests.server.conftest import fake

__all__ = ["fake"]
