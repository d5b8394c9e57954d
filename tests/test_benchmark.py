"""The benchmark of classifying runs and writes its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "benchmark.py"


@pytest.mark.slow
@pytest.mark.skipif("TEXTCLS_DATA" not in os.environ, reason="TEXTCLS_DATA names no folder with data sets")
def test_classify_compares_short_and_long_texts(tmp_path: Path) -> None:
    figures = tmp_path / "speed.json"
    sizes = ["--rows", "60", "--long-rows", "6", "--rounds", "2", "--hidden", "8", "--embedding", "8"]
    only = [part for name in ("ours fp32", "ours, n-grams", "ours int8", "hand-written") for part in ("--only", name)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "classify", *sizes, *only, "--json", str(figures)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "60 short texts" in done.stdout
    result = json.loads(figures.read_text())
    assert {
        "ratio_handwritten",
        "ratio_ngrams",
        "ratio_int8",
        "floor_share",
        "rows_per_second",
        "cpu_floor_share",
    } <= result.keys()
    assert result["short"]["rows_per_core_second"]["ours fp32"] > 0
    assert (result["short"]["rows"], result["long"]["rows"]) == (60, 6)


@pytest.mark.slow
@pytest.mark.skipif("TEXTCLS_DATA" not in os.environ, reason="TEXTCLS_DATA names no folder with data sets")
def test_the_fast_way_is_compared_on_test_rows(tmp_path: Path) -> None:
    figures, kept = tmp_path / "fast.json", tmp_path / "models"
    kept.mkdir()
    sizes = ["--sets", "sms_spam", "--epochs", "1", "--rows", "300", "--rounds", "1", "--models", str(kept)]
    command = [
        sys.executable,
        str(SCRIPT),
        "classify",
        "--fast",
        *sizes,
        "--only",
        "whole",
        "--only",
        "fast",
        "--json",
        str(figures),
    ]
    subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(figures.read_text())["sms_spam"]
    assert found["fast"]["ratio"] > 0
    assert abs(found["fast"]["accuracy"] - found["whole"]["accuracy"]) <= found["fast"]["changed"] + 1e-9
    assert 0 < found["fast"]["share"] <= 1
    assert [path.name for path in kept.iterdir()] == ["sms_spam-0"]


@pytest.mark.slow
@pytest.mark.skipif("TEXTCLS_DATA" not in os.environ, reason="TEXTCLS_DATA names no folder with data sets")
def test_encode_compares_with_spacy(tmp_path: Path) -> None:
    figures = tmp_path / "encoding.json"
    command = [sys.executable, str(SCRIPT), "encode", "--rows", "300", "--rounds", "1", "--json", str(figures)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(figures.read_text())["ratio_encoding"] > 0


@pytest.mark.slow
@pytest.mark.skipif("TEXTCLS_DATA" not in os.environ, reason="TEXTCLS_DATA names no folder with data sets")
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory in use")
def test_grow_compares_with_ten_times_the_rows(tmp_path: Path) -> None:
    figures = tmp_path / "growth.json"
    command = [sys.executable, str(SCRIPT), "grow", "--rows", "200", "--epochs", "1", "--json", str(figures)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(figures.read_text())
    assert (result["few"]["rows"], result["many"]["rows"]) == (200, 2000)
    assert result["ratio_cpu_seconds"] > 0
    assert result["many"]["peak_megabytes"] > 50
