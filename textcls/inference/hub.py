"""Models on the Hugging Face Hub: `hub:owner/name`, or `hub:owner/name@revision`."""

from __future__ import annotations

import re
from pathlib import Path

from textcls.artifact import GRAPH_FILE, MODEL_FILES
from textcls.errors import InputError, ModelError

PREFIX = "hub:"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def fetch_model(name: str) -> Path:
    """Return the folder of a model, which is fetched where the cache of `huggingface_hub` does not have it.

    Args:
        name: `hub:owner/name`; a revision after `@` pins what is fetched.

    Raises:
        InputError: The name is none of those.
        ModelError: It cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    check_repository(repository)
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=[*MODEL_FILES, GRAPH_FILE]))
    except Exception as error:  # network, names, rights: the client documents no common class
        raise ModelError(f"{name}: cannot be fetched: {first_line(error)}") from error


def check_repository(name: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        InputError: It is not `owner/name`.
    """
    if not _REPOSITORY.fullmatch(name):
        raise InputError(f"{name}: is no repository; write it as owner/name")


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
