"""Classifying on many cores or machines with Ray Data: rows in, the same rows out, labelled, as a folder of part files.

    files → reading tasks → blocks → one actor a core, each with the model → labelled blocks → writing tasks → part files

What flows between the stages are the local engine's own blocks, pickled, one to a row of Ray's: the same readers, answers and
writers work on them. Every block has a number that the inputs alone decide, and the part file that it goes to is named after it:
what Ray runs again, because a worker died, replaces what was there and adds nothing. Nothing is unpickled but what this call
pickled: pickles stay between its own processes, in Ray's object store, and are never read from a file or a URI. Ray is imported
where it is used.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textcls.artifact import Artifact, read_artifact
from textcls.data.blocks import STANDARD_INPUT, Source
from textcls.data.inputs import Inputs, find_inputs
from textcls.errors import DataError, InputError, MissingPackageError
from textcls.inference.answers import Answers, Names, Summary
from textcls.inference.files import what_is_read
from textcls.inference.options import ClassifyOptions
from textcls.inference.parts import FORMATS, PartFolder, check_folder, part_folder, write_part
from textcls.inference.predictor import Engine, Predictor
from textcls.inference.ray_cluster import connected, settings, units

if TYPE_CHECKING:
    import pyarrow as pa

GpuEngine = Callable[[Artifact], Engine]

_WHOLE_FILES = 512  # files of one text each that a reading task takes
_PART_BLOCKS = 32  # blocks of at most 8,192 rows that make a part file


def classify_with_ray(
    model: str | Path,
    inputs: Sequence[str | Path],
    output: str | Path,
    options: ClassifyOptions | None = None,
    *,
    gpu_engine: GpuEngine | None = None,
    ordered: bool = False,
    workers: int | None = None,
    address: str | None = None,
    progress: Callable[[int, float | None], None] | None = None,
    **given: Any,
) -> Summary:
    """Classify the rows of files on a Ray cluster, and write them with labels beside them as a folder of part files.

    The rows and the columns added to them are those of `textcls.inference.classify_files`. The model travels to the workers; the
    machines of a cluster need textcls[ray] installed, and must reach the inputs and the output.

    Args:
        model: A model folder or an exported `.onnx` file, on this machine.
        inputs: Files and folders, as paths or URIs (`s3://bucket/folder`); in URIs also `*` and `[…]` for names.
        output: The folder to write, a path or a URI. A path takes its place when it is whole; behind a URI the file `_SUCCESS`,
            written last, says that it is.
        options: How rows are read, what is answered, and how it is written; the defaults where not given.
        gpu_engine: Makes what scores on each worker, which gets a GPU of its own, from a model folder's arrays, such as
            `functools.partial(TorchEngine, device="cuda")`; where not given, ONNX Runtime scores, on a core for each worker.
        ordered: Keep the order of the rows, within the parts and from part to part, sorted by name.
        workers: How many processes classify; one for each core, or GPU, of the cluster where not given.
        address: Of a running cluster, as `ray.init` takes it. Where not given, that of `RAY_ADDRESS`; else the cluster that this
            process is connected to, or a new one on this machine, which ends with the call.
        progress: Called after each part file with the rows done and the share of the input's bytes.
        **given: Single options by name, such as `top_k=2`; see `ClassifyOptions`.

    Raises:
        MissingPackageError: Ray is not installed.
        InputError: An input or an option is at fault, or there is no cluster at the address; nothing was written. Or the output
            appeared while this was at work (`textcls.files.AppearedError`): the result is kept beside it.
        DataError: A file is damaged in such a way that its rows cannot be told apart, or `strict` and a row cannot be read;
            the output is not written.
    """
    started = time.perf_counter()
    options = ClassifyOptions.of(options, given)
    _check(options, inputs)
    predictor = options.way(Predictor.load(model, threads=1))
    answers = options.answers(predictor)
    portable = _portable(Path(model), gpu_engine is not None)
    reading = options.reading(predictor, answers.block_rows)
    found = find_inputs(inputs, reading, glob=options.glob, or_text=options.text is None)
    format = _format(options.format, output)
    check_folder(output, [*what_is_read(predictor, inputs, found)], found, options.force)
    summary = Summary(counts=Counter(dict.fromkeys(answers.label_texts, 0)), notes=found.notes)
    with part_folder(output, force=options.force) as folder, connected(address) as ray, settings(ordered):
        workers = workers or units(ray, "GPU" if gpu_engine else "CPU")
        names = Names(answers.names)
        types = _types(_tasks(ray, found), names, answers) if format == "parquet" else None
        shared = ray.put((portable, options, gpu_engine, names.renamed))
        labelled = _labelled(_tasks(ray, found), shared, workers, gpus=1 if gpu_engine else None)
        writing = {"place": folder.place, "format": format, "types": types}
        written = _stage(labelled, _write, workers, fn_kwargs=writing, batch_size=_PART_BLOCKS)
        _gather(written, folder, summary, found.total_bytes or 0, progress)
    summary.seconds = time.perf_counter() - started
    return summary


def _check(options: ClassifyOptions, inputs: Sequence[str | Path]) -> None:
    """Make sure that Ray is here, and can do what is asked for."""
    if importlib.util.find_spec("ray") is None:
        raise MissingPackageError("the Ray engine needs Ray, which is not installed: pip install 'textcls[ray]'")
    if STANDARD_INPUT in map(str, inputs):
        raise InputError("standard input (-) cannot be read by several processes; put it into a file first")
    if options.local:
        raise InputError(f"{', '.join(options.local)}: not with the Ray engine, which has no such option")


def _gather(
    written: Any, folder: PartFolder, summary: Summary, total: int, progress: Callable[[int, float | None], None] | None
) -> None:
    """Let the stages run, and take down the part files and what happened to their rows."""
    bytes_read = 0
    for part in written.iter_rows():
        folder.parts.add(part["name"])
        bytes_read += part["bytes"]
        _add(summary, pickle.loads(part["summary"]))
        if progress:
            progress(summary.rows, min(1.0, bytes_read / total) if total else None)


def _format(given: str | None, output: str | Path) -> str:
    ending = Path(str(output).partition("?")[0]).suffix.removeprefix(".").lower()
    format = given or ending or "jsonl"
    if format not in FORMATS:
        if not given:
            raise InputError(f"{output}: Ray writes a folder of part files; end its name in .jsonl, .parquet or nothing")
        raise InputError(f"{format}: Ray writes {' or '.join(FORMATS)}")
    return format


def _portable(model: Path, gpus: bool) -> bytes | Artifact:
    """Return a model in a form that other machines can load it from."""
    if model.is_dir():
        return read_artifact(model)
    if gpus:
        raise InputError(f"{model}: an exported file runs on the CPU alone; name the model folder")
    return model.read_bytes()


def _tasks(ray: Any, found: Inputs) -> Any:
    """Return the inputs as a Ray dataset: a row for what each reading task reads."""
    groups: list[list[Source]] = []
    for whole, sources in groupby(found.sources, found.reading.is_one_text):
        some = [replace(source, path=source.path.absolute()) for source in sources]
        size = _WHOLE_FILES if whole else 1
        groups += [some[start : start + size] for start in range(0, len(some), size)]
    tasks = [
        {"number": number, "inputs": pickle.dumps(replace(found, sources=tuple(group)))} for number, group in enumerate(groups)
    ]
    return ray.data.from_items(tasks, override_num_blocks=len(tasks))


def _stage(data: Any, work: Callable[..., Any], most: int, **options: Any) -> Any:
    """Add a stage of tasks. They take no core: all cores are the actors', and the work is little beside theirs."""
    from ray.data import TaskPoolStrategy

    return data.map_batches(work, batch_format="pyarrow", num_cpus=0, compute=TaskPoolStrategy(size=most), **options)


