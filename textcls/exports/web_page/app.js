// The page: what is typed or dropped goes to the worker, and its answers onto the page.

import { formatCsv, guessColumn, readTable } from "./table.js";

const PAUSE = 120; // milliseconds without a key before a text is classified
const SPOKEN_PAUSE = 900; // and before its label is said, so that a screen reader does not talk into the typing
const FEW_LABELS = 12; // up to this many keep their order and are all shown
const TOP_LABELS = 8; // of more, the most probable
const SHOWN_ROWS = 200;
const NAMED_WORDS = 3; // on either side
const COUNTED_LABELS = 12; // that a file's summary names
const NO_LABEL = "no label"; // where a text may have many, it may have none
const NOTED_EFFECT = 0.005; // half a percentage point: less is no colour

const $ = (id) => document.getElementById(id);
const share = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const points = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" });
const whole = new Intl.NumberFormat("en");
const rowsOf = (count) => `${whole.format(count)} ${count === 1 ? "row" : "rows"}`;
const signed = (effect) => points.format(effect * 100).replace("-", "\u2212"); // the minus sign is as wide as the plus

const worker = new Worker("./classifier.js", { type: "module" });
let facts;
let allLabels = false;
let asked = { id: 0, text: "" }; // the text that the newest question was about
let answer; // the newest answer, which the bars show
let file; // the open file: { name, table, column, id, labels, confidences, left }; a list of labels for each row
let runs = 0; // over files, for their ids

/** Make an element with a class and children, which are elements or texts. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Return a function that calls another once it has not been called for a while. */
function debounced(call, pause) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(call, pause, ...values);
  };
}

// A text

function ask() {
  const text = $("text").value;
  if (text === asked.text) return;
  asked = { id: asked.id + 1, text };
  if (text.trim()) {
    worker.postMessage({ kind: "text", ...asked });
  } else {
    worker.postMessage({ kind: "text", stop: true });
    showAnswer(null);
  }
}

const say = debounced((text) => ($("spoken").textContent = text), SPOKEN_PAUSE);

/** Return a probability for reading; what is not nothing does not look like it. */
function percent(value) {
  return value > 0 && value < 0.0005 ? `<${share.format(0.001)}` : share.format(value);
}

function showAnswer(data) {
  answer = data;
  $("words").textContent = asked.text; // coloured once its words are measured
  $("strongest").textContent = "";
  $("effects").hidden = !data;
  if (data) {
    const confidence = (label) => percent(data.probabilities[facts.labels.indexOf(label)]);
    const given = data.labels.map((label) => make("span", "given", label, make("span", "share", confidence(label))));
    $("verdict").replaceChildren(...(given.length ? given : [make("span", "muted", NO_LABEL)]));
    say(data.labels.map((label) => `${label}, ${confidence(label)}`).join("; ") || NO_LABEL);
  } else {
    $("verdict").replaceChildren(make("span", "muted", "–"));
    say("");
  }
  showBars();
}

/** Show a bar for each label: always in the same order where they are few, so that one can follow them; else the highest. */
function showBars() {
  const probability = (at) => answer?.probabilities[at] ?? 0;
  let order = facts.labels.map((_, at) => at);
  if (order.length > FEW_LABELS) {
    order.sort((one, other) => probability(other) - probability(one));
    if (!allLabels) order = order.slice(0, TOP_LABELS);
  }
  const bars = $("bars");
  while (bars.children.length < order.length) bars.append(newBar());
  while (bars.children.length > order.length) bars.lastChild.remove();
  order.forEach((at, place) => {
    const bar = bars.children[place];
    const [name, track, number] = bar.children;
    bar.classList.toggle("best", Boolean(answer?.labels.includes(facts.labels[at])));
    name.replaceChildren(...breakable(facts.labels[at]));
    track.firstChild.style.transform = `translateX(${(probability(at) - 1) * 100}%)`;
    if (facts.many) track.lastChild.style.left = `${facts.thresholds[at] * 100}%`;
    number.textContent = answer ? percent(probability(at)) : "–";
  });
}

/** Return the pieces of a label, between which a line may end. */
function breakable(label) {
  return label.split(/(?<=[_/.:-])/).flatMap((piece, at) => (at ? [make("wbr"), piece] : [piece]));
}

function newBar() {
  const track = make("span", "track", make("span", "fill"), ...(facts.many ? [make("span", "cut")] : []));
  track.setAttribute("aria-hidden", "true");
  return make("li", "", make("span", "name"), track, make("span", "share"));
}

