from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import TinyRun
from helpers import tiny_artifact
from typer.testing import CliRunner

from textcls.cli import app
from textcls.cli.output import metric_names
from textcls.cli.source import stem
from textcls.cli.train import advice, compared
from textcls.config import load_config
from textcls.training import Run

QUICK = [  # the network alone, and an epoch is one pass
    *("--set", "model.hidden_size=4"),
    *("--set", "model.ngram_slots=0"),
    *("--set", "training.epoch_steps=1"),
    *("--set", "training.epochs=2"),
    *("--set", "training.threads=1"),
]
runner = CliRunner()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_train_on_a_file_makes_a_run_and_says_what_to_do_next(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["train", str(tiny_run.train), *QUICK, "--set", f"data.test={tiny_run.test}"])
    assert result.exit_code == 0, result.stderr
    metrics = json.loads(Path("runs/train/metrics.json").read_text())
    assert result.stdout.splitlines()[0].split() == ["validation", "test"]
    accuracy = next(line for line in result.stdout.splitlines() if line.startswith("accuracy "))
    assert accuracy.split()[1:] == [f"{metrics[split]['accuracy']:.4f}" for split in ("validation", "test")]
    assert "calibration error (ECE)" in result.stdout
    lines = result.stderr.splitlines()
    epochs = [line for line in lines if re.match(r" +\d  +\d", line)]
    assert [line.split()[0] for line in epochs] == ["1", "2"]
    assert epochs[0].endswith("*")
    assert "  textcls classify runs/train/model FILES" in lines
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.stderr), "control characters went into a pipe"


def test_settings_from_a_file_and_over_it(tiny_run: TinyRun) -> None:
    Path("tiny.yaml").write_text(f"data: {{train: {tiny_run.train}, validation_share: 0.3}}\nmodel: {{hidden_size: 4}}\n")
    result = runner.invoke(app, ["train", "tiny.yaml", "--set", "training.epochs=1", "--set", "training.threads=1"])
    assert result.exit_code == 0, result.stderr
    model = runner.invoke(app, ["info", "runs/tiny/model", "--json"])
    assert json.loads(model.stdout)["model"]["hidden_size"] == 4
    assert len((Path("runs/tiny/log.jsonl").read_text()).split('"EpochEnd"')) == 2


def test_a_taken_default_folder_is_left_alone(tiny_run: TinyRun) -> None:
    for taken in ("runs/train", "runs/train-2"):
        Path(taken).mkdir(parents=True)
        Path(taken, "mine").write_text("mine")
    result = runner.invoke(app, ["train", str(tiny_run.train), *QUICK])
    assert result.exit_code == 0, result.stderr
    assert Path("runs/train-3/model/labels.json").is_file()
    assert [path.name for path in Path("runs/train").iterdir()] == ["mine"]


def test_a_named_folder_that_is_not_empty_needs_force(tiny_run: TinyRun) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    result = runner.invoke(app, ["train", str(tiny_run.train), "--run", "mine", *QUICK])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "textcls: mine: the run folder is not empty; name another one, or --force to write over it\n"
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]
    forced = runner.invoke(app, ["train", str(tiny_run.train), "--run", "mine", "--force", *QUICK])
    assert forced.exit_code == 0, forced.stderr
    assert Path("mine/notes.txt").read_text() == "mine"


def test_a_run_to_go_on_with_names_resume_first(tiny_run: TinyRun) -> None:
    Path("runs/train/checkpoints").mkdir(parents=True)
    result = runner.invoke(app, ["train", str(tiny_run.train), "--run", "runs/train", *QUICK])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "textcls: runs/train: holds a run to go on with: --resume goes on with it, --force writes over it; or name another folder\n"
    )
    other = runner.invoke(app, ["train", str(tiny_run.train), *QUICK])
    assert other.exit_code == 0, other.stderr
    note = "note: runs/train holds a run to go on with: --resume goes on with it; this is a new one, in runs/train-2"
    assert note in other.stderr.splitlines()


