"""Which event loop a gateway process runs on: uvloop where it is installed, else asyncio's own.

The command line asks for the maker before there is a loop; the line `gateway listens` says which it became.
`pip install 'headgate[speed]'` brings uvloop.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

try:
    import uvloop
except ModuleNotFoundError:
    make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    make_loop = uvloop.new_event_loop


def name_loop(loop: asyncio.AbstractEventLoop) -> Literal["uvloop", "asyncio"]:
    return "uvloop" if type(loop).__module__.partition(".")[0] == "uvloop" else "asyncio"