/** Colour each word by its effect, and name the strongest in words. */
function showWords({ words, all }) {
  const { text } = asked;
  const strongest = Math.max(...words.map((word) => Math.abs(word.effect)), NOTED_EFFECT);
  const pieces = [];
  let at = 0;
  for (const { start, end, effect } of words) {
    pieces.push(text.slice(at, start), coloured(text.slice(start, end), effect, strongest));
    at = end;
  }
  $("words").replaceChildren(...pieces, text.slice(at));
  $("strongest").replaceChildren(...summary(words, strongest));
  if (words.length < all) {
    $("strongest").append(` The first ${whole.format(words.length)} of ${whole.format(all)} words were measured.`);
  }
}

function coloured(word, effect, strongest) {
  if (Math.abs(effect) < NOTED_EFFECT) return word;
  const mark = make("span", effect > 0 ? "for" : "against", word);
  mark.style.setProperty("--strength", (0.2 + (0.8 * Math.abs(effect)) / strongest).toFixed(3));
  mark.title = `${signed(effect)} points`;
  return mark;
}

/** Say in words what the colours show: the strongest words on either side. */
function summary(words, strongest) {
  const noted = words.filter((word) => Math.abs(word.effect) >= NOTED_EFFECT).sort((one, other) => other.effect - one.effect);
  if (!noted.length) return [`No single word changes the probability of ${answer.measured} by half a point.`];
  const named = ({ start, end, effect }, place) => [
    place ? ", " : "",
    make("span", "whole", coloured(asked.text.slice(start, end), effect, strongest), ` ${signed(effect)}`),
  ];
  const forIt = noted.filter((word) => word.effect > 0).slice(0, NAMED_WORDS);
  const against = noted.filter((word) => word.effect < 0).slice(-NAMED_WORDS).reverse();
  return [
    ...(forIt.length ? [`For ${answer.measured}: `, ...forIt.flatMap(named)] : []),
    ...(against.length ? [`${forIt.length ? "; against it: " : `Against ${answer.measured}: `}`, ...against.flatMap(named)] : []),
    ". Points of probability that are lost without the word.",
  ];
}

// A file

async function openFile(chosen) {
  const complain = (reason) => ($("file-error").textContent = `${chosen.name} ${reason}.`);
  $("file-error").textContent = "";
  closeFile();
  let text;
  let table;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await chosen.arrayBuffer());
    table = readTable(chosen.name, text);
  } catch (error) {
    return complain(error instanceof TypeError ? "is not UTF-8 text" : `cannot be read: ${error.message}`);
  }
  if (!table.rows.length) return complain("has no rows");
  file = { name: chosen.name, table, column: guessColumn(table, facts.text_column) };
  $("column").replaceChildren(...table.names.map((name, at) => new Option(name, at, false, at === file.column)));
  $("column-field").hidden = table.names.length < 2;
  $("result").hidden = false;
  classifyFile();
}

/** Take the former file away: what stands under the name of a new one is of that one. */
function closeFile() {
  file = undefined;
  worker.postMessage({ kind: "rows", stop: true });
  $("result").hidden = true;
  $("download").disabled = true;
  $("rows").replaceChildren();
}

function classifyFile() {
  const texts = file.table.rows.map((row) => row[file.column]);
  Object.assign(file, { id: ++runs, labels: Array(texts.length), confidences: Array(texts.length), left: texts.length });
  $("download").disabled = true;
  $("progress").hidden = false;
  $("progress").value = 0;
  $("answers").hidden = true;
  $("file-status").textContent = `${file.name}: classifying ${rowsOf(texts.length)}`;
  worker.postMessage({ kind: "rows", id: file.id, texts });
}

function takeRows({ at, labels, confidences }) {
  at.forEach((row, place) => {
    file.labels[row] = labels[place];
    file.confidences[row] = confidences[place];
  });
  file.left -= at.length;
  $("progress").value = 1 - file.left / file.labels.length;
}

function showFile() {
  const { name, table, column, labels, confidences } = file;
  $("progress").hidden = true;
  $("answers").hidden = false;
  $("download").disabled = false;
  $("file-status").textContent = `${name}: ${rowsOf(labels.length)} classified`;
  $("text-name").textContent = table.names[column];
  const counts = new Map();
  for (const label of labels.flatMap((row) => (row.length ? row : [NO_LABEL]))) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sorted = [...counts].sort((one, other) => other[1] - one[1]);
  const named = sorted.slice(0, COUNTED_LABELS);
  $("counts").replaceChildren(
    ...named.map(([label, count]) => make("li", "", `${label} `, make("span", "", whole.format(count)))),
  );
  if (sorted.length > named.length) $("counts").append(make("li", "", `and ${sorted.length - named.length} labels more`));
  $("rows").replaceChildren(
    ...table.rows
      .slice(0, SHOWN_ROWS)
      .map((row, at) =>
        make(
          "tr",
          "",
          make("td", "number", whole.format(at + 1)),
          labels[at].length ? make("td", "", labels[at].join(", ")) : make("td", "muted", NO_LABEL),
          make("td", "number", confidences[at].map(percent).join(", ")),
          make("td", "", row[column]),
        ),
      ),
  );
  const hidden = labels.length > SHOWN_ROWS;
  $("shown").textContent = hidden ? `The first ${SHOWN_ROWS} rows are shown; the download has all of them.` : "";
}

