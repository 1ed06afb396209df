// The dashboard in a real browser: does the page show the exact figures, does
// it follow the stream, is it clean and does it fit a phone?
//
//   TIDEMILL_NODE_MODULES=DIR node tests/browser/dashboard.mjs --url URL
//     --expect-net 123.45 --expect-orders N --expect-alerts N
//     [--every-span] [--login-key KEY] [--live-post URL BODYFILE] [--screenshot FILE]
//     [--trace-url URL --trace-screenshot FILE]
//
// With --every-span, all of it is to be there in each span of the page, and in each
// grouping that the API answers. TIDEMILL_NODE_MODULES holds playwright-core; CHROMIUM names the browser
// (default /usr/bin/chromium). Prints one line of JSON; exits 0 when all holds.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { parseUnits, toDecimalString } from "../../services/reporting/assets/money.js";

const DEADLINE_MS = 30_000;
const LAUNCH_FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const DESKTOP = { width: 1440, height: 1000 };
const PHONE = { width: 390, height: 844 };
/** As many alerts as the page keeps. */
const MAX_ALERTS = 100;
const CONTENT_TYPES = { batch: "application/cloudevents-batch+json", single: "application/cloudevents+json", plain: "application/json" };

const options = readArguments();
const failures = [];
const report = { ok: false, url: options.url };
const playwright = createRequire(resolve(process.env.TIDEMILL_NODE_MODULES ?? "node_modules", "index.js"))("playwright-core");
const browser = await playwright.chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: LAUNCH_FLAGS,
});
try {
  await run();
} catch (error) {
  failures.push(error.message.split("\n")[0]);
} finally {
  await browser.close();
}
report.ok = failures.length === 0;
if (!report.ok) report.failures = failures;
console.log(JSON.stringify(report));
process.exitCode = report.ok ? 0 : 1;

async function run() {
  const page = await browser.newPage({ viewport: DESKTOP, colorScheme: options.scheme, locale: "en-GB" });
  page.setDefaultTimeout(DEADLINE_MS);
  const seen = watch(page);

  const address = new URL(options.url);
  address.searchParams.set("span", "all");
  const began = performance.now();
  await page.goto(address.href, { waitUntil: "domcontentloaded" });
  if (options.loginKey) await logIn(page, seen);

  await figure(page, "kpi-net", options.net);
  await figure(page, "kpi-orders", options.orders);
  report.figures_ms = Math.round(performance.now() - began);
  await step("the connection is live", () => page.waitForSelector('[data-testid="connection"][data-state="live"]'));
  await step("the books are shown", () => page.waitForSelector('[data-testid="books-balanced"][data-balanced]'));
  await step("five stages are shown", () => atLeast(page, '[data-testid="stage"]', 5));
  await checkAlerts(page);
  if (parseUnits(options.orders) > 0n) await checkSales(page);
  await checkParts(page);
  if (options.everySpan) await checkSpans(page);
  report.kpis = await page.$$eval('[data-testid^="kpi-"][data-value]', (tiles) =>
    Object.fromEntries(tiles.map((tile) => [tile.dataset.testid.slice("kpi-".length), tile.dataset.value])),
  );
  report.balanced = (await page.getAttribute('[data-testid="books-balanced"]', "data-balanced")) === "true";

  if (options.livePost) await checkLive(page, ...options.livePost);
  if (options.screenshot) {
    await page.evaluate(() => document.fonts.ready.then(() => scrollTo(0, 0)));
    await page.screenshot({ path: options.screenshot, fullPage: true, animations: "disabled" });
  }
  await checkPhone(page);

  report.requests = seen.requests;
  for (const request of seen.external) failures.push(`request to another origin: ${request}`);
  for (const message of seen.errors) failures.push(`console: ${message}`);
  await page.close();

  if (options.traceUrl) await showTrace(options.traceUrl, options.traceScreenshot);
}

/** The page asks for a key; with a wrong one it says so, and with the right one it goes on. */
async function logIn(page, seen) {
  await step("the page asks for a key", () => page.waitForSelector('[data-testid="login"]:not([hidden])'));
  await page.fill("#login-key", "not-a-key-of-this-suite");
  await page.press("#login-key", "Enter");
  await step("a wrong key is refused", () => page.waitForSelector('[data-testid="login-error"]:not([hidden])'));
  // The browser itself tells of each request that was refused.
  seen.errors = seen.errors.filter((message) => !message.includes("status of 401"));
  await page.fill("#login-key", options.loginKey);
  await page.press("#login-key", "Enter");
  await step("the right key is taken", () => page.waitForSelector('[data-testid="login"]', { state: "hidden" }));
  const cookies = await page.context().cookies();
  const session = cookies.find((cookie) => cookie.name === "tidemill_session");
  if (!session?.httpOnly || session.sameSite !== "Strict") failures.push("the session's cookie is not kept from scripts and other sites");
  if ((await page.evaluate(() => document.cookie)) !== "") failures.push("a script sees the cookie");
  report.logged_in = true;
}

