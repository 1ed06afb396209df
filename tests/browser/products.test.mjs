// The page of products in a real browser, before a server that does what a real one may do.
//
//   TIDEMILL_NODE_MODULES=DIR CHROMIUM=FILE node --test tests/browser/products.test.mjs

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { Stub } from "./stub.mjs";

const playwright = createRequire(resolve(process.env.TIDEMILL_NODE_MODULES ?? "node_modules", "index.js"))("playwright-core");

let browser, stub, page, errors;

before(async () => {
  browser = await playwright.chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
});
after(() => browser.close());

beforeEach(async () => {
  stub = await new Stub().start();
  page = await browser.newPage({ viewport: { width: 1280, height: 900 }, locale: "en-GB" });
  page.setDefaultTimeout(60_000);
  errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.text().includes("Content Security Policy") && errors.push(message.text()));
});
afterEach(async () => {
  await page.close();
  await stub.stop();
  assert.deepEqual(errors, []);
});

const item = (name, text = "in 3 visits or orders with it", more = {}) => ({ item: name, category: "Music", score: 1, reason: { strategy: "similar", count: 3, text, ...more } });
const open = (query = "") => page.goto(`${stub.url}products${query}`, { waitUntil: "domcontentloaded" });
const items = (list) => page.$$eval(`#${list} [data-testid="recommended"]`, (rows) => rows.map((row) => row.dataset.item));
const shows = (list, name) => page.waitForSelector(`#${list} [data-item="${name}"]`);

test("what is popular is shown at once, and what goes with a product once it is chosen", async () => {
  stub.recommended = {
    popular: [item("strings", "popular: in 31 visits or orders"), item("violin")],
    trending: [item("violin", "popular lately; in 4 visits or orders in all")],
    "similar/strings": [item("guitar", "in 9 visits or orders with it")],
    "bought-together/strings": [item("bag", "in 4 baskets with it", { lift: 3.14159, confidence: 0.5 })],
  };
  await open();
  await shows("popular", "strings");
  await shows("trending", "violin");
  assert.deepEqual(await items("popular"), ["strings", "violin"]);
  assert.equal(await page.innerText('#popular [data-item="strings"] .reason'), "popular: in 31 visits or orders");
  assert.equal(await page.innerText("#similar .empty"), "Choose a product.");
  await page.click('#popular [data-item="strings"] button');
  await shows("similar", "guitar");
  await shows("together", "bag");
  assert.equal(await page.innerText('#together [data-item="bag"] .reason'), "in 4 baskets with it, 3.1 × as often as by chance");
  assert.equal(new URL(page.url()).search, "?item=strings");
  assert.equal(await page.getAttribute('#popular [data-item="strings"] button', "aria-pressed"), "true");
  await page.goBack();
  await page.waitForFunction(() => document.querySelector("#similar .empty").textContent === "Choose a product.");
});

test("what is popular is not said to be similar", async () => {
  const popular = (name) => item(name, "popular: in 31 visits or orders", { strategy: "popular" });
  stub.recommended = { "similar/nope": [popular("novel"), popular("map")], "similar/strings": [item("guitar"), popular("novel")] };
  await open("?item=nope");
  await shows("similar", "novel");
  assert.match(await page.innerText("#similar .empty"), /^Nothing was seen in the same visits yet/);
  assert.equal(await page.innerText("#similar-title"), "Similar to nope");
  await page.fill("#item", "strings");
  await page.press("#item", "Enter");
  await shows("similar", "guitar");
  assert.equal(await page.isVisible("#similar .empty"), false);
  assert.equal(await page.innerText("#together-title"), "Bought together with strings");
});

test("a product is typed, whatever its id is, and an address leads to it", async () => {
  const odd = "Zoë/50% <b>&?";
  stub.recommended = { [`similar/${odd}`]: [item("<img src=x onerror=alert(1)>", "<b>bold</b>")] };
  await open();
  await page.fill("#item", odd);
  await page.press("#item", "Enter");
  await page.waitForSelector('#similar [data-testid="recommended"]');
  assert.deepEqual(await items("similar"), ["<img src=x onerror=alert(1)>"]);
  assert.equal(await page.innerText("#similar .reason"), "<b>bold</b>", "texts are texts");
  assert.equal(await page.locator("#similar img").count(), 0);
  await page.waitForFunction(() => document.querySelector("#together .empty").textContent.startsWith("Nothing was ordered together"));
  await open(`?item=${encodeURIComponent(odd)}`);
  await page.waitForSelector('#similar [data-testid="recommended"]');
  assert.equal(await page.inputValue("#item"), odd);
});

test("an answer that comes after another choice is not shown", async () => {
  stub.recommended = { "similar/slow": [item("old")], "similar/fast": [item("new")] };
  const release = stub.hold("/v1/recommendations/similar/slow");
  await open("?item=slow");
  await page.waitForFunction(() => document.querySelector("#similar .empty").textContent === "Loading …");
  assert.equal(await page.getAttribute("#similar", "aria-busy"), "true");
  await page.fill("#item", "fast");
  await page.press("#item", "Enter");
  await shows("similar", "new");
  const late = page.waitForResponse((response) => response.url().includes("/similar/slow"));
  release();
  await (await late).finished();
  await page.evaluate(() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))));
  assert.deepEqual(await items("similar"), ["new"]);
});

test("it says what is wrong, and asks for a key where one is needed", async () => {
  stub.recommended = { popular: 503, trending: [item("violin")] };
  await open();
  await page.waitForSelector("#notice:not([hidden])");
  assert.match(await page.innerText("#notice"), /could not be loaded: Refused/);
  await shows("trending", "violin");
  assert.equal(await page.innerText("#popular .empty"), "It could not be loaded.");
  stub.recommended = { popular: 404, trending: 404 };
  await open();
  await page.waitForFunction(() => document.querySelector("#notice").textContent.startsWith("Nobody answers"));
  stub.recommended = { popular: 401, trending: 401 };
  await open();
  await page.waitForSelector("#login:not([hidden])");
  assert.equal(await page.isVisible("#notice"), false);
});

test("everything has a name, and nothing is wider than a narrow screen", async () => {
  const long = "product-".repeat(30);
  stub.recommended = { popular: [item(long, "a reason ".repeat(20))], [`similar/${long}`]: [item("guitar")] };
  await page.setViewportSize({ width: 360, height: 740 });
  await open(`?item=${long}`);
  await shows("similar", "guitar");
  await shows("popular", long);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no sideways scrolling");
  const nameless = await page.$$eval("button, a, input", (controls) =>
    controls.filter((control) => !(control.textContent.trim() || control.getAttribute("aria-label") || control.labels?.length)).length,
  );
  assert.equal(nameless, 0);
  const headings = await page.$$eval("main section", (sections) => sections.every((section) => document.getElementById(section.getAttribute("aria-labelledby"))));
  assert.ok(headings);
});
