"""Make the checkout's `.venv` and install textcls into it, on a Python with nothing but its standard library.

A stamp in `.venv` notes what was installed, by which Python and from which files: a second call changes nothing and takes no time,
and an installation that was cut off is made anew.
"""

from __future__ import annotations

import collections
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# An older Python gets as far as this line: nothing above it, and no syntax below it, may need a newer one.
if not (3, 11) <= sys.version_info < (3, 15):
    sys.exit("textcls needs Python 3.11 to 3.14, this is {}.{}: start the script with another one".format(*sys.version_info))

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PROGRAMS = VENV / ("Scripts" if os.name == "nt" else "bin")
_PYTHON = PROGRAMS / ("python.exe" if os.name == "nt" else "python")
_STAMP = VENV / "textcls.json"
_INPUTS = ("pyproject.toml", "constraints.txt")  # what decides which packages are installed
_BRINGS = {"demo": ["demo"], "dev": ["demo", "dev"]}  # the extras that come with each extra
_LAST_LINES = 15  # of pip's output, where it fails
_PIP_FAILED = """
pip failed; the lines above are its last. It needs a network connection to a package index, and 3 GB of disk (more where PyTorch
brings CUDA). When that is mended, start the script again: it goes on from here."""


def enter_venv(extra: str) -> None:
    """Install textcls with an extra, then go on inside `.venv`: started by another Python, the script is run there and ends."""
    install(extra)
    if Path(sys.prefix).resolve() != VENV.resolve():
        sys.exit(call([str(_PYTHON), *sys.argv]))


def install(extra: str) -> None:
    """Make `.venv` with textcls and one of its extras, `demo` or `dev`; where that is done already, change nothing."""
    stamp = _read_stamp()
    wanted = {"python": _version(), "inputs": _digest()}
    if _PYTHON.exists() and extra in stamp.get("extras", ()) and stamp.items() >= wanted.items():
        return
    started = time.monotonic()
    cut_off = stamp.get("extras") == []
    if cut_off or _version_in_venv() != _version():
        _make_venv()
    name = "dev" if "dev" in stamp.get("extras", ()) else extra  # what was there before stays
    print(f"Installing textcls[{name}] into .venv: some minutes and 2 GB the first time", flush=True)
    _write_stamp({"extras": []})
    _pip("install", "-c", "constraints.txt", "-e", f".[{name}]")
    _write_stamp({**wanted, "extras": _BRINGS[name]})
    print(f"Installed in {time.monotonic() - started:.0f} s\n", flush=True)


def call(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command and return its exit code; Ctrl-C is left to the command, and raised here after its end."""
    interrupted = False
    with subprocess.Popen(command, env={**os.environ, **(environment or {})}) as process:
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode


def _version_in_venv() -> str | None:
    """Ask the Python of `.venv` for its version; None where there is none that runs."""
    command = [str(_PYTHON), "-c", "import sys, pip; print('{}.{}'.format(*sys.version_info))"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _make_venv() -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(f"This Python cannot make virtual environments. On Debian and Ubuntu: apt install python{_version()}-venv")
    print(f"Making .venv with Python {_version()}", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)]).returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(f"{VENV} could not be made; the lines above say why")


def _pip(*arguments: str) -> None:
    """Run pip in `.venv`; a terminal shows its current step, and its last lines are printed only where it fails."""
    command = [str(_PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    tail: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    step, clear = ("\r\033[K  {:.70}", "\r\033[K") if sys.stdout.isatty() else ("", "")
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            tail.append(line.rstrip())
            print(step.format(" ".join(line.split()[:2])), end="", flush=True)
    print(clear, end="")
    if pip.returncode:
        print(*tail, _PIP_FAILED, sep="\n", file=sys.stderr)
        sys.exit(1)


def _read_stamp() -> dict[str, Any]:
    """Return what the last installation noted: its extras are empty while it goes on; nothing in a `.venv` made by hand."""
    try:
        stamp = json.loads(_STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(stamp: Mapping[str, object]) -> None:
    _STAMP.write_text(json.dumps(stamp) + "\n", encoding="utf-8")


def _digest() -> str:
    """Return one SHA-256 over the files that decide what is installed, and over the place of the checkout."""
    return hashlib.sha256(b"\0".join([str(ROOT).encode(), *((ROOT / name).read_bytes() for name in _INPUTS)])).hexdigest()


def _version() -> str:
    return "{}.{}".format(*sys.version_info)
