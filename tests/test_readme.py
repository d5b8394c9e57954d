"""The README's commands and programs run, in order, in one folder, on small data; a block that is not run says why before it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(?:<!-- (?P<reason>[^>]*?) -->\n)?```(?P<kind>console|python)\n(?P<body>.*?)```", re.DOTALL)
WORDS = {"good": ("lovely", "warm", "clever"), "bad": ("dull", "cold", "silly")}


def blocks() -> list[re.Match[str]]:
    return list(BLOCK.finditer(README.read_text(encoding="utf-8")))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [
        f"{'a film' if i % 2 else 'a story'} {word} and {i},{label}"
        for i in range(12)
        for label, ws in WORDS.items()
        for word in ws
    ]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "new.csv").write_text("id,text\n1,a lovely film\n2,\n3,a dull story\n")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("a clever film")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_console(body: str) -> None:
    for line in body.splitlines():
        assert line.startswith("$ "), f"a console block shows commands alone: {line}"
        command = line[2:]
        given = None
        if piped := re.fullmatch(r'echo "(.*)" \| (.*)', command):
            given, command = piped.group(1) + "\n", piped.group(2)
        program, *arguments = shlex.split(command)
        assert program == "textcls"
        done = subprocess.run([sys.executable, "-m", "textcls", *arguments], input=given, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_every_block_runs_or_says_why_not(folder: Path) -> None:
    names: dict[str, object] = {}
    ran = 0
    for block in blocks():
        if block["reason"] and block["reason"].startswith("not run here: "):
            continue
        if block["kind"] == "console":
            run_console(block["body"])
        else:
            exec(compile(block["body"], "README.md", "exec"), names)
        ran += 1
    assert ran >= 7
    assert (folder / "labelled.csv").read_text().splitlines()[0].startswith("id,text,label,confidence")


def test_files_that_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