/** Notes console errors, exceptions and requests that leave the page's origin. */
function watch(page) {
  const { origin } = new URL(options.url);
  const seen = { errors: [], external: [], requests: 0 };
  page.on("console", (message) => {
    if (message.type() === "error") seen.errors.push(message.text());
  });
  page.on("pageerror", (error) => seen.errors.push(error.message));
  page.on("request", (request) => {
    seen.requests += 1;
    const url = new URL(request.url());
    if (url.origin !== origin && !["data:", "blob:"].includes(url.protocol)) seen.external.push(url.href);
  });
  return seen;
}

/** Waits until a tile holds exactly the amount. */
async function figure(page, testId, expected) {
  const tile = `[data-testid="${testId}"]`;
  await step(`${testId} is ${expected}`, () => page.waitForSelector(`${tile}[data-value="${expected}"]`)).catch(async (error) => {
    throw new Error(`${error.message} (it is ${await page.getAttribute(tile, "data-value")})`);
  });
}

async function checkAlerts(page) {
  const expected = Math.min(options.alerts, MAX_ALERTS);
  await step(`${expected} alerts are shown`, () =>
    page.waitForFunction((count) => document.querySelectorAll('[data-testid="alert-row"]').length === count, expected),
  );
  report.alerts = expected;
  report.trace_links = await page.$$eval('[data-testid="alert-trace"]', (links) => links.map((link) => link.href));
  for (const link of report.trace_links) {
    if (!/^https?:\/\/.+\/trace\/[0-9a-f]{32}$/.test(link)) failures.push(`not a link to a trace: ${link}`);
  }
  report.trace_links = report.trace_links.length;
}

async function checkSales(page) {
  await step("regions are shown", () => atLeast(page, '[data-testid="region-row"][data-value]', 1));
  await step("the chart is drawn", () =>
    page.waitForFunction(() => {
      const canvas = document.querySelector('[data-testid="chart-category"] canvas');
      if (!canvas || canvas.width === 0 || canvas.height === 0) return false;
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const colours = new Set();
      for (let at = 0; at < pixels.length && colours.size < 4; at += 4) {
        if (pixels[at + 3] > 0) colours.add((pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]);
      }
      return colours.size >= 4;
    }),
  );
  const regions = await page.$$eval('[data-testid="region-row"]', (rows) => rows.map((row) => [row.dataset.region, row.dataset.value]));
  const sum = regions.reduce((total, [, value]) => total + parseUnits(value), 0n);
  if (sum !== parseUnits(options.net)) failures.push(`the regions add up to ${toDecimalString(sum)}, not to ${options.net}`);
  const values = regions.map(([, value]) => parseUnits(value));
  if (values.some((value, at) => at > 0 && regions.length <= 12 && value > values[at - 1])) failures.push("the regions are not sorted");
  report.regions = regions.length;
}

/** An answer of the API, asked for as the page asks. */
function ask(page, path) {
  return page.evaluate((address) => fetch(address).then((answer) => answer.json()), path);
}

/** Net is what the page says that it is made of, and what the API says. */
async function checkParts(page) {
  const { rows } = await ask(page, "/v1/metrics/order_metrics/totals");
  if (rows.length > 1) return;
  const told = (name) => page.getAttribute(`[data-testid="part-${name}"]`, "data-value");
  const part = async (name) => {
    const [shown, known] = [parseUnits(await told(name)), parseUnits(rows[0]?.values[name] ?? 0)];
    if (shown !== known) failures.push(`the page says ${toDecimalString(shown)} of ${name}, and the API ${toDecimalString(known)}`);
    return known;
  };
  const [gross, discounts, refunds, cancelled, net] = await Promise.all(["gross", "discounts", "refunds", "cancelled", "net"].map(part));
  if (net !== gross - discounts - refunds - cancelled) failures.push("net is not gross less discounts, refunds and cancelled");
  if (net !== parseUnits(options.net)) failures.push(`net is ${toDecimalString(net)} to the API`);
}

/** Every order counts once, in whatever way it is looked at. */
async function checkSpans(page) {
  for (const span of ["15m", "1h", "24h", "all"]) {
    await page.check(`input[name="span"][value="${span}"]`, { force: true });
    await step(`the span ${span} is shown`, () => page.waitForSelector(`#sales-kpis[data-span="${span}"]`));
    for (const measure of ["net", "revenue", "orders", "quantity"]) {
      await page.check(`input[name="measure"][value="${measure}"]`, { force: true });
      await step(`the chart shows ${measure}`, () => page.waitForSelector(`#chart-category[data-measure="${measure}"]`));
      await figure(page, "kpi-orders", options.orders);
      await figure(page, "kpi-net", options.net);
    }
  }
  await page.check('input[name="measure"][value="net"]', { force: true });
  const groupings = ["", "group_by=region", "group_by=currency", "group_by=region,currency", "convert=true", "group_by=region&convert=true"];
  for (const metric of ["sales_metrics", "order_metrics"]) {
    for (const grouping of groupings) {
      const sums = [`totals?${grouping}`, `series?resolution=day&${grouping}`].map(async (question) => {
        const { rows, series, approximate } = await ask(page, `/v1/metrics/${metric}/${question}`);
        const all = rows ?? series.flatMap(({ points }) => points);
        const orders = all.reduce((sum, { values }) => sum + values.orders, 0);
        if (orders !== Number(options.orders)) failures.push(`${metric}/${question} has ${orders} orders`);
        if (approximate.includes("orders")) failures.push(`${metric}/${question} is approximate`);
      });
      await Promise.all(sums);
    }
  }
  report.groupings = 2 * groupings.length;
}

