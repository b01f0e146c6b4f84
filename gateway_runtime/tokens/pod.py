"""What the pod is told of its own identity: environment variables, and the files that they name.

The flows read it anew for each exchange: the kubelet and the webhooks of the clouds rotate such files, most
of them within the hour. Whatever is missing is a TokenRefused that names the variable, for a person who looks
at a Deployment.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from gateway_runtime.contract.secret import Secret
from gateway_runtime.tokens.token import TokenRefused


class Pod:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self, variable: str) -> str | None:
        """None when it is not set, or empty: a chart that leaves a value out sets it to nothing."""
        return self._environment.get(variable) or None

    def require(self, variable: str, remedy: str) -> str:
        """remedy: a clause. Raises TokenRefused."""
        value = self.find(variable)
        if value is None:
            raise TokenRefused(f"{variable} is not set in the gateway's environment: {remedy}")
        return value

    async def read_file(self, path: str, named_by: str) -> Secret:
        """Its text, without the blank at the end. named_by: a variable, or a member of a file. Raises
        TokenRefused.
        """
        try:
            text = await asyncio.to_thread(Path(path).read_text, "utf-8")
        except OSError as error:
            problem = (error.strerror or "unknown error").lower()
            raise TokenRefused(f"the file that {named_by} names cannot be read ({problem})") from error
        except ValueError as error:  # UnicodeDecodeError too; a path with a zero byte
            raise TokenRefused(f"the file that {named_by} names is not text") from error
        if not text.strip():
            raise TokenRefused(f"the file that {named_by} names is empty")
        return Secret(text.strip())
