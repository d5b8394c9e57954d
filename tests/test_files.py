"""Atomic writing: the old file or the new one, never half of one."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from textcls.files import file_sha256, replacing, replacing_folder, write_text

BROKEN = "half of it"


def test_a_new_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with replacing(path) as neighbour:
        neighbour.write_text("new")
        assert not path.exists()
        assert neighbour.parent == tmp_path
        assert neighbour.suffix == ".txt"  # writers choose a format by it
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as neighbour:
            neighbour.write_text(BROKEN)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "file").write_text("old")

    def failing() -> None:
        with replacing_folder(path) as neighbour:
            (neighbour / "file").write_text(BROKEN)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert (path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_gives_way_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model"
    for content in ("one", "two"):
        with replacing_folder(path) as neighbour:
            (neighbour / content).write_text(content)
        assert [file.name for file in path.iterdir()] == [content]
        assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "file").write_text("old")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), replacing_folder(path) as neighbour:
        (neighbour / "file").write_text("new")
    assert (path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["replacing", "replacing_folder"])
def test_a_killed_process_leaves_the_old(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    target = path / "file" if kind == "replacing_folder" else path
    target.parent.mkdir(exist_ok=True)
    target.write_text("old")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom textcls.files import *\n"
        f"with {kind}(Path(sys.argv[1])) as new:\n"
        f"    (new / 'file' if new.is_dir() else new).write_text({BROKEN!r})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    assert target.read_text() == "old"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "text")
        with replacing_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"file": 0o640, "folder": 0o750}


def test_text_is_utf_8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "é\n")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9\n"
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"\xc3\xa9\n").hexdigest()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "none" / "file", "text")