def test_columns_and_vectors_have_options() -> None:
    Path("d.csv").write_text("body,head,kind\n" + "".join(f"good {n},film,{'ab'[n % 2]}\n" for n in range(20)))
    Path("v.txt").write_text("good 1 2 3\nfilm 2 3 4\n")
    Path("s.yaml").write_text("data: {train: d.csv, text: nothing, labels: none}\n")
    options = ["--text", "body", "--text", "head", "--label", "kind", "--vectors", "v.txt"]
    for source in ("d.csv", "s.yaml"):
        result = runner.invoke(app, ["train", source, "--run", f"run-{source}", *options, *QUICK])
        assert result.exit_code == 0, result.stderr
        config = load_config(f"run-{source}/config.yaml")
        assert (config.data.text, config.data.label, config.data.labels) == (("body", "head"), "kind", None)
        assert config.text.vectors == "v.txt"
        evaluated = runner.invoke(app, ["evaluate", f"run-{source}/model", "d.csv"])
        assert evaluated.exit_code == 0, evaluated.stderr
    checked = runner.invoke(app, ["check", "d.csv", *options, "--set", "text.lowercase=false"])
    command = "textcls train d.csv --set text.lowercase=false --text body --text head --label kind --vectors v.txt"
    assert checked.stderr.splitlines()[-1].strip() == command


def test_many_labels_have_an_option_in_train_and_evaluate() -> None:
    Path("d.csv").write_text("text,a,b\n" + "".join(f"good {n},{n % 2},{n % 3 % 2}\n" for n in range(30)))
    result = runner.invoke(app, ["train", "d.csv", "--run", "run", "--labels", "a", "--labels", "b", *QUICK])
    assert result.exit_code == 0, result.stderr
    assert "exact match" in result.stdout
    assert "exact match" in result.stderr
    assert load_config("run/config.yaml").data.labels == ("a", "b")
    evaluated = runner.invoke(app, ["evaluate", "run/model", "d.csv", "--labels", "a", "--labels", "b"])
    assert evaluated.exit_code == 0, evaluated.stderr
    assert "exact match" in evaluated.stdout
    assert "exact match" in runner.invoke(app, ["info", "run/model"]).stdout
    assert "| accuracy (exact match) |" in Path("run/model/README.md").read_text()


def test_a_setting_that_is_given_twice_is_told() -> None:
    Path("s.yaml").write_text("data: {train: d.csv}\n")
    twice = ["training.epochs=3", "model.layers=2", "training.epochs=4", "training.epochs = 5"]
    for source in ("s.yaml", "d.csv"):
        result = runner.invoke(app, ["config", source, *(part for one in twice for part in ("--set", one))])
        assert result.exit_code == 0
        assert "  epochs: 5\n" in result.stdout
        assert result.stderr.splitlines() == [
            f"note: --set training.epochs={epochs} gives way to --set training.epochs = 5, which comes after it"
            for epochs in (3, 4)
        ]


@pytest.mark.parametrize("name", ["train", "check", "tune"])
def test_a_setting_and_its_option_exclude_each_other(name: str) -> None:
    both = runner.invoke(app, [name, "d.csv", "--set", "data.text=a", "--text", "b"])
    assert both.stderr == "textcls: data.text: is given twice, with --set and by an option of its own; give it once\n"
    labels = runner.invoke(app, [name, "d.csv", "--label", "a", "--labels", "b"])
    assert labels.stderr == "textcls: --label and --labels exclude each other: a text has one label, or it has many\n"
    assert (both.exit_code, labels.exit_code, both.stdout, labels.stdout) == (2, 2, "", "")


def test_start_from_a_trained_model(tiny_run: TinyRun) -> None:
    result = runner.invoke(
        app, ["train", str(tiny_run.test), "--from", str(tiny_run.model), "--run", "more", "--set", "training.threads=1"]
    )
    assert result.exit_code == 0, result.stderr
    assert Path("more/model/vocabulary.txt").read_text() == (tiny_run.model / "vocabulary.txt").read_text()


def test_resume_goes_on_in_the_last_run_folder_of_that_name(tiny_run: TinyRun) -> None:
    for name in ("runs/train", "runs/train-2"):
        Path(name).mkdir(parents=True)
        Path(name, "mine.txt").write_text("mine")
    result = runner.invoke(app, ["train", str(tiny_run.train), "--resume", *QUICK])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "textcls: runs/train-2/checkpoints: holds no checkpoint to go on from; train anew, with --force over what is there\n"
    )
    finished = runner.invoke(app, ["train", str(tiny_run.train), "--resume", "--run", str(tiny_run.folder), *QUICK])
    assert finished.exit_code == 2
    assert re.fullmatch(r"textcls: .*: training is finished, there is nothing to resume; .*\n", finished.stderr)
    both = runner.invoke(app, ["train", str(tiny_run.train), "--resume", "--force"])
    assert both.stderr == "textcls: --force and --resume exclude each other: write over the run, or go on with it\n"


