"""The Ray engine on a local cluster of two workers: the rows of the local engine, and none lost where a worker is killed."""

from __future__ import annotations

import csv
import functools
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers import tiny_artifact
from pyarrow import parquet

from textcls.artifact import write_artifact
from textcls.errors import DataError, InputError, MissingPackageError
from textcls.inference import Predictor, classify_files, ray_engine
from textcls.inference.graph import build_graph
from textcls.inference.ray_engine import classify_with_ray

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.filterwarnings("ignore:`use_[a-z_0-9]+` is deprecated:DeprecationWarning:ray"),  # Ray Data's own settings
    pytest.mark.filterwarnings("ignore:unclosed (file|<socket|socket|database):ResourceWarning"),
]
WORKERS = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(build_graph(tiny_artifact()).SerializeToString())
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two workers that the calls find and leave alone; its GPU stands in Ray's books alone."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    ray.init("local", num_cpus=WORKERS, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every format, with rows that cannot be read and a column that has a name of ours."""
    folder = tmp_path_factory.mktemp("inputs") / "in"
    folder.mkdir()
    with (folder / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "text", "label"], *([f"00{i}", f"two\nlines {i} " * (i % 7), i] for i in range(9000))]
        )
    with (folder / "a.csv").open("ab") as file:
        file.write(b"1,\xff,2\n")
    lines = [
        json.dumps({"text": f"a text {i}", "n": i if i % 3 else str(i), **({"x": [i]} if i % 2 else {})}) for i in range(500)
    ]
    lines += ["no JSON", '{"text": null}', '{"n": 3}', '{"text": "lone \\ud800"}']
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    table = {"text": [*(f"row {i}" for i in range(300)), None], "n": [*range(300), None], "s": [{"k": i} for i in range(301)]}
    parquet.write_table(pa.table(table), folder / "c.parquet")
    (folder / "d.txt").write_text("one text\nof two lines")
    return folder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": ["-"]}, "standard input"),
        ({"inputs": ["missing.csv"]}, "missing.csv: there is no such file"),
        ({"text": "body"}, "there is no column 'body'"),
        ({"format": "csv"}, "csv: Ray writes jsonl or parquet"),
        ({"output": "out.csv"}, r"out.csv: Ray writes a folder of part files; end its name in \.jsonl, \.parquet or nothing"),
        ({"top_k": 0}, "at least 1"),
        ({"gpu_engine": print}, "runs on the CPU alone"),
        ({"rejects": "bad.csv", "resume": True}, "rejects, resume: not with the Ray engine"),
        ({"output": "no/such/out"}, "does not exist; make it first"),
    ],
)
def test_bad_input_is_told_before_ray_starts(model: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    (tmp_path / "in.csv").write_text("text\nx\n")
    given: dict[str, Any] = {"inputs": [tmp_path / "in.csv"], "output": tmp_path / "out"} | options
    with pytest.raises(InputError, match=said) as raised:
        classify_with_ray(model, **given)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "127.0.0.1:1: no Ray cluster answers there"),
        ("127.0.0.1:x", "no Ray cluster answers there"),
        ("ray://head:10001", "with the address auto"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(model: Path, tmp_path: Path, address: str, said: str) -> None:
    assert not ray.is_initialized()
    (tmp_path / "in.csv").write_text("text\nx\n")
    with pytest.raises(InputError, match=said) as raised:
        classify_with_ray(model, [tmp_path / "in.csv"], tmp_path / "out", address=address)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_without_ray_one_line_names_the_extra(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'textcls\[ray\]'$"):
        classify_with_ray(model, ["in.csv"], tmp_path / "out")


def parts(output: Path) -> list[Path]:
    return sorted(output.iterdir())


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("ordered", [True, False])
def test_jsonl_has_the_rows_of_the_local_engine(
    model: Path, inputs: Path, tmp_path: Path, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "_PART_BLOCKS", 1)
    options: dict[str, Any] = {"top_k": 2, "all_scores": True, "min_confidence": 0.5}
    local = classify_files(Predictor.load(model), [inputs], tmp_path / "local.jsonl", **options)
    summary = classify_with_ray(model, [inputs], tmp_path / "out", ordered=ordered, **options)
    expected = (tmp_path / "local.jsonl").read_bytes().splitlines()
    found = b"".join(path.read_bytes() for path in parts(tmp_path / "out")).splitlines()
    assert len(parts(tmp_path / "out")) >= 4
    assert (found == expected) if ordered else (sorted(found) == sorted(expected))
    summary.seconds = local.seconds
    assert summary == local
    assert summary.errors == 5


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_parquet_has_the_columns_and_types_of_the_local_engine(model: Path, inputs: Path, tmp_path: Path) -> None:
    classify_files(Predictor.load(model), [inputs], tmp_path / "local.parquet")
    classify_with_ray(model, [inputs], tmp_path / "out.parquet", ordered=True)
    tables = [parquet.read_table(path) for path in parts(tmp_path / "out.parquet")]
    assert pa.concat_tables(tables).equals(parquet.read_table(tmp_path / "local.parquet"))


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_a_model_folder_and_uris_serve_as_well(inputs: Path, tmp_path: Path) -> None:
    write_artifact(tiny_artifact(), tmp_path / "model", "")
    uri = f"{inputs.parent.as_uri()}/*/[a-b].*"
    classify_with_ray(tmp_path / "model", [uri], (tmp_path / "out").as_uri(), ordered=True)
    classify_files(Predictor.load(tmp_path / "model"), [uri], tmp_path / "local.jsonl")
    *found, success = sorted(parts(tmp_path / "out"), key=lambda path: path.name == "_SUCCESS")
    assert success.name == "_SUCCESS"
    assert b"".join(path.read_bytes() for path in found) == (tmp_path / "local.jsonl").read_bytes()


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_another_engine_scores_where_ray_has_gpus(inputs: Path, tmp_path: Path) -> None:
    from textcls.model.engine import TorchEngine

    write_artifact(tiny_artifact(), tmp_path / "model", "")
    gpu_engine = functools.partial(TorchEngine, device="cpu")
    classify_with_ray(tmp_path / "model", [inputs / "a.csv"], tmp_path / "out", gpu_engine=gpu_engine, ordered=True)
    classify_files(Predictor.load(tmp_path / "model"), [inputs / "a.csv"], tmp_path / "local.jsonl")
    found, expected = (
        [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        for paths in (parts(tmp_path / "out"), [tmp_path / "local.jsonl"])
    )
    scores = [[row.pop("confidence") or 0 for row in rows] for rows in (found, expected)]
    assert found == expected
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def descendants(title: bytes) -> list[int]:
    """Return the processes below this one whose command line holds a title."""
    parents: dict[int, int] = {}
    titles: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:  # gone
            continue

    def is_ours(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return [process for process, found in titles.items() if title in found and is_ours(process)]


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker's process in /proc")
@pytest.mark.parametrize("ordered", [True, False])
def test_a_killed_worker_loses_and_doubles_no_row(
    model: Path, tmp_path: Path, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    count, files = 20_000, 20
    for number in range(files):
        rows = (f'{{"text": "a text with some more words in it", "n": {number * count + i}}}\n' for i in range(count))
        (tmp_path / "in" / f"{number:02d}.jsonl").write_text("".join(rows))
    monkeypatch.setattr(ray_engine, "_PART_BLOCKS", 1)
    killed: list[int] = []
    seen: list[int] = []

    def kill_one(rows: int, _share: float | None) -> None:
        seen.append(rows)
        if not killed and rows < count * files / 2:
            killed.append(descendants(b"_Worker")[0])
            os.kill(killed[0], signal.SIGKILL)

    summary = classify_with_ray(model, [tmp_path / "in"], tmp_path / "out", ordered=ordered, progress=kill_one)
    assert killed
    assert len(seen) > files
    found = [json.loads(line)["n"] for path in parts(tmp_path / "out") for line in path.read_text().splitlines()]
    assert (found if ordered else sorted(found)) == list(range(count * files))
    assert (summary.rows, summary.errors) == (count * files, 0)


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_a_damaged_file_and_strict_end_the_run_in_one_line(model: Path, inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(os.urandom(500_000).hex().encode())[:300_000])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz: its gzip data is cut short; copy or download it again$"):
        classify_with_ray(model, [tmp_path / "cut.jsonl.gz"], tmp_path / "out")
    with pytest.raises(DataError, match=r"a\.csv, row \d+: byte 0xff is not UTF-8; name"):
        classify_with_ray(model, [inputs / "a.csv"], tmp_path / "out", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.jsonl.gz"]
    with pytest.raises(InputError, match="connected to Ray already"):
        classify_with_ray(model, [inputs], tmp_path / "out", address="auto")


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_no_row_gives_no_part(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    for format in ("jsonl", "parquet"):
        assert classify_with_ray(model, [tmp_path / "empty.jsonl"], tmp_path / format, format=format).rows == 0
        assert parts(tmp_path / format) == []


COMMAND = [sys.executable, "-m", "textcls", "classify", "--engine", "ray", "--workers", "2"]


@pytest.mark.ray
def test_the_command_says_what_the_local_one_says_and_nothing_else(model: Path, inputs: Path, tmp_path: Path) -> None:
    command = [*COMMAND, str(model), str(inputs), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    note, rows, _, empty, errors = done.stderr.splitlines()
    assert note == "note: the input's column label is named input_label in the output"
    assert rows.startswith("9,807 rows in ")
    assert "1,286 without a token" in empty
    assert "5 could not be read" in errors


@pytest.mark.ray
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, None)])
def test_an_interrupted_command_leaves_no_part(model: Path, tmp_path: Path, sent: signal.Signals, code: int | None) -> None:
    (tmp_path / "many.jsonl").write_text('{"text": "the same text again and again"}\n' * 3_000_000)
    command = [*COMMAND, str(model), str(tmp_path / "many.jsonl"), "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not any(tmp_path.glob(".out.*/part-*")):
            time.sleep(0.05)
        running.send_signal(sent)
        _, said = running.communicate(timeout=60)
    assert running.returncode == code if code is not None else running.returncode != 0
    assert said in ({"textcls: interrupted\n"} if code is not None else {"", "Terminated\n"})
    assert [path.name for path in tmp_path.iterdir()] == ["many.jsonl"]
