"""Lists of labels that are written as text: as JSON, as Python or numpy print them, or with separators between them."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Callable
from typing import Any, Final

from textcls.data.json_values import parse_json

_SEPARATORS: Final = re.compile(r"[,;|]")  # labels that hold one of these are written as a JSON list
_ZEROS_AND_ONES: Final = re.compile(r"[01](?:\.0*)?(?:\s+[01](?:\.0*)?)+")
_CALL: Final = re.compile(r"(?:frozenset|set|array|dict_keys)\((.*?)(?:,\s*dtype=\w+)?\)", re.DOTALL)
_OTHER_CALL: Final = re.compile(r"""[A-Za-z_][\w.]*\([^()]*[,'"\[][^()]*\)""")  # as other programs print lists
_NO_COMMA: Final = re.compile(r"""['"]\s+['"]""")  # as numpy writes a list, which Python would read as one text
_NUMPY_ITEM: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,'"\[\](){}]+""", re.DOTALL)


@functools.lru_cache(4096)
def labels_in(text: str) -> tuple[Any, ...] | dict[Any, Any]:
    """Return the labels that stand in a text, or the object of labels.

    Raises:
        ValueError: It starts like a list or an object, and is none.
    """
    if call := _CALL.fullmatch(text):
        text = call[1] or "[]"
    readers: tuple[Callable[[str], Any], ...] = ()
    if text[:1] in {"[", "{"}:
        readers = (parse_json, _as_python, _as_numpy)
    elif text[:1] in {"(", "'", '"'}:
        readers = (_as_python,)
    for read in readers:
        try:
            value = read(text)
        except ValueError:
            continue
        if isinstance(value, set):
            return tuple(sorted(value, key=repr))  # its own order is another one in each process
        if isinstance(value, list | tuple | dict | str):
            return value if isinstance(value, dict) else (value,) if isinstance(value, str) else tuple(value)
    if len(readers) > 1:
        raise ValueError
    if _OTHER_CALL.fullmatch(text):
        raise ValueError
    parts = text.split() if _ZEROS_AND_ONES.fullmatch(text) else _SEPARATORS.split(text)
    return tuple(map(str.strip, parts)) if text else ()


def _as_python(text: str) -> Any:
    """Return a value as Python prints it; it is what pandas writes in `to_csv`."""
    if _NO_COMMA.search(text):
        raise ValueError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that mean nothing
            return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError from None


def _as_numpy(text: str) -> list[Any]:
    """Return a list as numpy prints an array, `['a' 'b']` or `[0. 1.]`; pandas writes it where a table came from Parquet."""
    if text[-1] != "]" or _NUMPY_ITEM.sub("", text[1:-1]).strip():
        raise ValueError
    return [None if item in {"nan", "None"} else _as_python(item) for item in _NUMPY_ITEM.findall(text[1:-1])]
