import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from textcls.errors import MissingPackageError
from textcls.text import _torchtext
from textcls.text._torchtext import basic_english, vector_catalogue
from textcls.text.vector_names import ARCHIVES, GLOVE_NAMES

needs_torchtext = pytest.mark.skipif(importlib.util.find_spec("torchtext") is None, reason="torchtext has no wheel here")


def torchtext_modules() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "torchtext"}


@pytest.fixture(autouse=True)
def closed_door() -> Iterator[None]:
    """Let each test open the door itself, and find sys.modules as it left it."""
    before = torchtext_modules()
    with patch.object(_torchtext, "_loaded", {}):
        yield
    assert torchtext_modules() == before


@needs_torchtext
def test_basic_english_is_torchtexts_own() -> None:
    tokenize = basic_english()
    assert tokenize("You can now install TorchText using pip!") == [
        "you",
        "can",
        "now",
        "install",
        "torchtext",
        "using",
        "pip",
        "!",
    ]
    assert tokenize.__module__ == "torchtext.data.utils"
    assert basic_english() is tokenize


@needs_torchtext
def test_catalogue_names_addresses_and_files() -> None:
    catalogue = vector_catalogue()
    assert catalogue["glove.twitter.27B.25d"].file == "glove.twitter.27B.25d.txt"
    assert catalogue["glove.twitter.27B.25d"].url.endswith("/glove.twitter.27B.zip")
    assert catalogue["fasttext.en.300d"].file == "wiki.en.vec"
    assert catalogue["charngram.100d"].file == "charNgram.txt"


@needs_torchtext
def test_our_table_holds_torchtexts_glove_names_archives_and_sums() -> None:
    theirs = {name: entry for name, entry in vector_catalogue().items() if name.startswith("glove.")}
    assert {name: Path(entry.url).stem for name, entry in theirs.items()} == GLOVE_NAMES
    assert {name: entry.file for name, entry in theirs.items()} == {name: f"{name}.txt" for name in GLOVE_NAMES}
    spec = importlib.util.find_spec("torchtext")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0], "prototype", "vectors.py").read_text(encoding="utf-8")
    for stem, archive in ARCHIVES.items():
        assert f'/{stem}.zip": "{archive.sha256}"' in source


@needs_torchtext
def test_door_opens_without_warning_and_without_torch_for_the_tokenizer() -> None:
    code = (
        "import sys; from textcls.text import _torchtext; import textcls.text.vectors; assert 'torch' not in sys.modules\n"
        "assert _torchtext.basic_english()('A b') == ['a', 'b']; assert 'torch' not in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('torchtext')]"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_torchtext
def test_failing_door_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackageError, match=r"torchtext needs a package that is not installed here: .*torch"):
        vector_catalogue()
    assert torchtext_modules() == {}


@needs_torchtext
def test_what_the_user_imported_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("torchtext")
    own, other = ModuleType("torchtext"), ModuleType("torchtext.transforms")
    own.__spec__ = spec
    monkeypatch.setitem(sys.modules, "torchtext", own)
    monkeypatch.setitem(sys.modules, "torchtext.transforms", other)
    assert basic_english()("A b") == ["a", "b"]
    assert torchtext_modules() == {"torchtext": own, "torchtext.transforms": other}


def test_module_that_the_user_imported_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    working = ModuleType("torchtext.data.utils")
    working.__dict__["get_tokenizer"] = lambda name: lambda text: [name, text]
    monkeypatch.setitem(sys.modules, "torchtext.data.utils", working)
    assert basic_english()("x") == ["basic_english", "x"]


@pytest.mark.parametrize("blocked", [None, ModuleType("torchtext")])
def test_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch, blocked: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "torchtext", blocked)
    with pytest.raises(MissingPackageError, match=r"torchtext is not installed here: pip install torchtext==0\.18\.0"):
        basic_english()


@needs_torchtext
def test_threads_get_the_same_function() -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(basic_english())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
