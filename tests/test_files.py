"""Atomic writing: the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from textcls.errors import InputError
from textcls.files import (
    check_not_read,
    file_sha256,
    is_special,
    is_torn,
    opened,
    remove_torn,
    replacing,
    replacing_folder,
    write_text,
)

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


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed_while_writing(path: Path, kind: str = "replacing") -> None:
    """Leave the temporary neighbour of a process that was killed."""
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom textcls.files import *\n"
        f"with {kind}(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to("there/file.txt")
    for text in ("one", "two"):  # at first it leads to nothing
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "there" / "file.txt").read_text() == text
    (tmp_path / "folder").symlink_to("there", target_is_directory=True)
    with replacing_folder(tmp_path / "folder") as new:
        (new / "new").touch()
    assert (tmp_path / "folder").is_symlink()
    assert names_in(tmp_path / "there") == ["new"]
    assert names_in(tmp_path) == ["folder", "link.txt", "there"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("write", ["replacing", "opened"])
def test_a_pipe_is_written_into_and_stays(tmp_path: Path, write: str) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    assert is_special(pipe)
    if write == "opened":
        with opened(pipe) as file:
            file.write(b"through")
    else:
        with replacing(pipe) as neighbour:
            neighbour.write_bytes(b"through")
    reader.join()
    assert found == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names_in(tmp_path) == ["pipe"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors have no names here")
def test_an_open_descriptor_goes_on_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    with (tmp_path / "log").open("ab") as log:
        names = [Path(f"/dev/fd/{log.fileno()}"), Path(f"/proc/self/fd/{log.fileno()}"), tmp_path / "link"]
        names[2].symlink_to(names[0])
        for name in names:
            assert is_special(name)
            write_text(name, "more\n")
    assert (tmp_path / "log").read_text() == "before\nmore\nmore\nmore\n"
    assert names_in(tmp_path) == ["link", "log"]


def test_a_regular_file_is_not_special(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "nowhere").symlink_to("nothing")
    assert not any(map(is_special, [tmp_path, *tmp_path.iterdir(), tmp_path / "none"]))


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out"])
@pytest.mark.parametrize("links", [True, False])
def test_what_appeared_stays_and_the_result_is_kept_beside_it(
    tmp_path: Path, name: str, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path, kept = tmp_path / name, tmp_path / name.replace("out", "out-3")
    (tmp_path / name.replace("out", "out-2")).write_text("mine")

    def meanwhile() -> None:
        with replacing(path, force=False) as neighbour:
            neighbour.write_text("result")
            path.write_text("another's")

    with pytest.raises(InputError, match=f"{name}: appeared while this was at work.* is {kept}$"):
        meanwhile()
    assert (path.read_text(), kept.read_text()) == ("another's", "result")
    assert len(names_in(tmp_path)) == 3
    write_text(tmp_path / "new", "new", force=False)
    assert len(names_in(tmp_path)) == 4


@pytest.mark.parametrize("appears", ["file", "folder", "empty"])
def test_a_folder_that_appeared_stays_too(tmp_path: Path, appears: str) -> None:
    path = tmp_path / "out"

    def meanwhile() -> None:
        with replacing_folder(path, force=False) as neighbour:
            (neighbour / "file").write_text("result")
            if appears == "file":
                path.write_text("another's")
            else:
                path.mkdir()
            if appears == "folder":
                (path / "other").touch()

    if appears == "empty":
        meanwhile()
        assert names_in(path) == ["file"]
        return
    with pytest.raises(InputError, match=r"out: appeared .*out-2$"):
        meanwhile()
    assert names_in(tmp_path) == ["out", "out-2"]
    assert (tmp_path / "out-2" / "file").read_text() == "result"


needs_locks = pytest.mark.skipif(os.name != "posix", reason="such locks are POSIX's")


@needs_locks
@pytest.mark.parametrize("kind", ["replacing", "replacing_folder"])
def test_the_next_run_takes_away_what_killed_ones_left_and_nothing_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "o.csv"
    killed_while_writing(path, kind)
    others = [
        ".o.csv.part",
        ".o.csv.part.json",
        ".other.csv.00000000.part.csv",
        ".o.csv.notes.part.csv",
        ".o.csv.swp",
        "a.part",
    ]
    for name in others:
        (tmp_path / name).touch()
    assert len(names_in(tmp_path)) == len(others) + 1
    write = replacing if kind == "replacing" else replacing_folder
    with write(path) as live:
        assert names_in(tmp_path) == sorted([*others, live.name])
        killed_while_writing(path, kind)
        with write(path):  # does not take away the neighbour that is still written
            assert live.exists()
            assert len(names_in(tmp_path)) == len(others) + 2
    assert names_in(tmp_path) == sorted([*others, path.name])


@needs_locks
def test_the_journal_of_an_output_that_is_named_after_a_date_is_not_torn(tmp_path: Path) -> None:
    names = [".log.20240101.part", ".log.20240101.part.json", ".log.json.20240101.part.json", ".log.json.20240101.part"]
    for name in names:
        (tmp_path / name).touch()
    remove_torn(tmp_path)
    assert names_in(tmp_path) == sorted(names)
    (tmp_path / ".log.20240102.part").touch()
    assert is_torn(tmp_path / ".log.20240102.part")


@needs_locks
@pytest.mark.parametrize("at", [1, 2])
def test_a_folder_is_there_again_after_a_kill_between_its_renames(tmp_path: Path, at: int) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "file").write_text("old")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom textcls.files import *\n"
        "rename, done = Path.rename, []\n"
        "def killing(self, to):\n"
        "    rename(self, to)\n"
        "    done.append(to)\n"
        f"    len(done) == {at} and os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.rename = killing\n"
        "with replacing_folder(Path(sys.argv[1])) as new: (new / 'file').write_text('new')\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -signal.SIGKILL
    assert len(names_in(tmp_path)) == 2
    remove_torn(tmp_path)
    assert names_in(tmp_path) == ["model"]
    assert (path / "file").read_text() == ("old" if at == 1 else "new")


def test_errors_name_the_output_and_not_its_temporary_neighbour(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom textcls.files import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    write_text(Path(sys.argv[1]), 'x' * 1000)\n"
        "except OSError as error:\n    print(error.filename, error.strerror)\n"
    )
    assert resource
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "o")], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'o'} {os.strerror(errno.EFBIG)}\n"
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "none" / "o", "x")
    assert caught.value.filename == str(tmp_path / "none" / "o")
    assert names_in(tmp_path) == []


def test_no_output_is_what_is_read(tmp_path: Path) -> None:
    data, model = tmp_path / "data.csv", tmp_path / "model"
    model.mkdir()
    for path in (data, model / "labels.json"):
        path.touch()
    (tmp_path / "link.csv").symlink_to(data)
    os.link(data, tmp_path / "hard.csv")
    (tmp_path / "other").symlink_to(model)
    read = [data, model, tmp_path / "none"]
    for name, said in (
        ("data.csv", "is the input itself; name another file"),
        ("link.csv", "is the input itself"),
        ("hard.csv", "is the input itself"),
        ("model", "is the input itself"),
        ("model/labels.json", f"lies inside the input folder {model}; write it elsewhere"),
        ("other/new.json", f"lies inside the input folder {model}"),
        (".", "holds the input"),
    ):
        with pytest.raises(InputError, match=f"^{tmp_path / name}: {said}"):
            check_not_read(tmp_path / name, read)
    for name in ("new.csv", "modelled", "none"):
        check_not_read(tmp_path / name, read)
