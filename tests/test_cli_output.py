"""What all commands do with the files that they write, and with standard output and input."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import TINY, command, refusal, set_to
from conftest import TinyRun

from textcls.cli import main
from textcls.files import replacing
from textcls.inference.predictor import Predictor
from textcls.training.events import EpochEnd, Event

needs_posix = pytest.mark.skipif(os.name != "posix", reason="shells, pipes and devices as POSIX has them")


@pytest.fixture(autouse=True)
def place(tiny_run: TinyRun, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, an exported file, data and settings, in which the test is."""
    shutil.copytree(tiny_run.model, tmp_path / "model")
    for source, name in ((tiny_run.train, "d.csv"), (tiny_run.train, "log.jsonl"), (tiny_onnx, "m.onnx")):
        shutil.copyfile(source, tmp_path / name)
    rows = [line.split(",") for line in tiny_run.train.read_text().splitlines()[1:]]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    (tmp_path / "config.yaml").write_text("data: {train: d.csv}\n")
    (tmp_path / "best.yaml").write_text("data: {train: d.csv}\n")
    (tmp_path / "texts.onnx").write_text("a text\nanother\n")
    shutil.copyfile(tiny_run.train, tmp_path / "trials.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files but the graph, which is kept beside the weights."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "model.onnx")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def names(folder: Path = Path()) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train d.csv --run d.csv", "d.csv: the run folder cannot be made: d.csv is a file"),
        ("train d.csv --run d.csv --force", "d.csv: the run folder cannot be made: d.csv is a file"),
        ("train d.csv --run /dev/null", "/dev/null: the run folder cannot be made: /dev/null is no folder"),
        ("train d.csv --run d.csv/run", "d.csv is a file"),
        ("classify model d.csv -o d.csv --force", "d.csv: is the input itself"),
        ("classify model d.csv -o o.csv --rejects d.csv --force", "d.csv: is the input itself"),
        (
            "classify model d.csv -o model/labels.json --format jsonl --force",
            "model/labels.json: lies inside the input folder model",
        ),
        ("classify model d.csv -o model/new.csv", "model/new.csv: lies inside the input folder model"),
        ("classify m.onnx d.csv -o m.onnx --format jsonl --force", "m.onnx: is the input itself"),
        ("classify m.onnx d.csv -o . --engine ray --force", ".: holds the input m.onnx"),
        ("classify model d.csv -o model --engine ray --force", "model: is the input itself"),
        ("evaluate model d.csv --errors d.csv --force", "d.csv: is the input itself"),
        ("evaluate model d.csv --json d.csv --force", "d.csv: is the input itself"),
        ("evaluate model *.csv --errors d.csv --force", "d.csv: is the input itself"),
        ("evaluate model d.csv --json model/labels.json --force", "model/labels.json: lies inside the input folder model"),
        ("evaluate m.onnx d.csv --json m.onnx --force", "m.onnx: is the input itself"),
        ("evaluate model d.csv --json o.csv --errors ./o.csv", "o.csv: is named for the report and for the wrong rows"),
        ("train log.jsonl --run . --force", "log.jsonl: is the input itself; name another --run"),
        ("train config.yaml --run . --force", "config.yaml: is the input itself; name another --run"),
        ("train d.csv --run . --force --set data.test=log.jsonl", "log.jsonl: is the input itself"),
        ("train d.csv --run . --force --set data.train=model/README.md", "model: holds the input model/README.md"),
        ("train d.csv --run model --force", "model: model is a model, which a run in it would damage"),
        ("train d.csv --run model/run", "model/run: "),
        ("tune best.yaml --run . --force", "best.yaml: is the input itself"),
        ("tune trials.csv --run . --force", "trials.csv: is the input itself"),
        ("export model texts.onnx --texts texts.onnx --force", "texts.onnx: is the input itself"),
        ("export model model/new.onnx", "model/new.onnx: lies inside the input folder model"),
        ("export model model/page --to web", "model/page: lies inside the input folder model"),
    ],
)
def test_no_command_writes_over_what_it_reads(arguments: str, said: str, place: Path) -> None:
    if "ray" in arguments:
        pytest.importorskip("ray")
    before = sums(place)
    assert said in refusal(command(*arguments.split()))
    assert sums(place) == before


