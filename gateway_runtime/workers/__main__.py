"""`python -m gateway_runtime.workers FD`: one worker process. Only the parent starts it, and hands it one end
of a socket pair as that file descriptor.
"""

import asyncio
import socket
import sys

from gateway_runtime.server.loop import make_loop
from gateway_runtime.workers.worker import run_worker

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=make_loop) as runner:
        raise SystemExit(runner.run(run_worker(socket.socket(fileno=int(sys.argv[1])))))
