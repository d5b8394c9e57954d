"""Runs an exported ONNX file as a stranger would: stock ONNX Runtime and NumPy alone, nothing of textcls.

A program of its own, `python -P _stranger.py FILE`: it says that the file is loaded, then reads inputs as lines of JSON, by name,
and answers each with a line of outputs; with `error` where there is one.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnxruntime

_TYPES = {"tensor(string)": object, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


def main() -> None:
    """Answer until the input ends."""
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its errors are answered
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others wait for the cores
        session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
        _answer({"onnxruntime": onnxruntime.__version__})
        kinds = {given.name: _TYPES[given.type] for given in session.get_inputs()}
        names = [output.name for output in session.get_outputs()]
        for line in sys.stdin:
            feed = {name: np.array(value, kinds[name]) for name, value in json.loads(line).items()}
            _answer({name: value.tolist() for name, value in zip(names, session.run(None, feed), strict=True)})
    except Exception as error:  # ONNX Runtime's error classes share no base but this
        _answer({"error": str(error).strip() or type(error).__name__})


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
