"""The runtime of the `web` export: two files of the npm package `onnxruntime-web`, at one version whose sums are known."""

from __future__ import annotations

import base64
import functools
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from textcls.errors import InputError, TextclsError
from textcls.files import file_sha256, from_home, replacing
from textcls.text.cache import cache_dir

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package's tarball, as npm's lock files write it."""
# The plain build for one thread, the smallest that has the operators on strings; names in the package's folder `dist`.
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_NPM_FIELDS = {"code", "errno", "syscall", "path", "dest"}
SECONDS = 600  # the tarball has 33 MB


def runtime_files(folder: str | Path | None = None) -> list[Path]:
    """Return the paths of the runtime's files, in the order of `FILES`, each with the right SHA-256.

    Args:
        folder: Where they are, or an unpacked package whose `dist` they are in; the user's cache if not given, which is filled
            with `npm pack` where it lacks them.

    Raises:
        InputError: The folder lacks one of them, or it is of another version or damaged.
        TextclsError: They cannot be fetched, or what was fetched is not what was published.
    """
    if folder is None:
        cache = (cache_dir() or Path(_of_this_process().name)) / PACKAGE.replace("@", "-")
        if not all(_is_right(cache / name) for name in FILES):
            _fetch(cache)
        return [cache / name for name in FILES]
    places = [from_home(folder), from_home(folder) / "dist"]
    found = []
    for name in FILES:
        paths = [place / name for place in places if (place / name).is_file()]
        if not paths:
            raise InputError(f"--runtime {folder}: has no {name}; unpack what `npm pack {PACKAGE}` gives, and name that folder")
        right = next((path for path in paths if _is_right(path)), None)
        if right is None:
            raise InputError(f"{paths[0]}: is not the file of {PACKAGE} (another SHA-256); get that version, and whole")
        found.append(right)
    return found


@functools.cache
def _of_this_process() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes as the process ends, for where nothing is to be kept."""
    return tempfile.TemporaryDirectory(prefix="textcls-")


def _is_right(path: Path) -> bool:
    return path.is_file() and file_sha256(path) == FILES[path.name]


def _fetch(cache: Path) -> None:
    """Put the runtime's files into the cache, each of them whole or not at all."""
    by_hand = f"run `npm pack {PACKAGE}` where there is a network, unpack it, and name its folder with --runtime"
    with tempfile.TemporaryDirectory() as temporary:
        tarball = _packed(Path(temporary), by_hand)
        digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY:
            raise TextclsError(
                f"{PACKAGE}: the downloaded package does not have the published SHA-512 and is not used: {by_hand}"
            )
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tarfile.open(tarball) as package:
                for name in FILES:
                    source = package.extractfile(f"package/dist/{name}")
                    assert source is not None  # the sum says so
                    with source, replacing(cache / name) as neighbour, neighbour.open("wb") as target:
                        shutil.copyfileobj(source, target)
        except OSError as error:
            raise TextclsError(f"{PACKAGE}: cannot be unpacked into {cache}: {error.strerror or error}") from error


def _packed(folder: Path, by_hand: str) -> Path:
    """Let npm download the package's tarball; nothing in it is run."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"--to web fetches {PACKAGE} with npm, which is not installed here: install Node.js, or {by_hand}")
    command = [npm, "pack", PACKAGE, "--ignore-scripts", "--loglevel=error", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise TextclsError(f"{PACKAGE}: npm took longer than {SECONDS} seconds: {by_hand}") from error
    tarballs = list(folder.glob("*.tgz"))
    if done.returncode or len(tarballs) != 1:
        raise TextclsError(f"{PACKAGE}: the download failed ({_reason(done.stderr)}): {by_hand}")
    return tarballs[0]


def _reason(complaints: str) -> str:
    """Return npm's code, such as ECONNREFUSED, and its first sentence: lines that begin with a field's name are none."""
    lines = [line.removeprefix("npm error").strip() for line in complaints.splitlines() if line.startswith("npm error")]
    fields = {name: value for name, _, value in (line.partition(" ") for line in lines) if name in _NPM_FIELDS}
    sentence = next((line for line in lines if " " in line and line.partition(" ")[0] not in _NPM_FIELDS), None)
    return ": ".join(filter(None, (fields.get("code"), sentence))) or "npm failed"
