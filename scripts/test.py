"""Check everything: `python3 scripts/test.py`; with `--all` the slow tests and those for Node.js, a browser, Ray and a GPU too.

Makes `.venv`, then runs ruff, mypy and pytest, one after the other, all of them; the exit code is that of the first to fail.
What stands behind `--` goes to pytest: `python3 scripts/test.py -- -k vectors`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from _venv import PROGRAMS, ROOT, call, enter_venv

SPECIAL = ("slow", "node", "browser", "ray", "gpu")  # the markers that only --all runs
# A worker for each core, of one thread: torch's own threads would only fight over the cores.
WORKERS = ["--numprocesses", "auto", "--dist", "loadfile"]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def main() -> int:
    """Run the checks; return the exit code."""
    parser = argparse.ArgumentParser(description="Run ruff, mypy and pytest in .venv.")
    parser.add_argument("--all", action="store_true", help=f"run the tests marked {', '.join(SPECIAL)} too")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENT", help="arguments for pytest")
    options = parser.parse_args()
    enter_venv("dev")
    os.chdir(ROOT)
    chosen = [] if options.all else ["-m", f"not ({' or '.join(SPECIAL)})"]
    commands = (
        ["ruff", "format", "--check"],
        ["ruff", "check"],
        ["mypy"],
        ["pytest", *WORKERS, *chosen, *options.pytest],
    )
    failed = {}
    for program, *arguments in commands:
        shown = shlex.join([program, *arguments])
        print(f"\n$ {shown}", flush=True)
        if code := call([str(PROGRAMS / program), *arguments], ONE_THREAD):
            failed[shown] = code
    for shown, code in failed.items():
        print(f"FAILED with exit code {code}: {shown}")
    return next(iter(failed.values()), 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
