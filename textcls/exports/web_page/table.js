// Reading and writing tables of text: csv as Python's csv module reads it, so that a row here is a row there.

/** Return the rows of a csv text, each a list of cells. Quoted cells may hold separators, line ends and doubled quotes. */
export function parseCsv(text, separator = ",") {
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  let started = false; // whether this row has anything: an empty line is no row

  const endRow = () => {
    if (started) rows.push([...row, cell]);
    row = [];
    cell = "";
    started = false;
  };

  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char !== '"') cell += char;
      else if (text[at + 1] === '"') cell += text[++at];
      else quoted = false;
    } else if (char === "\n" || char === "\r") {
      if (char === "\r" && text[at + 1] === "\n") at++;
      endRow();
    } else {
      started = true;
      if (char === separator) {
        row.push(cell);
        cell = "";
      } else if (char === '"' && cell === "") quoted = true;
      else cell += char;
    }
  }
  endRow();
  return rows;
}

/** Return the separator that the first line of a table most often has. */
export function guessSeparator(text) {
  const [line] = text.replace(/"[^"]*"/g, "").split(/[\r\n]/, 1);
  const count = (separator) => line.split(separator).length;
  return [",", ";", "\t"].reduce((best, one) => (count(one) > count(best) ? one : best));
}

/** Return rows as csv, with quotes where they are needed. */
export function formatCsv(rows) {
  const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return rows.map((row) => row.map((cell) => quote(String(cell))).join(",") + "\n").join("");
}

/**
 * Return the table in a file: `{names, rows}`, every row as long as `names`.
 * A `.csv` or `.tsv` file has names in its first row, a `.jsonl` file in each line; any other file is one column of lines.
 */
export function readTable(fileName, text) {
  if (/\.(jsonl|ndjson)$/i.test(fileName)) return readJsonLines(text);
  if (!/\.(csv|tsv)$/i.test(fileName)) {
    const lines = text.split(/\r\n|\r|\n/).filter((line) => line.trim());
    return { names: ["text"], rows: lines.map((line) => [line]) };
  }
  const separator = /\.tsv$/i.test(fileName) ? "\t" : guessSeparator(text);
  const [names = [], ...rows] = parseCsv(text, separator);
  const width = rows.reduce((most, row) => Math.max(most, row.length), names.length);
  const filled = (row, missing) => Array.from({ length: width }, (_, at) => row[at] ?? missing(at));
  return { names: filled(names, (at) => `column ${at + 1}`), rows: rows.map((row) => filled(row, () => "")) };
}

function readJsonLines(text) {
  const records = text.split("\n").flatMap((line, at) => (line.trim() ? [jsonObject(line, at + 1)] : []));
  const names = [...new Set(records.flatMap(Object.keys))];
  const cell = (value) => (typeof value === "string" ? value : value == null ? "" : JSON.stringify(value));
  return { names, rows: records.map((record) => names.map((name) => cell(record[name]))) };
}

function jsonObject(line, number) {
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    // said below
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error(`line ${number} is no JSON object`);
  return value;
}

/** Return the place of the column to classify: the one that the model was trained on, else the one with the longest cells. */
export function guessColumn(table, trained) {
  const named = table.names.findIndex((name) => name.trim().toLowerCase() === String(trained).toLowerCase());
  if (named >= 0) return named;
  const sample = table.rows.slice(0, 50);
  const length = (at) => sample.reduce((sum, row) => sum + row[at].length, 0);
  return table.names.reduce((best, _, at) => (length(at) > length(best) ? at : best), 0);
}
