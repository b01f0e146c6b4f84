"""The long run: `python -m tests.fuzz --inputs 200000` gives each property so many inputs.

What pytest says is printed, and its exit code is ours: 0 all held, 1 something did not.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.inputs import VARIABLE


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=20_000, help="for each property")
    inputs = parser.parse_args().inputs
    # Timed by whoever asked for so many: the suite's limit for one test does not hold here.
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=0", "--durations=0"]
    asked = [*command, str(Path(__file__).parent)]
    return subprocess.run(asked, env={**os.environ, VARIABLE: str(inputs)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