/** Posts an event and waits for the page to show it, without a reload. */
async function checkLive(page, url, bodyFile) {
  await page.evaluate(() => {
    window.notReloaded = true;
  });
  const shown = () =>
    page.evaluate(() => ["net", "orders", "received"].map((name) => document.querySelector(`[data-testid="kpi-${name}"]`).dataset.value));
  const before = await shown();
  const body = await readFile(bodyFile);
  const began = performance.now();
  const response = await fetch(url, { method: "POST", headers: { "content-type": contentType(bodyFile, body) }, body });
  if (!response.ok) throw new Error(`the live event was answered ${response.status}: ${await response.text()}`);
  await step("the posted event changes a figure", () =>
    page.waitForFunction(
      ([net, orders]) => {
        const value = (name) => document.querySelector(`[data-testid="kpi-${name}"]`).dataset.value;
        return window.notReloaded && (value("net") !== net || value("orders") !== orders);
      },
      before,
      { polling: "raf" },
    ),
  );
  const after = await shown();
  report.live = {
    milliseconds: Math.round(performance.now() - began),
    net: [before[0], after[0]],
    orders: [before[1], after[1]],
  };
}

function contentType(name, body) {
  if (name.endsWith(".ndjson")) return "application/x-ndjson";
  const value = JSON.parse(body);
  const first = Array.isArray(value) ? value[0] : value;
  if (!first?.specversion) return CONTENT_TYPES.plain;
  return Array.isArray(value) ? CONTENT_TYPES.batch : CONTENT_TYPES.single;
}

async function checkPhone(page) {
  await page.setViewportSize(PHONE);
  await step("the page fits 390 pixels", () =>
    page.waitForFunction(() => innerWidth === 390 && document.documentElement.scrollWidth <= innerWidth),
  );
  if (options.screenshot) {
    await page.screenshot({ path: options.screenshot.replace(/(\.png)?$/, "-phone.png"), fullPage: true, animations: "disabled" });
  }
}

/** Opens a trace in the Jaeger UI, waits for its spans and takes a picture. */
async function showTrace(url, file) {
  const page = await browser.newPage({ viewport: DESKTOP });
  page.setDefaultTimeout(DEADLINE_MS);
  await page.goto(url, { waitUntil: "domcontentloaded" });
  await step("the trace shows its spans", () => atLeast(page, ".span-row", 2));
  report.trace_spans = await page.locator(".span-row").count();
  report.trace_services = await page.$$eval(".span-svc-name", (names) => [...new Set(names.map((name) => name.textContent.trim()))]);
  if (file) await page.screenshot({ path: file, animations: "disabled" });
  await page.close();
}

function atLeast(page, selector, count) {
  return page.waitForFunction(([query, least]) => document.querySelectorAll(query).length >= least, [selector, count]);
}

/** Names what was waited for when the wait fails. */
async function step(what, wait) {
  try {
    return await wait();
  } catch (error) {
    throw new Error(`waited in vain until ${what}: ${error.message.split("\n")[0]}`);
  }
}

function readArguments() {
  const args = process.argv.slice(2);
  let livePost = null;
  const at = args.indexOf("--live-post");
  if (at >= 0) livePost = args.splice(at, 3).slice(1);
  const { values } = parseArgs({
    args,
    options: {
      url: { type: "string" },
      "expect-net": { type: "string" },
      "expect-orders": { type: "string" },
      "expect-alerts": { type: "string" },
      "every-span": { type: "boolean", default: false },
      "login-key": { type: "string" },
      scheme: { type: "string", default: "light" },
      screenshot: { type: "string" },
      "trace-url": { type: "string" },
      "trace-screenshot": { type: "string" },
    },
  });
  for (const name of ["url", "expect-net", "expect-orders", "expect-alerts"]) {
    if (values[name] === undefined) throw new Error(`--${name} is needed`);
  }
  if (livePost && livePost.length !== 2) throw new Error("--live-post takes URL and BODYFILE");
  // Written as the page writes them, however many zeros were given here.
  return {
    url: values.url,
    net: toDecimalString(parseUnits(values["expect-net"]), 2),
    orders: toDecimalString(parseUnits(values["expect-orders"])),
    alerts: Number(values["expect-alerts"]),
    scheme: values.scheme,
    everySpan: values["every-span"],
    loginKey: values["login-key"],
    screenshot: values.screenshot,
    traceUrl: values["trace-url"],
    traceScreenshot: values["trace-screenshot"],
    livePost,
  };
}