@pytest.mark.parametrize(
    "arguments", ["classify model d.csv", "classify model d.csv --format csv --force", "explain model d.csv"]
)
def test_an_output_of_no_name_is_told(arguments: str, place: Path) -> None:
    before = names(place)
    assert refusal(command(*arguments.split(), "-o", "")) == "the output has an empty name; name a file"
    assert names(place) == before


def test_a_link_to_what_is_read_is_what_is_read(place: Path) -> None:
    (place / "link.csv").symlink_to("d.csv")
    os.link("d.csv", "hard.csv")
    before = sums(place)
    for output in ("link.csv", "hard.csv"):
        for arguments in (["classify", "model", "d.csv", "-o", output], ["evaluate", "model", "d.csv", "--errors", output]):
            assert f"{output}: is the input itself" in refusal(command(*arguments, "--force"))
    assert sums(place) == before


def test_evaluate_asks_for_force_over_a_file_that_exists(place: Path) -> None:
    for option in ("--errors", "--json"):
        (place / "o.csv").write_text("mine")
        assert "o.csv: exists already; name another file, or replace it with --force" in refusal(
            command("evaluate", "model", "d.csv", option, "o.csv")
        )
        assert (place / "o.csv").read_text() == "mine"
        assert command("evaluate", "model", "d.csv", option, "o.csv", "--force").exit_code == 0
        assert (place / "o.csv").read_text() != "mine"


def meanwhile(monkeypatch: pytest.MonkeyPatch, where: str, appears: Callable[[], object]) -> None:
    """Let something appear while a command is at work."""
    home, _, name = where.rpartition(".")
    found = __import__(home.rpartition(".")[0] if home.endswith("Predictor") else home, fromlist=["x"])
    owner = getattr(found, "Predictor") if home.endswith("Predictor") else found  # noqa: B009
    usual = getattr(owner, name)

    def late(*arguments: Any, **options: Any) -> Any:
        appears()
        return usual(*arguments, **options)

    monkeypatch.setattr(owner, name, late)


SCORED = "textcls.inference.predictor.Predictor.score"


