// The worker: it alone holds the model, so that the page stays quick while the model works.

import * as ort from "./runtime/ort.wasm.bundle.min.js";

const BATCH = 32; // texts in one run
const MOST_WORDS = 200; // words whose effect is measured; the cost grows with the square of their number

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };

let session;
let facts;
const jobs = { text: null, rows: null }; // what is being worked on: a text that is typed goes before the rows of a file
let working = false;

/** Run the model: texts in; for each the labels that it is given, the most probable first, and the probability of every label. */
async function classify(texts) {
  // A string ends at a NUL in this runtime; U+FFFD is another character that hardly any vocabulary knows.
  const safe = texts.map((text) => text.replaceAll("\0", "\ufffd").replace(/\p{Cs}/gu, "\ufffd"));
  const result = await session.run({ text: new ort.Tensor("string", safe, [safe.length]) });
  const flat = result.probabilities.data;
  const classes = facts.labels.length;
  const probabilities = safe.map((_, at) => Array.from(flat.subarray(at * classes, (at + 1) * classes)));
  if (!facts.many) return { labels: Array.from(result.label.data, (label) => [label]), probabilities };
  const given = (row, text) => row.flatMap((_, at) => (result.selected.data[text * classes + at] ? [at] : []));
  const named = (row, text) => given(row, text).sort((one, other) => row[other] - row[one]).map((at) => facts.labels[at]);
  return { labels: probabilities.map(named), probabilities };
}

/** Return the probabilities of some labels. */
const sharesOf = (labels, probabilities) => labels.map((label) => probabilities[facts.labels.indexOf(label)]);

/** Say what a text is, then what each of its words adds: the text's probability less that of the text without the word. */
async function* explainText({ id, text }) {
  const tokens = [...text.matchAll(new RegExp(facts.token, "gu"))].slice(0, facts.max_tokens);
  const {
    labels: [labels],
    probabilities: [probabilities],
  } = await classify([text]);
  const best = labels.length ? facts.labels.indexOf(labels[0]) : probabilities.indexOf(Math.max(...probabilities));
  postMessage({ kind: "answer", id, labels, probabilities, measured: facts.labels[best] });
  yield;

  const read = tokens.length ? text.slice(0, tokens.at(-1).index + tokens.at(-1)[0].length) : "";
  const words = tokens.slice(0, MOST_WORDS).map((token) => ({ start: token.index, end: token.index + token[0].length }));
  for (let from = 0; from < words.length; from += BATCH) {
    const batch = words.slice(from, from + BATCH);
    const without = await classify(batch.map(({ start, end }) => `${read.slice(0, start)} ${read.slice(end)}`));
    batch.forEach((word, at) => (word.effect = probabilities[best] - without.probabilities[at][best]));
    yield;
  }
  postMessage({ kind: "words", id, words, all: tokens.length });
}

/** Classify the rows of a file, those of like length together: a batch is as long as its longest text. */
async function* classifyRows({ id, texts }) {
  const order = texts.map((_, at) => at).sort((one, other) => texts[one].length - texts[other].length);
  for (let from = 0; from < order.length; from += BATCH) {
    const batch = order.slice(from, from + BATCH);
    const { labels, probabilities } = await classify(batch.map((at) => texts[at]));
    postMessage({ kind: "rows", id, at: batch, labels, confidences: labels.map((row, at) => sharesOf(row, probabilities[at])) });
    yield;
  }
  postMessage({ kind: "done", id });
}

/** Work step by step, and look between two steps whether something newer was asked. */
async function work() {
  if (working || !session) return;
  working = true;
  for (let kind; (kind = jobs.text ? "text" : jobs.rows ? "rows" : null); ) {
    const job = jobs[kind];
    try {
      const { done } = await job.steps.next();
      if (done && jobs[kind] === job) jobs[kind] = null;
    } catch (error) {
      if (jobs[kind] === job) jobs[kind] = null;
      postMessage({ kind: "failed", id: job.id, what: kind, message: String(error.message ?? error) });
    }
    await new Promise((resume) => setTimeout(resume));
  }
  working = false;
}

onmessage = ({ data }) => {
  const steps = { text: explainText, rows: classifyRows }[data.kind];
  jobs[data.kind] = data.stop ? null : { id: data.id, steps: steps(data) };
  work();
};

try {
  const [model, card] = await Promise.all(
    ["model.onnx", "model.json"].map(async (name) => {
      const answer = await fetch(new URL(name, import.meta.url));
      if (!answer.ok) throw new Error(`${name}: the server answers ${answer.status}`);
      return name.endsWith("json") ? answer.json() : answer.arrayBuffer();
    }),
  );
  facts = card;
  session = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"], logSeverityLevel: 3 });
  await classify(["warm up"]);
  postMessage({ kind: "ready", facts });
  work();
} catch (error) {
  postMessage({ kind: "broken", message: String(error.message ?? error) });
}