def test_only_the_first_of_several_processes_speaks(tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.cli.train._PATIENCE", 0)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for rank, said in (("0", "textcls: missing.yaml: cannot be read: No such file or directory\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        result = runner.invoke(app, ["train", "missing.yaml"])
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)


def test_a_tokenizer_that_onnx_cannot_express_is_named_before_anything_is_read() -> None:
    result = runner.invoke(app, ["train", "missing.csv", "--set", "text.tokenizer=spacy"])
    note, error = result.stderr.splitlines()
    assert "will take token ids, not raw text" in note
    assert "missing.csv" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.yaml"], "missing.yaml: cannot be read: No such file or directory"),
        (["missing.csv"], "missing.csv"),
        (["DATA", "--set", "training.epoch=3"], "did you mean epochs?"),
        (["DATA", "--set", "training.epochs"], "write it as section.name=value"),
        (["DATA", "--set", "training.epochs=none"], "training.epochs: "),
        (["DATA", "--set", "data.text=body"], "body"),
        (["DATA", "--from", "nowhere"], "nowhere: does not exist"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments: list[str], said: str, tiny_run: TinyRun) -> None:
    given = [str(tiny_run.train) if argument == "DATA" else argument for argument in arguments]
    result = runner.invoke(app, ["train", *given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"textcls: .+\n", result.stderr), result.stderr
    assert said in result.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("configs/trec.yaml", "trec"),
        ("data/trec-train.csv.gz", "trec-train"),
        ("hub:owner/ag_news:plain@train", "ag_news"),
        ("package:corpus/bbc", "bbc"),
        ("news/", "news"),
        ("data/*.csv", "run"),
    ],
)
def test_the_name_of_a_run(source: str, name: str) -> None:
    assert stem(source) == name


# What it is compared with

KEYS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")
NO_BETTER = "note: the model is no better than a linear model on these rows; "


def figures(model: float, linear: float | None, majority: float = 0.25, least: str = "") -> dict[str, Any]:
    """Return a report whose metrics are all alike, but for one that is 0.01."""

    def alike(value: float) -> dict[str, float]:
        return {key: 0.01 if key == least else value for key in KEYS}

    baselines = {"majority": alike(majority)} | ({} if linear is None else {"linear": alike(linear)})
    return {"rows": 9, "log_loss": 3.0, **alike(model), **baselines}


def run_of(*, many: bool = False, settings: dict[str, Any] | None = None, vectors: Any = None, **metrics: Any) -> Run:
    artifact = tiny_artifact()
    settings = {"training.metric": "log_loss", "model.pooling": "final"} | (settings or {})
    provenance = {"vectors": vectors}
    artifact = replace(artifact, config=artifact.config.replace(settings), many=many, provenance=provenance, metrics=metrics)
    return Run(Path("run"), artifact, metrics, False)


@pytest.fixture
def _no_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.text.vector_names.on_this_machine", lambda: None)