/** Hand the table back with `label` and `confidence` added, or lists of them; a column that had such a name becomes `input_…`. */
function download() {
  const added = facts.many ? ["labels", "confidences"] : ["label", "confidence"];
  const cell = (values) => (facts.many ? JSON.stringify(values) : values[0]);
  const names = file.table.names.map((name) => (added.includes(name) ? `input_${name}` : name));
  const rounded = (values) => values.map((value) => Number(value.toPrecision(7)));
  const rows = file.table.rows.map((row, at) => [...row, cell(file.labels[at]), cell(rounded(file.confidences[at]))]);
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([formatCsv([[...names, ...added], ...rows])], { type: "text/csv" }));
  link.download = file.name.replace(/\.\w+$/, "") + "_labelled.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// The model card

function showCard() {
  const { metrics, labels, versions, many, thresholds } = facts;
  const given = (value) => (value == null ? null : share.format(value));
  const [split, measured] = metrics.test ? ["test", metrics.test] : ["validation", metrics.validation];
  const card = {
    Labels: whole.format(labels.length) + (many ? ", any number a text" : ""),
    [`${many ? "Every label right" : "Accuracy"} on ${split}`]:
      measured && `${given(measured.accuracy)} of ${whole.format(measured.rows)} texts`,
    [`Macro-F1 on ${split}`]: given(measured?.macro_f1),
    "Calibration error": given(measured?.expected_calibration_error),
    Network: facts.network,
    Vocabulary: `${whole.format(facts.vocabulary_size)} tokens`,
    "Trained on": facts.train_rows && `${whole.format(facts.train_rows)} texts`,
    Trained: facts.created?.slice(0, 10),
    Temperature: facts.temperature.toFixed(3),
    Thresholds: many && [Math.min, Math.max].map((end) => percent(end(...thresholds))).join(" to "),
    Size: `${(facts.bytes / 1e6).toFixed(1)} MB`,
    "Made with": Object.entries(versions).map((entry) => entry.join(" ")).join(", "),
  };
  const filled = Object.entries(card).filter(([, value]) => value);
  $("card").replaceChildren(...filled.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
  const hidden = labels.length > FEW_LABELS;
  $("labels").textContent = hidden ? `${labels.length} labels` : labels.join(", ");
  $("more").hidden = !hidden;
  $("more").textContent = `Show all ${labels.length} labels`;
  if (many) {
    for (const id of ["answer-title", "label-name"]) $(id).textContent = "Labels";
    $("given").textContent = "It gives a text each label whose probability reaches the mark on its bar, or none at all";
  }
}

// What the worker says

const answers = {
  ready(data) {
    facts = data.facts;
    $("status").textContent = "It runs in this browser. What you type or open here is sent nowhere.";
    $("file").disabled = false;
    showCard();
    showBars();
    ask(); // what was typed meanwhile
  },
  answer: (data) => data.id === asked.id && showAnswer(data),
  words: (data) => data.id === asked.id && showWords(data),
  rows: (data) => data.id === file?.id && takeRows(data),
  done: (data) => data.id === file?.id && showFile(),
  failed(data) {
    $(data.what === "rows" ? "file-error" : "status").textContent = `The model failed: ${data.message}`;
  },
  broken(data) {
    $("status").className = "error";
    $("status").textContent = `The model cannot be loaded: ${data.message}`;
  },
};
worker.onmessage = ({ data }) => answers[data.kind](data);
worker.onerror = () => answers.broken({ message: "this browser does not run it, or a file of the page is missing" });

// What the user does

$("text").addEventListener("input", debounced(() => facts && ask(), PAUSE));
$("more").addEventListener("click", () => {
  allLabels = !allLabels;
  $("more").textContent = allLabels ? `Show the ${TOP_LABELS} most probable` : `Show all ${facts.labels.length} labels`;
  showBars();
});
$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) openFile(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
$("column").addEventListener("change", ({ target }) => {
  file.column = Number(target.value);
  classifyFile();
});
$("download").addEventListener("click", download);

const drag = (on) => (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.toggle("dragging", on);
};
addEventListener("dragover", drag(true));
addEventListener("dragleave", (event) => event.relatedTarget || drag(false)(event));
addEventListener("drop", (event) => {
  drag(false)(event);
  if (facts && event.dataTransfer?.files.length) openFile(event.dataTransfer.files[0]);
});
