"""JSON values: objects in which no key is lost, and arrays that are read bit by bit."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from textcls.errors import DataError

_BLANK: Final = re.compile(r"[ \t\n\r]*")
_BLANKS: Final = frozenset({"", " ", "\t", "\n", "\r"})
_KEY_END: Final = re.compile(r'"\s*:')  # it may also stand in a text, behind a quote that is escaped


class _RepeatedKeys(dict[str, Any]):
    """An object with keys that stand twice in it: the second value of `a` is under `a.2`, as a second column of csv is."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated: dict[str, int] = {}  # how many times
        for key, value in pairs:
            name = key
            while name in self:
                self.repeated[key] = self.repeated.get(key, 1) + 1
                name = f"{key}.{self.repeated[key]}"
            self[name] = value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _RepeatedKeys(pairs)


_PLAIN: Final = json.JSONDecoder()
_CAREFUL: Final = json.JSONDecoder(object_pairs_hook=_object)  # which takes twice the time


def parse_json(text: str) -> Any:
    """Return a JSON value; see `repeated_key` for objects.

    Raises:
        ValueError: It is none, or cannot be read.
    """
    (value,) = parse_all([text])
    if isinstance(value, ValueError):
        raise value
    return value


def parse_all(texts: Sequence[str]) -> list[Any]:
    """Return the JSON value that each text is, or the `ValueError` that says why it is none; as `parse_json`."""
    values = list(map(_value_or_error, texts))
    if _keys(values) != len(_KEY_END.findall("\n".join(texts))):  # some have objects in them, or more keys than they seem to
        for row, value in enumerate(values):
            text = texts[row]
            if isinstance(value, dict) and len(value) != text.count(":") and len(value) != len(_KEY_END.findall(text)):
                values[row] = _CAREFUL.decode(text.rstrip())
    return values


def _keys(values: Sequence[Any]) -> int:
    """Return how many keys some objects have, -1 where not all are objects."""
    return sum(map(len, values)) if {*map(type, values)} <= {dict} else -1


def _value_or_error(text: str) -> Any:
    try:
        value, end = _PLAIN.raw_decode(text)
        return value if end == len(text) else _PLAIN.decode(text.rstrip())
    except json.JSONDecodeError as error:
        start = text.lstrip().removeprefix("\ufeff")  # where files were joined, a byte order mark may stand before a row
        return error if start == text else _value_or_error(start)
    except (ValueError, RecursionError) as error:
        return _unreadable(error)


def _unreadable(error: ValueError | RecursionError) -> ValueError:
    return ValueError(
        "its brackets are nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
    )


def repeated_key(value: Mapping[Any, Any], among: Collection[str] | None = None) -> str | None:
    """Return a key, perhaps one of some, that stands twice in an object; None where there is none."""
    repeated = value.repeated if isinstance(value, _RepeatedKeys) else ()
    return min((key for key in repeated if among is None or key in among), default=None)


class JsonArray:
    """An array that is read bit by bit; memory holds a few of its items.

    Args:
        pieces: Of its text.
        place: What messages call the file.
        longest: Characters of an item behind which its end is not looked for.
    """

    def __init__(self, pieces: Iterator[str], place: str, longest: int) -> None:
        self._pieces, self._place, self._longest = pieces, place, longest
        self._text, self._start, self._number = "", 0, 0
        self._together = True  # whether what is in memory may be parsed together

    def items(self) -> Iterator[tuple[list[Any], list[str]]]:
        """Yield some items at a time: their values, and how each is written; that is left out of objects without a fault.

        Raises:
            DataError: The array is damaged, or an item too long.
        """
        self._take("[")
        while not self._take("]"):
            if self._number and not self._take(","):
                raise self._damaged(
                    "not valid JSON: a comma is missing behind it" if self._next() else "the array is cut short"
                )
            if values := self._objects():
                yield values, [""] * len(values)
            else:
                self._number += 1
                value, text = self._item()
                yield [value], [text]
        if self._next():
            raise self._damaged("not valid JSON: the array has ended, but the file goes on")

    def _objects(self) -> list[dict[str, Any]]:
        """Take what is in memory as objects, which is faster than one by one; none where it is something else, or not clear."""
        end = self._text.rfind("},", self._start) + 1
        if not self._together or not 0 < end - self._start <= self._longest:
            return []
        together = f"[{self._text[self._start : end]}]"  # if that is an array, then it ends where an item does
        try:
            together.encode()
            values: list[Any] = _PLAIN.decode(together)
            if _keys(values) != len(_KEY_END.findall(together)):
                values = _CAREFUL.decode(together)
        except (ValueError, RecursionError):
            values = [None]
        self._together = all(isinstance(value, dict) for value in values)
        if not self._together:
            return []
        self._start = end
        self._number += len(values)
        return values

    def _item(self) -> tuple[Any, str]:
        while self._next():
            try:
                value, end = _PLAIN.raw_decode(self._text, self._start)
            except json.JSONDecodeError as error:  # or this is not all of it
                if not self._read_on():
                    raise self._damaged(f"not valid JSON: {error.msg}") from None
            except (ValueError, RecursionError) as error:
                raise self._damaged(f"JSON that cannot be read: {_unreadable(error)}") from None
            else:
                if end < len(self._text) or not isinstance(value, int | float) or not self._read_on():  # a number may go on
                    text, self._start = self._text[self._start : end], end
                    return parse_json(text), text
        raise self._damaged("the array is cut short")

    def _take(self, character: str) -> bool:
        found = self._next() == character
        self._start += found
        return found

    def _next(self) -> str:
        """Return the next character that is not blank; "" where there is none."""
        while (character := self._text[self._start : self._start + 1]) in _BLANKS:
            if not character and not self._read_on():
                return ""
            self._start = _BLANK.match(self._text, self._start).end()  # type: ignore[union-attr]
        return character

    def _read_on(self) -> bool:
        """Read more, as much as is waiting or more: so that what is long is not parsed anew for each piece of it."""
        waiting = len(self._text) - self._start
        if waiting > self._longest:
            raise self._damaged(f"longer than data.max_row_bytes, {self._longest:,}")
        pieces, length = [self._text[self._start :]], 0
        while length <= waiting and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            length += len(piece)
        self._text, self._start, self._together = "".join(pieces), 0, True
        return length > 0

    def _damaged(self, fault: str) -> DataError:
        return DataError(f"{self._place}, row {self._number}: {fault}")
