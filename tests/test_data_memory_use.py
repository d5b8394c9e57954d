"""Memory does not grow with the rows: what each one leaves are numbers in files, no Python objects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own, whose allocator gives back what is freed; small arrays go to files too, so that few rows tell.
CODE = """
import sys, threading, time
from textcls import storage
from textcls.config import DataSettings, TextSettings
from textcls.data import load_splits
from textcls.text import encode_training

def anonymous():
    lines = open("/proc/self/status", encoding="utf-8").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def look():
    while not over:
        peaks.append(anonymous())
        time.sleep(0.002)

storage._MOST_HELD = 1 << 16
over, peaks = [], []
looking = threading.Thread(target=look)
looking.start()
splits = load_splits(DataSettings(train=sys.argv[1], test_share=0.1))
encoded, vocabulary, counts = encode_training(splits.train.texts, TextSettings())
lengths, targets = encoded.lengths, splits.train.targets
over.append(True)
looking.join()
print(max(peaks) / 1024)
"""


def peak_megabytes(rows: int, folder: Path) -> float:
    with (folder / f"{rows}.csv").open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for row in range(rows):
            first, second = divmod(row, 1000)  # few tokens, for the vocabulary is held in memory; every text is another one
            file.write(f"the sight {first} of place {second} was seen by many people,{'ab'[row % 2]}\n")
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", CODE, str(folder / f"{rows}.csv")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory in use")
def test_reading_cutting_and_encoding_take_few_bytes_a_row(tmp_path: Path) -> None:
    few, many = peak_megabytes(100_000, tmp_path), peak_megabytes(400_000, tmp_path)
    assert (many - few) * 2**20 / 300_000 < 40  # bytes a row; it is about 7, and a text as a Python object would take over 90
