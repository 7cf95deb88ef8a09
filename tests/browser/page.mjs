// Opens the page of a conflict graph in a headless Chromium and uses it as a person does: looks,
// searches, points, clicks, filters. Prints what it saw as JSON; `tests/page.rs` judges it.
//
//   node tests/browser/page.mjs CHROMIUM FILE.html [SCREENSHOT.png]
//
// It speaks the DevTools protocol over a pipe, so that it needs no package.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const DEADLINE_MS = 45_000;
const [chromium, file, screenshot] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "forewave-page-"));
const browser = spawn(chromium, [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
  "--disable-dev-shm-usage", "--window-size=1600,1000", "--remote-debugging-pipe",
  `--user-data-dir=${profile}`, "about:blank",
], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const end = code => {
  browser.kill("SIGKILL");
  browser.once("exit", () => {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    process.exit(code);
  });
};
setTimeout(() => { console.error("the browser did not answer in time"); end(1); }, DEADLINE_MS).unref();

const [, , , input, output] = browser.stdio;
const waiting = new Map(), problems = [], requests = [];
let last = 0, buffered = "", loaded;
const isLoaded = new Promise(done => { loaded = done; });
output.on("data", bytes => {
  buffered += bytes;
  const messages = buffered.split("\0");
  buffered = messages.pop();
  for (const message of messages.map(text => JSON.parse(text))) {
    const { id, method, params } = message;
    if (id) { waiting.get(id)(message); waiting.delete(id); }
    if (method === "Page.loadEventFired") loaded();
    if (method === "Runtime.exceptionThrown") problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) problems.push(params.args.map(it => it.value ?? it.description).join(" "));
    if (method === "Log.entryAdded" && params.entry.level === "error") problems.push(params.entry.text);
    if (method === "Network.requestWillBeSent") requests.push(params.request.url);
  }
});
let session;
const send = (method, params = {}) => new Promise((done, failed) => {
  const id = ++last;
  waiting.set(id, message => message.error ? failed(new Error(`${method}: ${message.error.message}`)) : done(message.result));
  input.write(JSON.stringify({ id, method, params, sessionId: session }) + "\0");
});
const evaluate = async expression => {
  const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
  if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception.description}`);
  return result.value;
};
const frame = () => evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))");
const mouse = (type, [x, y], more = {}) => send("Input.dispatchMouseEvent", { type, x, y, ...more });
const click = async at => {
  const button = { button: "left", clickCount: 1 };
  await mouse("mouseMoved", at);
  await mouse("mousePressed", at, button);
  await mouse("mouseReleased", at, button);
  await frame();
};
const text = id => evaluate(`document.getElementById("${id}").innerText`);
const type = async what => {
  await evaluate("document.getElementById('search').value = ''; document.getElementById('search').focus()");
  await send("Input.insertText", { text: what });
  await frame();
  return text("found");
};

const look = async () => {
  const { targetInfos } = await send("Target.getTargets");
  const { targetId } = targetInfos.find(it => it.type === "page");
  ({ sessionId: session } = await send("Target.attachToTarget", { targetId, flatten: true }));
  for (const domain of ["Page", "Runtime", "Log", "Network"]) await send(`${domain}.enable`);
  await send("Page.navigate", { url: pathToFileURL(resolve(file)).href });
  await isLoaded;
  const saw = { ready_ms: await evaluate("picture.ready") };
  saw.title = await text("title");
  saw.captions = await text("captions");
  saw.help = await text("panel");
  saw.txs = await evaluate("picture.data.txs.length");

  // The edge with most hazards whose ends are drawn, and its later transaction.
  const edge = await evaluate("picture.data.edges.map((e, i) => [e[4].length, i, e]).filter(([, , e]) => picture.data.txs[e[0]].p && picture.data.txs[e[1]].p).sort((a, b) => b[0] - a[0]).map(it => it[1])[0] ?? null");
  if (edge !== null) {
    const [from, to] = await evaluate(`picture.data.edges[${edge}].slice(0, 2)`);
    saw.edge = { from, to };
    await evaluate(`picture.show(${to})`);
    await frame();
    await click(await evaluate(`picture.at(${to})`));
    saw.edge.clicked_tx = await text("panel");
    saw.edge.chain = await evaluate("[...picture.state.chain].sort((a, b) => a - b)");
    await evaluate(`picture.show(${from})`);
    const at = await evaluate(`picture.onEdge(${edge})`);
    await frame();
    await mouse("mouseMoved", at);
    await frame();
    saw.edge.tip = await text("tip");
    await click(at);
    saw.edge.clicked = await text("panel");
  }

  const first = await evaluate("[picture.data.txs[0].h, picture.data.txs[0].f]");
  saw.search = { index: await type("tx0"), hash: await type(first[0]), sender: await type(first[1]), nothing: await type("0xffffffffffffffffffffffffffffffffffffffff") };
  await send("Input.dispatchKeyEvent", { type: "keyDown", key: "Escape" });
  await frame();
  saw.left = { found: await text("found"), panel: await text("panel") };

  const pixels = "(() => { const c = document.getElementById('graph'); return c.toDataURL().length; })()";
  await evaluate("document.getElementById('fit').click()");
  await frame();
  const light = await evaluate("getComputedStyle(document.body).backgroundColor");
  const drawn = await evaluate(pixels);
  await evaluate("document.querySelectorAll('[data-hazard]').forEach(box => box.click())");
  await frame();
  saw.without_hazards_differs = await evaluate(pixels) !== drawn;
  await evaluate("document.querySelectorAll('[data-hazard]').forEach(box => box.click())");
  await evaluate("document.getElementById('theme').click()");
  await frame();
  saw.themes_differ = await evaluate("getComputedStyle(document.body).backgroundColor") !== light;
  await evaluate("document.getElementById('theme').click()");
  const time = await text("time");
  await evaluate("(() => { const c = document.getElementById('cores'); c.value = '1'; c.dispatchEvent(new Event('change')); })()");
  await frame();
  saw.gantt = { before: time, on_one_core: await text("time") };
  await evaluate("(() => { const c = document.getElementById('cores'); c.value = '8'; c.dispatchEvent(new Event('change')); })()");
  // Ten frames of a pan: how long the page takes for one.
  saw.frame_ms = await evaluate("(async () => { const g = document.getElementById('graph'), start = performance.now(); for (let i = 0; i < 10; i++) { g.dispatchEvent(new WheelEvent('wheel', { deltaY: i % 2 ? 40 : -40, clientX: 400, clientY: 400, cancelable: true })); await new Promise(done => requestAnimationFrame(done)); } return (performance.now() - start) / 10; })()");
  await evaluate("document.getElementById('fit').click()");
  if (edge !== null) { await click(await evaluate(`picture.at(picture.data.edges[${edge}][1])`)); }
  await frame();
  if (screenshot) {
    const { data } = await send("Page.captureScreenshot", { format: "png" });
    writeFileSync(screenshot, Buffer.from(data, "base64"));
  }
  saw.problems = problems;
  saw.requests = requests.filter(url => !url.startsWith("file:") && !url.startsWith("data:"));
  return saw;
};
look().then(saw => { process.stdout.write(JSON.stringify(saw) + "\n", () => end(0)); }, error => { console.error(error); end(1); });
