"""A Ray cluster for one call: connected to or started, quiet, with errors that are one line."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from textcls.errors import InputError, TextclsError

_CONNECT_SECONDS = 5
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # nothing is sent anywhere, nothing said
_RAY_BLOCK_BYTES = 4 << 20  # a second or two of an actor's work, so that all end at about the same time


def units(ray: Any, kind: str) -> int:
    """Return how many cores (`CPU`) or GPUs (`GPU`) the cluster has.

    Raises:
        InputError: It has none.
    """
    count = int(ray.cluster_resources().get(kind, 0))
    if not count:
        raise InputError(f"the Ray cluster has no {kind} for a worker")
    return count


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Give the module `ray`, connected; a cluster that was started here ends here.

    Raises:
        InputError: There is no cluster at the address.
        TextclsError: A task failed; errors of ours come out as they were raised there.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    ours = not ray.is_initialized()
    if ours:
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        _check_address(address)
        try:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            hint = "" if address == "auto" else "; on a machine of the cluster, the address auto finds it and its token"
            raise InputError(f"{address}: no Ray cluster answers there: {_first_line(error)}{hint}") from error
    elif address is not None:
        raise InputError(f"{address}: this process is connected to Ray already; leave the address out")
    try:
        yield ray
    except ray.exceptions.RayError as error:
        raise _plain(error) from error
    finally:
        if ours:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would wait for minutes."""
    if address.startswith("ray://"):
        raise InputError(f"{address}: is Ray Client's; run this on a machine of the cluster, with the address auto")
    host, colon, port = address.rpartition(":")
    if not colon:
        return  # a word of Ray's, such as auto
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"{address}: no Ray cluster answers there: {_first_line(error)}") from error


def _plain(error: BaseException) -> TextclsError:
    """Return the error of ours that Ray's error wraps, or one that names what it wraps."""
    while inner := getattr(error, "cause", None) or error.__cause__:  # Ray's own says where it happened, over many lines
        error = inner
    if isinstance(error, TextclsError):
        return type(error)(_first_line(error))  # Ray adds lines of its own
    return TextclsError(f"a Ray task failed: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def settings(ordered: bool) -> Iterator[None]:
    """Set what Ray Data does in this process, and set it back: quietly, in small blocks, in order where that is asked for."""
    from ray.data import DataContext

    context = DataContext.get_current()
    ours = {"enable_progress_bars": False, "print_on_execution_start": False, "target_max_block_size": _RAY_BLOCK_BYTES}
    before = {name: getattr(context, name, None) for name in ours}
    order = context.execution_options.preserve_order
    console = [one for one in logging.getLogger("ray.data").handlers if isinstance(one, logging.StreamHandler)]
    levels = [one.level for one in console]
    try:
        vars(context).update(ours)
        context.execution_options.preserve_order = ordered
        for one in console:
            one.setLevel(logging.CRITICAL)  # what matters is raised
        with warnings.catch_warnings():  # few files are no mistake
            warnings.filterwarnings("ignore", "The (max|min)imum number of concurrent (tasks|actors)", UserWarning)
            yield
    finally:
        vars(context).update(before)
        context.execution_options.preserve_order = order
        for one, level in zip(console, levels, strict=True):
            one.setLevel(level)
