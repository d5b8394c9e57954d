"""The shipped configs: every one loads, and the documented one is what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from textcls.config import Config, load_config

CONFIGS = Path(__file__).parent.parent / "configs"


def test_default_yaml_is_what_the_code_does() -> None:
    assert load_config(CONFIGS / "default.yaml") == Config()


def test_default_yaml_documents_every_setting_in_the_words_of_the_code() -> None:
    text = (CONFIGS / "default.yaml").read_text(encoding="utf-8")
    words = " ".join(text.replace("#", " ").split())
    for section, settings in yaml.safe_load(text).items():
        fields = type(getattr(Config(), section)).model_fields
        assert list(settings) == list(fields)
        for field in fields.values():
            assert field.description is not None
            assert " ".join(field.description.split()) in words


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_loads_and_says_how_to_use_local_files(path: Path) -> None:
    config = load_config(path)
    if path.stem != "default":
        source = config.data.train
        assert isinstance(source, str)
        assert source.startswith(("hub:", "package:"))
        assert config.data.test is not None or config.data.test_share > 0
        assert "data.train" in path.read_text(encoding="utf-8").split("\n\n")[0]