@pytest.mark.parametrize(
    ("arguments", "where", "name", "kept"),
    [
        ("classify model d.csv -o o.csv", SCORED, "o.csv", ["o-2.csv"]),
        ("classify model d.csv -o o.csv.gz --resume", SCORED, "o.csv.gz", ["o-2.csv.gz"]),
        ("classify model d.csv -o o.csv --rejects r.jsonl", SCORED, "r.jsonl", ["o.csv", "r-2.jsonl"]),
        ("classify model d.csv -o o.csv --rejects r.jsonl --resume", SCORED, "r.jsonl", ["o.csv", "r-2.jsonl"]),
        ("evaluate model d.csv --json o.json --errors o.csv", SCORED, "o.json", ["o-2.json", "o.csv"]),
        ("evaluate model d.csv --json o.json --errors o.csv", SCORED, "o.csv", ["o-2.csv", "o.json"]),
        ("export model o.onnx --texts texts.onnx", "textcls.exports.onnx_file.prove", "o.onnx", ["o-2.onnx"]),
        pytest.param(
            *("export model o.pt2 --texts texts.onnx", "textcls.exports.pt2.prove", "o.pt2", ["o-2.pt2"]),
            marks=pytest.mark.slow,
        ),
        ("export model o --to hub --texts texts.onnx", "textcls.exports.hub.write_proven", "o", ["o-2"]),
        pytest.param(
            *("export model o --to spacy --texts texts.onnx", "textcls.exports.spacy_folder.prove", "o", ["o-2"]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_appeared_stays_and_the_result_is_kept_beside_it(
    arguments: str, where: str, name: str, kept: list[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names()
    meanwhile(monkeypatch, where, lambda: (place / name).write_text("another's"))
    result = command(*arguments.split())
    assert result.exit_code == 2, result.output
    said = result.stderr.splitlines()[-1]
    beside = next(one for one in kept if "-2" in one)
    assert said.startswith(f"textcls: {name}: appeared while this was at work, and stays as it is; ")
    assert said.endswith(f" is {place / beside}")
    assert (place / name).read_text() == "another's"
    assert names() - before == {name, *kept}
    assert all((place / one).stat().st_size for one in kept if "r-" not in one)


def test_with_force_what_appeared_gives_way(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, SCORED, lambda: (place / "o.csv").write_text("another's"))
    assert command("classify", "model", "d.csv", "-o", "o.csv", "--force").exit_code == 0
    assert (place / "o.csv").read_text() != "another's"
    assert not (place / "o-2.csv").exists()


def test_a_trained_model_is_kept_whatever_appeared_in_its_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def appears() -> None:
        Path("run/model").mkdir()
        Path("run/model/thesis.txt").write_text("mine")

    meanwhile(monkeypatch, "textcls.training.run.model_card", appears)
    result = command("train", "d.csv", "--run", "run", *set_to(TINY))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(f"what was to stand there is {place / 'run' / 'model-2'}")
    assert names(Path("run/model")) == {"thesis.txt"}
    assert Predictor.load(place / "run" / "model-2").predict(["the team"]).probabilities.shape == (1, 3)
    assert Path("run/metrics.json").is_file()


def fill(folder: Path, files: Sequence[str]) -> Callable[[], None]:
    """Return what puts files of another into a folder."""

    def appears() -> None:
        for name in files:
            (folder / name).write_text("another's")

    return appears


WRITTEN_LAST = ["metrics.json", "learning_curves.png", "confusion_matrix.png", "confusions.csv", "reliability.png"]


@pytest.mark.parametrize("force", [False, True])
def test_what_appeared_in_a_run_folder_stays(force: bool, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, "textcls.training.run.model_card", fill(Path("run"), WRITTEN_LAST))
    settings = [*TINY[1:], "data.validation_share=0.2"]
    result = command("train", "d.csv", "--run", "run", *set_to(settings), *(["--force"] if force else []))
    assert result.exit_code == (0 if force else 2), result.output
    beside = {name: Path("run") / f"{Path(name).stem}-2{Path(name).suffix}" for name in WRITTEN_LAST}
    for name, kept in beside.items():
        assert (Path("run", name).read_text("utf-8", "replace") == "another's") is not force
        assert kept.exists() is not force
    said = [line for line in result.stderr.splitlines() if "appeared" in line]
    assert [line.split(" is ")[-1] for line in said] == [str(place / kept) for kept in beside.values() if not force]
    assert not Path("run/checkpoints").exists()  # the run is whole: to go on with it would write over the other's
    assert Predictor.load(Path("run/model")).predict(["the team"]).probabilities.shape == (1, 3)


def test_what_appeared_in_the_folder_of_a_search_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    meanwhile(monkeypatch, "textcls.training.search.table", fill(Path("run"), ["trials.csv", "best.yaml", "search.png"]))
    monkeypatch.setattr("textcls.training.search._Searching._has_time", lambda _search: False)  # one trial
    settings = [*TINY[1:], "data.validation_share=0.2"]
    result = command("tune", "d.csv", "--run", "run", "--minutes", "0.2", *set_to(settings))
    assert result.exit_code == 2, result.output
    assert {path.read_text() for path in map(Path, ("run/trials.csv", "run/best.yaml", "run/search.png"))} == {"another's"}
    assert names(Path("run")) >= {"trials-2.csv", "best-2.yaml", "search-2.png", "trials.db"}
    assert result.stderr.count("appeared while this was at work") == 3


def test_a_run_that_goes_on_replaces_its_own_results(place: Path) -> None:
    from textcls.config import Config
    from textcls.training import train

    rows = {"data.train": "d.csv", **dict(setting.split("=") for setting in TINY[1:])}
    config = Config().replace(rows | {"data.validation_share": 0.2, "training.epochs": 2})

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnd):
            signal.raise_signal(signal.SIGINT)

    assert train(config, "run", report=interrupt).interrupted
    before = names(Path("run"))
    first = Path("run/learning_curves.png").read_bytes()
    assert not train(config, "run", resume=True).interrupted
    assert names(Path("run")) == before - {"checkpoints"}
    assert Path("run/learning_curves.png").read_bytes() != first


@pytest.mark.parametrize(
    "arguments", ["train d.csv --run run", "tune d.csv --run run --minutes 0.2 --set data.validation_share=0.2"]
)
def test_a_run_folder_that_filled_while_data_were_read_is_left_alone(
    arguments: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments.startswith("tune"):
        pytest.importorskip("optuna")

    def appears() -> None:
        Path("run").mkdir(exist_ok=True)  # it is held from the start
        Path("run/config.yaml").write_text("mine")

    module = "textcls.training.run" if arguments.startswith("train") else "textcls.training.search"
    meanwhile(monkeypatch, f"{module}.load_splits", appears)
    settings = [one for one in TINY if "validation" not in one or arguments.startswith("train")]
    result = command(*arguments.split(), *set_to(settings))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("textcls: run: the run folder is not empty; name another one")
    assert sums(place / "run") == {"config.yaml": hashlib.sha256(b"mine").hexdigest()}


@needs_posix
@pytest.mark.parametrize(
    "arguments",
    [
        "classify model d.csv -o PIPE",
        "classify model d.csv -o PIPE.gz --format csv",
        "classify model d.csv -o PIPE --format parquet",
        "classify model d.csv -o o.csv --rejects PIPE",
        "evaluate model d.csv --errors PIPE",
        "evaluate model d.csv --json PIPE",
        "export model PIPE.onnx --texts texts.onnx",
    ],
)
def test_a_pipe_gets_what_a_file_would_and_stays(arguments: str, place: Path) -> None:
    words, pipe = arguments.split(), Path(next(word for word in arguments.split() if word.startswith("PIPE")))
    shutil.copyfile("d.csv", "bad.csv")
    with Path("bad.csv").open("ab") as bad:
        bad.write(b"\xff,sport\n")
    words = ["bad.csv" if word == "d.csv" and "--rejects" in words else word for word in words]
    ending = {"parquet": "parquet", "csv": "csv.gz"}.get(words[-1], "jsonl" if pipe.suffix == "" else pipe.suffix[1:])
    file = f"file.{ending}"
    assert command(*(file if word == str(pipe) else word for word in words)).exit_code in {0, 1}
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    result = command(*words, *(["--force"] if "o.csv" in words else []))
    reader.join()
    assert result.exit_code in {0, 1}, result.output
    assert found == [Path(file).read_bytes()]
    assert found != [b""]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@needs_posix
def test_a_symbolic_link_stays_and_what_it_leads_to_is_replaced(place: Path) -> None:
    for number, arguments in enumerate(
        (
            "classify model d.csv -o LINK.csv --force",
            "classify model d.csv -o LINK.csv --resume --force",
            "evaluate model d.csv --errors LINK.csv --force",
            "evaluate model d.csv --json LINK.json --force",
            "export model LINK.onnx --texts texts.onnx --force",
        )
    ):
        link = Path(next(word for word in arguments.split() if word.startswith("LINK")))
        target = place / f"there{number}"
        target.mkdir()
        (target / f"old{link.suffix}").write_text("old")
        link.unlink(missing_ok=True)
        link.symlink_to(target / f"old{link.suffix}")
        assert command(*arguments.split()).exit_code == 0
        assert link.is_symlink()
        assert [path.name for path in target.iterdir()] == [f"old{link.suffix}"]
        assert link.stat().st_size > 3


def shell(line: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a line in which `textcls` is this one, and say what it wrote to what is still open."""
    line = line.replace("textcls", f"{sys.executable} -m textcls")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, env=environment, **options
    )


@needs_posix
@pytest.mark.parametrize(
    "line",
    [
        "textcls classify model - --input-format csv -o d.csv --force < d.csv",
        "textcls classify model d.csv --format csv >> d.csv",
        "textcls classify model - --input-format csv --format csv -o /dev/stdout >> d.csv < d.csv",
        "textcls explain model d.csv >> d.csv",
        "textcls explain model - --input-format csv -o d.jsonl --force < d.jsonl",
        "textcls evaluate model d.csv --json - >> d.csv",
    ],
)
def test_no_command_writes_over_what_the_shell_gave_it(line: str, place: Path) -> None:
    shutil.copyfile("d.csv", "d.jsonl")
    before = sums(place)
    done = shell(line)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is the input itself" in done.stderr.splitlines()[-1]
    assert sums(place) == before


def test_a_link_to_itself_is_told(place: Path) -> None:
    (place / "one.csv").symlink_to("two.csv")
    (place / "two.csv").symlink_to("one.csv")
    for force in ([], ["--force"]):
        assert "one.csv: cannot be written: is a link to itself" in refusal(
            command("classify", "model", "d.csv", "-o", "one.csv", *force)
        )
    assert (place / "one.csv").is_symlink()


@needs_posix
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors have no names here")
@pytest.mark.slow
def test_standard_output_by_name_is_the_descriptor(place: Path) -> None:
    rows = shell("textcls classify model d.csv --threads 1").stdout
    assert len(rows.splitlines()) == 72
    (place / "log").write_text("before\n")
    (place / "link").symlink_to("/dev/stdout")
    for output in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"):
        done = shell(f"textcls classify model d.csv --threads 1 -o {output} >> log")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (place / "log").read_text() == "before\n" + 4 * rows
    assert (place / "link").is_symlink()
    done = shell(
        "textcls classify model d.csv --threads 1 -o /dev/fd/3 3> three; textcls evaluate model d.csv --errors /dev/stdout"
    )
    assert (place / "three").read_text() == rows
    assert '"predicted"' in done.stdout
    assert shell("textcls classify model d.csv -o /dev/stdout | head -n 1").stdout == rows.splitlines(keepends=True)[0]
    for arguments in ("classify model d.csv -o /dev/fd/9", "classify m.onnx d.csv -o /dev/fd/3 3>&-"):
        closed = shell(f"textcls {arguments}")
        said = r"textcls: /dev/fd/\d: cannot be written: Bad file descriptor\n"
        assert closed.returncode == 2
        assert re.fullmatch(said, closed.stderr)
    assert "regular file" in shell("textcls classify model d.csv -o /dev/stdout --resume").stderr


@needs_posix
@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="descriptors have no names here")
@pytest.mark.parametrize(
    "arguments",
    [
        "classify m.onnx d.csv -o /dev/fd/99",
        "classify m.onnx d.csv --rejects link.csv",
        "evaluate m.onnx d.csv --json /dev/fd/99",
        "explain m.onnx d.csv -o /dev/fd/99",
        "export model /dev/fd/99 --to onnx",
    ],
)
def test_no_command_writes_into_what_a_library_opened(
    arguments: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "link.csv").symlink_to("/dev/fd/99")
    module = sys.modules[main.__module__]
    monkeypatch.setattr(module, "_clean_up_when_ended", lambda: None)

    def stand_in() -> None:  # the first step of the command line; ONNX Runtime opens a file of its own as it is imported
        with (place / "database").open("wb") as database:
            os.dup2(database.fileno(), 99)

    monkeypatch.setattr(module, "_stand_in_for_closed", stand_in)
    try:
        with pytest.raises(SystemExit) as end:
            main(arguments.split())
    finally:
        os.close(99)
    said = capfd.readouterr().err
    name = "link.csv" if "link" in arguments else "/dev/fd/99"
    assert (end.value.code, said) == (2, f"textcls: {name}: cannot be written: Bad file descriptor\n")
    assert (place / "database").read_bytes() == b""


@needs_posix
def test_a_device_is_written_into(place: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full, which is always full, is Linux's")
    for name in ("null", "full"):  # links, so that a fault here spoils no device
        (place / name).symlink_to(f"/dev/{name}")
    assert command("classify", "model", "d.csv", "-o", "null").exit_code == 0
    assert command("evaluate", "model", "d.csv", "--json", "null").exit_code == 0
    for arguments in ("classify model d.csv -o full", "evaluate model d.csv --json full", "evaluate model d.csv --errors full"):
        result = command(*arguments.split())
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == "textcls: full: cannot be written: No space left on device"
    assert (place / "null").is_symlink()
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, which stops a writer as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@needs_posix
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("classify model d.csv -o o.csv", "o.csv"),
        ("classify model d.csv -o o.parquet", "o.parquet"),
        ("classify model d.csv -o o.jsonl --resume", "o.jsonl"),
        ("evaluate model d.csv --json o.json", "o.json"),
        ("evaluate model wrong.csv --errors o.csv", "o.csv"),
        ("export model o.onnx --texts texts.onnx", "o.onnx"),
        ("export model o --to hub --texts texts.onnx", "o"),
    ],
)
def test_a_full_disk_is_told_of_the_output_and_not_of_its_temporary_name(arguments: str, name: str, place: Path) -> None:
    Path("wrong.csv").write_text(Path("d.csv").read_text().replace(",money", ",other").replace(",sport", ",other"))
    before = {*names(), *((f".{name}.part", f".{name}.part.json") if "--resume" in arguments else ())}
    with small_disk(300):
        result = command(*arguments.split())
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"textcls: {name}: cannot be written: File too large"
    assert names() <= before


@needs_posix
def test_a_missing_right_is_told_of_the_output(place: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (place / "closed").mkdir(0o555)
    for arguments in ("classify model d.csv -o closed/o.csv", "evaluate model d.csv --json closed/o.json"):
        name = arguments.split()[-1]
        assert refusal(command(*arguments.split())) == f"{name}: cannot be written: Permission denied"


@needs_posix
def test_what_killed_runs_left_goes_with_the_next_and_what_resume_needs_stays(place: Path) -> None:
    torn = [".o.csv.0123abcd.part.csv", ".o.csv.89abcdef.part.csv"]
    kept = [".o.csv.part", ".o.csv.part.json", ".p.csv.0123abcd.part.csv"]
    for name in (*torn, *kept):
        (place / name).write_text("x")
    with replacing(place / "o.csv") as live:
        for name in torn:
            (place / name).write_text("x")
        assert command("classify", "model", "d.csv", "-o", "o.csv").exit_code == 0
        assert live.exists()
        assert sorted(path.name for path in place.glob(".*")) == sorted([*kept, live.name])


# Redirections, and the exit codes: of a command that shows something, and of one that was asked for a file.
STREAMS = {
    ">&-": (1, 0),
    ">/dev/full": (1, 0),
    "2>&-": (0, 0),
    "2>/dev/full": (0, 0),
    "<&-": (0, 0),
    "<&- >&- 2>&-": (1, 0),
    "| true": (141, 0),
}
SHOWING = ["--version", "train --help", "check d.csv", "info model --verify", "info m.onnx --json", "explain m.onnx text"]
SHOWING += ["classify m.onnx d.csv", "evaluate m.onnx d.csv", "evaluate m.onnx d.csv --json -"]
_SMALL = " ".join(set_to(TINY))
WRITING = ["classify m.onnx d.csv -o out.csv", "evaluate m.onnx d.csv --json out.json"]
WRITING += ["export model out.onnx --texts texts.onnx", f"train d.csv --run out {_SMALL}"]
WRITING += [f"tune d.csv --run out --minutes 0.05 {_SMALL.replace('share=0', 'share=0.2')}"]
QUICK = {"check d.csv"}


def _cases(commands: list[str]) -> list[Any]:
    return [pytest.param(one, marks=[] if one in QUICK else pytest.mark.slow) for one in commands]


@needs_posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, which is always full, is Linux's")
@pytest.mark.parametrize("arguments", _cases(["--help", "--nonsense", *SHOWING, *WRITING]))
def test_closed_and_full_streams_are_one_line_or_silence(arguments: str, place: Path) -> None:
    for stream, codes in STREAMS.items():
        done = shell(f"textcls {arguments} {stream}", timeout=120)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        complaints = [line for line in done.stderr.splitlines() if line.startswith("textcls: ")]
        code = codes[arguments in WRITING] if arguments != "--nonsense" else 2
        if stream == "| true":
            assert done.returncode in {code, 0, 1}, (stream, done)
            assert complaints == []
        else:
            assert done.returncode == code, (stream, done)
        if stream == ">&-" and code == 1:
            assert complaints == ["textcls: standard output is closed"]
        if stream == ">/dev/full" and code == 1:
            assert complaints == ["textcls: standard output cannot be written: No space left on device"]
        if arguments in WRITING:
            out = next(path for path in place.iterdir() if path.name.startswith("out"))
            assert out.stat().st_size
            shutil.rmtree(out) if out.is_dir() else out.unlink()


@needs_posix
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("classify m.onnx empty.txt --lines", "standard output is closed"),
        pytest.param("explain m.onnx empty.jsonl", "standard output is closed", marks=pytest.mark.slow),
        pytest.param(
            *("classify m.onnx empty.txt --lines -o /dev/stdout", "/dev/stdout: cannot be written: Bad file descriptor"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_closed_output_is_told_without_a_row(arguments: str, said: str, place: Path) -> None:
    for name in ("empty.txt", "empty.jsonl"):
        (place / name).touch()
    done = shell(f"textcls {arguments} >&-")
    assert done.returncode in {1, 2}
    assert done.stderr == f"textcls: {said}\n"


@needs_posix
@pytest.mark.slow
def test_an_export_goes_into_standard_output_alone(place: Path) -> None:
    assert command("export", "model", "o.onnx", "--texts", "texts.onnx").exit_code == 0
    done = shell("textcls export model /dev/stdout --texts texts.onnx >out")
    assert (done.returncode, done.stdout) == (0, "")
    assert (place / "out").read_bytes() == (place / "o.onnx").read_bytes()  # the same model gives the same bytes
    assert shell("textcls export model /dev/stdout --to pt2 --texts texts.onnx >out").returncode == 0
    assert (place / "out").read_bytes().startswith(b"PK")


@needs_posix
@pytest.mark.parametrize("arguments", ["classify m.onnx -", "classify m.onnx - --input-format csv", "explain m.onnx -"])
def test_closed_standard_input_is_one_line(arguments: str) -> None:
    done = shell(f"textcls {arguments} <&-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "textcls: standard input is closed; give the text through a pipe, or name files\n"


@needs_posix
@pytest.mark.slow
def test_a_reader_who_has_enough_ends_it_as_other_tools_end(place: Path) -> None:
    (place / "many.txt").write_text("the team won twice\n" * 300_000)
    done = shell("textcls classify m.onnx many.txt --lines | head -n 2")
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (141, 2, "")
    done = shell("textcls classify m.onnx many.txt --lines -o >(head -n 2 >first); wait $!; cat first")
    assert (len(done.stdout.splitlines()), done.stderr) == (2, "")


@needs_posix
def test_two_files_may_be_one_device(place: Path) -> None:
    assert command("evaluate", "model", "d.csv", "--json", "/dev/null", "--errors", "/dev/null").exit_code == 0
