"""What a run or a search leaves in its folder, which others may have filled while it was at work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from textcls.files import AppearedError

_State = dict[Path, tuple[int, int, int]]  # of each file of a place: its number, its size, when it was written


class Results:
    """The results in a folder: each takes its place, or where something appeared there meanwhile a name beside it.

    What stood in a place when this was made, or was written by `taking`, is the run's own, and gives way.

    Args:
        folder: The folder; it need not exist.
        names: Of its files and folders.
        force: Whether what appears gives way, too.
    """

    def __init__(self, folder: Path, names: Iterable[str], *, force: bool) -> None:
        self.folder = folder
        self._force = force
        self._places = {name: folder / name for name in names}
        self._own = {name: _state(place) for name, place in self._places.items()}
        self._appeared: list[str] = []

    @contextmanager
    def taking(self, name: str) -> Iterator[tuple[Path, bool]]:
        """Give where a result is to be written in the block, and whether what stands there gives way.

        An `AppearedError` of the block is kept for `check`; what is written after that under the same name goes where this went.
        """
        place = self._places[name]
        try:
            yield place, self._force or self._is_own(_state(place), self._own[name])
        except AppearedError as error:
            self._appeared.append(str(error))
            self._places[name] = place = error.kept
        self._own[name] = _state(place)

    def check(self) -> None:
        """Say what appeared, once all results are written.

        Raises:
            AppearedError: Something did; the message has a line for each result that was kept beside it.
        """
        if self._appeared:
            raise AppearedError("\n".join(self._appeared), self.folder)

    @staticmethod
    def _is_own(now: _State, own: _State) -> bool:
        """Whether a place is as it was, but for what was added to a folder that was ours."""
        return own == now or (bool(own) and own.items() <= now.items())


def _state(place: Path) -> _State:
    """Return what tells each file of a place from another: nothing where none is there."""
    files = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
    found = {path: path.lstat() for path in files if path.is_symlink() or path.exists()}
    return {path: (status.st_ino, status.st_size, status.st_mtime_ns) for path, status in found.items()}
