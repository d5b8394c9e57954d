// Runs an exported ONNX file as a browser would: the WebAssembly runtime that goes into the `web` export, under Node.js.
// A program of its own, `node _stranger.mjs FILE RUNTIME`: it says that the file is loaded, then reads inputs as lines of JSON,
// by name, and answers each with a line of outputs; with `error` where there is one.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");

try {
  const [file, runtime] = process.argv.slice(2);
  const ort = await import(pathToFileURL(runtime));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await readFile(path.join(path.dirname(runtime), "ort-wasm-simd-threaded.wasm"));
  const options = { executionProviders: ["wasm"], logSeverityLevel: 4 };
  const session = await ort.InferenceSession.create(new Uint8Array(await readFile(file)), options);
  answer({ onnxruntime: ort.env.versions.common });
  for await (const line of createInterface({ input: process.stdin })) {
    const { text } = JSON.parse(line);
    const { label, selected, probabilities, by_linear } = await session.run({ text: new ort.Tensor("string", text, [text.length]) });
    const classes = probabilities.dims[1];
    const rowsOf = (data) => text.map((_, at) => Array.from(data.subarray(at * classes, (at + 1) * classes)));
    const answers = selected ? { selected: rowsOf(selected.data).map((row) => row.map(Boolean)) } : { label: label.data };
    const fast = by_linear ? { by_linear: Array.from(by_linear.data, Boolean) } : {};
    answer({ ...answers, ...fast, probabilities: rowsOf(probabilities.data) });
  }
} catch (error) {
  answer({ error: String(error.message ?? error) });
}
