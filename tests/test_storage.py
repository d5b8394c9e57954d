"""Arrays that grow beyond memory."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls import storage
from textcls.errors import TextclsError
from textcls.storage import GrowingArray, row_blocks, rows_at_once, stored

NUMBERS = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(NUMBERS | st.lists(NUMBERS, max_size=5)), st.sampled_from([0, 16, 1 << 22]))
def test_it_holds_what_a_list_would(parts: list[int | list[int]], held: int) -> None:
    growing, expected = GrowingArray(np.int32), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_MOST_HELD", held)
        patch.setattr(storage, "_MOST_WAITING", 3)
        for part in parts:
            if isinstance(part, list):
                growing.extend(part)
                expected += part
            else:
                growing.append(part)
                expected.append(part)
        array = growing.finish()
    assert array.tolist() == expected
    assert array.dtype == np.int32
    assert not array.flags.writeable


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux what is mapped")
def test_a_large_array_is_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    large = np.arange(2_000_000).reshape(-1, 2)
    array = stored(large)
    assert np.array_equal(array, large)
    assert list(tmp_path.iterdir()) == []
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert len(mapped) == 1


def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(TextclsError, match="cannot be written: No space left on device; make room there"):
        stored(np.zeros(10_000_000, np.int8))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 100))
def test_blocks_hold_every_row_once_and_not_too_many_values(rows: int, columns: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_MOST_WORKED_ON", most)
        blocks, size = list(row_blocks(rows, columns)), rows_at_once(columns)
    assert [row for block in blocks for row in range(rows)[block]] == list(range(rows))
    assert all(block.stop - block.start in {size, rows % size} for block in blocks)
    assert size == 1 or size * columns <= most
    assert len(blocks) >= 1