def _labelled(tasks: Any, shared: Any, workers: int, gpus: int | None) -> Any:
    """Add the stages that read the inputs and classify them."""
    from ray.data import ActorPoolStrategy

    blocks = _stage(tasks, _read, workers, batch_size=None)
    return blocks.map_batches(
        _Worker,
        fn_constructor_args=(shared,),
        batch_format="pyarrow",
        batch_size=1,  # block of ours, of thousands of rows; for GPUs Ray wants a number
        num_cpus=1,
        num_gpus=gpus,
        compute=ActorPoolStrategy(size=workers),
    )


def _read(batch: pa.Table) -> Iterator[pa.Table]:
    """Read files into blocks, one a row, with the number of each."""
    for task in batch.to_pylist():
        before = 0
        for index, block in enumerate(pickle.loads(task["inputs"]).blocks()):
            count, before = block.bytes_read - before, block.bytes_read
            yield _table(number=[f"{task['number']:06d}-{index:08d}"], block=[pickle.dumps(block)], bytes=[count])


class _Worker:
    """A process that classifies blocks, with the model loaded once.

    Args:
        shared: Where the model and the options lie in Ray's object store.
    """

    def __init__(self, shared: Any) -> None:
        import ray

        model, self._options, gpu_engine, self._renamed = ray.get(shared)
        self._predictor = self._options.way(_load(model, gpu_engine))
        self._answers = self._options.answers(self._predictor)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Yield the blocks with their answers."""
        for row in batch.to_pylist():
            block = pickle.loads(row["block"])
            if self._options.strict and block.failed:
                raise DataError(str(block.error(block.failed[0])))
            names, summary = Names(self._answers.names), Summary()
            names.renamed |= self._renamed
            columns = dict(zip(names.in_output(block.columns), block.columns.values(), strict=True))
            columns |= self._answers.columns(self._predictor.score(self._predictor.encode(block.texts)), block, summary)
            summary.notes = names.notes
            yield _table(
                number=[row["number"]],
                block=[pickle.dumps((columns, len(block)))],
                summary=[pickle.dumps(summary)],
                bytes=[row["bytes"]],
            )


def _load(model: bytes | Artifact, gpu_engine: GpuEngine | None) -> Predictor:
    """Return the model for one core, or one GPU."""
    if isinstance(model, bytes):
        import onnx

        return Predictor.from_graph(onnx.load_from_string(model), threads=1)
    predictor = Predictor.from_artifact(model, threads=1)
    if gpu_engine:
        predictor.engine = gpu_engine(model)
    return predictor


def _write(batch: pa.Table, place: str, format: str, types: Mapping[str, Any] | None) -> pa.Table:
    """Write labelled blocks as one part file; return its name and what is in it."""
    rows = batch.to_pylist()
    name = f"part-{rows[0]['number']}.{format}"
    summary = Summary(replaced=write_part(place, name, [pickle.loads(row["block"]) for row in rows], types))
    for row in rows:
        _add(summary, pickle.loads(row["summary"]))
    return _table(name=[name], summary=[pickle.dumps(summary)], bytes=[sum(row["bytes"] for row in rows)])


def _types(tasks: Any, names: Names, answers: Answers) -> dict[str, Any]:
    """Return the type of every column of the output, in order; like the local engine, this reads jsonl files through."""
    from textcls.inference.parquet import answer_types, common_types

    rows = _stage(tasks, _types_of, len(os.sched_getaffinity(0)), batch_size=None).take_all()
    rows.sort(key=lambda row: row["number"])
    types = common_types(part for row in rows for part in pickle.loads(row["types"]))
    return dict(zip(names.in_output(types), types.values(), strict=True)) | answer_types(answers.names, answers.labels)


def _types_of(batch: pa.Table) -> Iterator[pa.Table]:
    from textcls.inference.parquet import block_types

    for task in batch.to_pylist():
        found = dict.fromkeys(tuple(types.items()) for types in block_types(pickle.loads(task["inputs"])))
        yield _table(number=[f"{task['number']:06d}"], types=[pickle.dumps(list(map(dict, found)))])


def _table(**columns: list[Any]) -> pa.Table:
    """Return a table for Ray; bytes of any length and number fit."""
    import pyarrow as pa

    kinds = {str: pa.string(), bytes: pa.large_binary(), int: pa.int64()}
    return pa.table({name: pa.array(values, kinds[type(values[0])]) for name, values in columns.items()})


def _add(summary: Summary, other: Summary) -> None:
    """Add what happened to other rows."""
    for name in ("rows", "unsure", "unlabelled", "errors", "empty", "truncated", "replaced"):
        setattr(summary, name, getattr(summary, name) + getattr(other, name))
    if other.linear is not None:
        summary.linear = (summary.linear or 0) + other.linear
    summary.counts.update(other.counts)
    summary.notes = tuple(dict.fromkeys(summary.notes + other.notes))
