"""Descriptors by name: which one a path stands for, and that none is written into which is not the user's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from textcls.descriptors import check_descriptor, descriptor_of, only_those_open, open_double

pytestmark = pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="descriptors have no names here")


def test_a_path_names_a_descriptor_of_this_process(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/fd/7")
    names = ["/dev/stdout", "/dev/fd/7", "/proc/self/fd/7", f"/proc/{os.getpid()}/fd/7", str(tmp_path / "link")]
    assert [descriptor_of(Path(name)) for name in names] == [1, 7, 7, 7, 7]
    others = ["/dev/fd", "/dev/null", f"/proc/{os.getppid()}/fd/7", "7", str(tmp_path)]
    assert [descriptor_of(Path(name)) for name in others] == [None] * len(others)


def test_what_was_opened_since_is_not_written_into(tmp_path: Path) -> None:
    with (tmp_path / "before").open("wb") as before, only_those_open(), (tmp_path / "since").open("wb") as since:
        os.close(open_double(before.fileno()))
        for use in (check_descriptor, open_double):
            with pytest.raises(OSError, match="Bad file descriptor"):
                use(since.fileno())
        number = before.fileno()
        before.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            check_descriptor(number)
    with (tmp_path / "again").open("wb") as again:  # in a program, whose descriptors are its own
        check_descriptor(again.fileno())


def test_where_descriptors_are_not_listed_all_that_are_open_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.descriptors._FOLDER", str(tmp_path / "none"))
    with only_those_open(), (tmp_path / "since").open("wb") as since:
        check_descriptor(since.fileno())
        check_descriptor(sys.__stdout__.fileno() if sys.__stdout__ else 1)