@pytest.mark.usefixtures("_no_vectors")
def test_the_truth_is_told_of_the_last_split() -> None:
    better = figures(0.9, 0.8)
    assert list(compared(run_of(validation=figures(0.1, 0.9), test=better))) == [
        "on the same test rows, accuracy: a linear model 0.8000; always the most frequent label 0.2500"
    ]
    assert list(compared(run_of(validation=better))) == [
        "on the same validation rows, accuracy: a linear model 0.8000; always the most frequent label 0.2500"
    ]
    worse = list(compared(run_of(validation=better, test=figures(0.9, 0.905))))
    assert worse == [
        "on the same test rows, accuracy: a linear model 0.9050; always the most frequent label 0.2500",
        NO_BETTER + "try pretrained vectors: --vectors glove.6B.50d",
    ]
    assert list(compared(run_of(test=figures(0.9, 0.9))))[1:] == worse[1:]  # as good is no better
    assert list(compared(run_of(test=figures(0.3, None)))) == [
        "on the same test rows, accuracy: always the most frequent label 0.2500"
    ]
    for linear in (None, 0.1):
        *_, note = compared(run_of(test=figures(0.25, linear)))
        assert note.startswith("note: the model is no better than always the most frequent label on these rows; ")


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("metric", ["log_loss", *KEYS])
def test_the_comparison_is_in_the_metric_that_was_asked_for(metric: str, many: bool) -> None:
    """Log loss, of which few know what is good, is said as accuracy, or macro-F1 of many labels."""
    key = metric if metric != "log_loss" else "macro_f1" if many else "accuracy"
    settings = {"training.metric": metric}
    line, note = compared(run_of(many=many, settings=settings, test=figures(0.8, 0.9) | {key: 0.7}))
    constant = "the most frequent labels" if many else "always the most frequent label"
    assert line == f"on the same test rows, {metric_names(many)[key]}: a linear model 0.9000; {constant} 0.2500"
    assert note.startswith(NO_BETTER)
    (_,) = compared(run_of(many=many, settings=settings, test=figures(0.8, 0.9) | {key: 0.95}))  # better in what counts
    least = figures(0.8, 0.9, least=key) | {key: 0.02}  # and worse in all else
    assert len(list(compared(run_of(many=many, settings=settings, test=least)))) == 1


@pytest.mark.usefixtures("_no_vectors")
def test_advice_is_of_what_is_not_in_use_and_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("d.csv").write_text("text,label\na,b\n")
    given = {"name": "glove.6B.50d", "sha256": None}
    pooled = {"model.pooling": "final+max"}
    assert advice(run_of()) == advice(run_of(settings=pooled)) == "try pretrained vectors: --vectors glove.6B.50d"
    assert advice(run_of(vectors=given)) == "try --set model.pooling=final+max"
    assert advice(run_of(vectors=given, settings=pooled)) == "try textcls tune, or more rows"
    options = shlex.split(advice(run_of(vectors=given)).removeprefix("try "))
    monkeypatch.setattr("textcls.text.vector_names.on_this_machine", lambda: "glove.6B.50d")
    assert advice(run_of(settings=pooled)) == "try textcls tune, or more rows"  # they are here, and were of no use
    assert "  pooling: final+max\n" in runner.invoke(app, ["config", "d.csv", *options]).stdout


def test_train_tells_what_a_linear_model_reaches(tiny_run: TinyRun) -> None:
    settings = ["--set", f"data.test={tiny_run.test}", "--set", "data.validation_share=0.25"]
    result = runner.invoke(
        app, ["train", str(tiny_run.train), "--run", "run", *QUICK, *settings, "--set", "model.ngram_slots=auto"]
    )
    assert result.exit_code == 0, result.stderr
    metrics = json.loads(Path("run/metrics.json").read_text())
    for split in ("validation", "test"):
        for name in ("linear", "majority"):
            assert tuple(metrics[split][name]) == KEYS
            assert all(0 <= value <= 1 for value in metrics[split][name].values())
        assert metrics[split]["majority"]["accuracy"] == pytest.approx(1 / 3)
    assert metrics["test"]["linear"]["accuracy"] > 0.5  # the subjects say it all
    linear, model = metrics["test"]["linear"]["accuracy"], metrics["test"]["accuracy"]
    lines = result.stderr.splitlines()
    assert f"on the same test rows, accuracy: a linear model {linear:.4f}; always the most frequent label 0.3333" in lines
    assert any(line.startswith(NO_BETTER) for line in lines) == (model <= linear and model < 1)
    assert "linear" not in result.stdout
    assert json.loads(runner.invoke(app, ["info", "run/model", "--json"]).stdout)["metrics"] == metrics


def test_without_a_linear_half_or_rows_to_compare_on_less_is_told(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["train", str(tiny_run.train), "--run", "run", *QUICK])
    assert result.exit_code == 0, result.stderr
    (line,) = (line for line in result.stderr.splitlines() if "on the same" in line)
    assert line.startswith("on the same validation rows, accuracy: always the most frequent label 0.")
    assert "linear" not in json.loads(Path("run/metrics.json").read_text())["validation"]
    bare = runner.invoke(app, ["train", str(tiny_run.train), "--run", "bare", *QUICK, "--set", "data.validation_share=0"])
    assert bare.exit_code == 0, bare.stderr
    assert "on the same" not in bare.stderr
