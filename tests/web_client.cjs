// Drives the page of the `web` export in headless Chromium. The task comes as JSON at standard input, what was seen goes out as JSON.
const fs = require("fs");
const { chromium } = require("playwright-core");

const task = JSON.parse(fs.readFileSync(0, "utf-8"));
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
flags.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

/** Watch a page: what it complains of, and what it asks for elsewhere. */
function watched(page, seen) {
  page.on("console", (message) => seen.complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("requestfailed", (request) => seen.complaints.push(`failed: ${request.url()}`));
  page.on("response", (answer) => answer.status() >= 400 && seen.complaints.push(`${answer.status()}: ${answer.url()}`));
  page.context().on("request", (request) => /^(data|blob):/.test(request.url()) || seen.requests.push(request.url()));
  return page;
}

async function type(page, text) {
  await page.fill("#text", text);
  await page.waitForFunction((text) => document.querySelector("#words").textContent === text, text);
  await page.waitForFunction(() => document.querySelector("#strongest").textContent);
}

/** Drop a file as a person does, and return the text of the download. */
async function drop(page, name, content) {
  const transfer = await page.evaluateHandle(
    ([name, content]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([content], name));
      return transfer;
    },
    [name, content],
  );
  for (const kind of ["dragover", "drop"]) await page.dispatchEvent("#drop", kind, { dataTransfer: transfer });
  await page.waitForSelector("#download:enabled");
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  return { name: saved.suggestedFilename(), text: fs.readFileSync(await saved.path(), "utf-8") };
}

const texts = (page, selector) => page.$$eval(selector, (found) => found.map((one) => one.textContent));

async function main() {
  const browser = await chromium.launch({ executablePath: task.chromium, args: flags });
  const seen = { complaints: [], requests: [], violations: [] };
  const page = watched(await browser.newPage(), seen);
  await page.goto(task.url);
  await page.waitForSelector("#card dd");

  seen.focus = [];
  for (let at = 0; at < 3; at++) {
    await page.keyboard.press("Tab");
    seen.focus.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className));
  }

  await type(page, task.text);
  seen.verdict = await texts(page, "#verdict");
  seen.bars = await texts(page, "#bars li");
  seen.best = await texts(page, "#bars .best .name");
  seen.words = await page.$$eval("#words span", (spans) => spans.map((span) => [span.textContent, span.className, span.title]));
  await page.waitForFunction(() => document.querySelector("#spoken").textContent);
  seen.spoken = await page.textContent("#spoken");

  seen.download = await drop(page, task.table.name, task.table.text);
  seen.rows = await page.$$eval("#rows tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  seen.fileStatus = await page.textContent("#file-status");
  seen.lines = await drop(page, "lines.txt", task.lines);

  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(fs.readFileSync(require.resolve("axe-core"), "utf-8"));
    const { violations } = await page.evaluate(() => axe.run());
    seen.violations.push(...violations.map((one) => `${colorScheme} ${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`));
  }

  await page.setInputFiles("#file", { name: "bad.csv", mimeType: "text/csv", buffer: Buffer.from([0x74, 0xff, 0x0a]) });
  await page.waitForFunction(() => document.querySelector("#file-error").textContent);
  seen.fileError = await page.textContent("#file-error");
  seen.afterError = await page.evaluate(() => ({
    hidden: document.querySelector("#result").hidden,
    rows: document.querySelectorAll("#rows tr").length,
    disabled: document.querySelector("#download").disabled,
  }));

  await page.fill("#text", " ");
  await page.waitForSelector("#effects", { state: "hidden" });
  seen.emptied = await texts(page, "#verdict");
  await page.setViewportSize({ width: 360, height: 740 });
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await browser.close();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
