// Recommendations in a page of a shop, in a real browser: the example's server between the
// page and a stand-in for Tidemill.
//
//   TIDEMILL_NODE_MODULES=DIR CHROMIUM=FILE node --test tests/browser/snippet.test.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

const SHOP = fileURLToPath(new URL("../../services/recommendation/examples/storefront/server.mjs", import.meta.url));
const playwright = createRequire(resolve(process.env.TIDEMILL_NODE_MODULES ?? "node_modules", "index.js"))("playwright-core");

let browser, page, errors, tidemill, shop;

/** Answers as Tidemill does, and remembers what it was asked and told. */
class Tidemill {
  items = [];
  status = 200;
  asked = [];
  events = [];
  #waiting = [];
  #server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url, "http://tidemill");
    const { authorization } = request.headers;
    if (request.method === "POST") {
      this.events.push({ authorization, ...JSON.parse(Buffer.concat(chunks)) });
      this.#waiting.forEach((look) => look());
    } else this.asked.push({ authorization, path: url.pathname, ...Object.fromEntries(url.searchParams) });
    response.writeHead(request.method === "POST" ? 202 : this.status, { "content-type": "application/json" });
    response.end(JSON.stringify({ as_of: new Date().toISOString(), request: "r-1", experiment: "e", variant: "b", items: this.items }));
  });

  async start() {
    await new Promise((ready) => this.#server.listen(0, "127.0.0.1", ready));
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  /** Waits until there is such an event. */
  told(type) {
    return new Promise((found) => {
      const look = () => {
        const event = this.events.find((event) => event.type === type);
        if (event) found(event);
      };
      this.#waiting.push(look);
      look();
    });
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(done));
  }
}

/** Starts the example as a person does; answers where it listens. */
async function open() {
  const environment = { RECOMMENDATION_URL: tidemill.url, INGESTION_URL: tidemill.url, RECOMMENDATION_KEY: "key-that-reads", INGESTION_KEY: "key-that-writes", PORT: "0" };
  const server = spawn(process.execPath, [SHOP], { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "inherit"] });
  const said = await new Promise((line) => server.stdout.once("data", (data) => line(String(data))));
  return { server, url: said.match(/http:\S+/)[0] };
}

before(async () => {
  browser = await playwright.chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
});
after(() => browser.close());

beforeEach(async () => {
  tidemill = await new Tidemill().start();
  shop = await open();
  page = await browser.newPage({ viewport: { width: 900, height: 700 } });
  page.setDefaultTimeout(60_000);
  errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.text().includes("Content Security Policy") && errors.push(message.text()));
});
afterEach(async () => {
  await page.close();
  shop.server.kill();
  await tidemill.stop();
  assert.deepEqual(errors, []);
});

const item = (name, more = {}) => ({ item: name, category: "Music", score: 1, reason: { strategy: "visits", count: 3, text: "in 3 visits or orders like this one" }, ...more });
const at = (path) => page.goto(`${shop.url}${path}`, { waitUntil: "domcontentloaded" });
const told = (position, product_id) => ({ product_id, position, recommendation: { request: "r-1", strategy: "visits", experiment: "e", variant: "b" } });

test("a product's page shows what goes with it, and tells that it did", async () => {
  tidemill.items = [item("guitar"), item("bag")];
  await at("/products/strings");
  await page.waitForSelector('#next [data-item="bag"]');
  assert.deepEqual(await page.$$eval("#next li a", (links) => links.map((link) => link.textContent)), ["guitar", "bag"]);
  assert.equal(await page.innerText('#next [data-item="guitar"] small'), "in 3 visits or orders like this one");
  const [asked] = tidemill.asked;
  const visit = await page.evaluate(() => sessionStorage.getItem("tidemill.visit"));
  assert.deepEqual(asked, { authorization: "Bearer key-that-reads", path: "/v1/recommendations", session: visit, items: "strings", n: "6" });
  const shown = await tidemill.told("recommendation.shown");
  assert.deepEqual(shown.data, { items: [told(1, "guitar"), told(2, "bag")], placement: "product", session_id: visit });
  assert.deepEqual([shown.authorization, shown.source, shown.specversion], ["Bearer key-that-writes", "storefront", "1.0"]);
  const viewed = await tidemill.told("product.viewed");
  assert.deepEqual(viewed.data, { product_id: "strings", session_id: visit });
});

test("a click is told, although the page is left by it", async () => {
  tidemill.items = [item("guitar"), item("bag/1 ?")];
  await at("/products/strings");
  await page.click('#next [data-item="bag/1 ?"] a');
  const clicked = await tidemill.told("recommendation.clicked");
  assert.deepEqual(clicked.data.items, [told(2, "bag/1 ?")]);
  await page.waitForFunction(() => document.getElementById("product")?.textContent === "bag/1 ?");
});

test("what is not in view is not told, and what is comes once", async () => {
  tidemill.items = [item("guitar")];
  await page.addInitScript(() => addEventListener("DOMContentLoaded", () => document.querySelector("#next").before(Object.assign(document.createElement("div"), { id: "space" }))));
  await page.route("**/shop.css", (route) => route.fulfill({ body: "#space { height: 3000px; }", contentType: "text/css" }));
  await at("/products/strings");
  await page.waitForSelector('#next [data-item="guitar"]', { state: "attached" });
  await tidemill.told("product.viewed");
  assert.equal(tidemill.events.filter(({ type }) => type === "recommendation.shown").length, 0);
  await page.locator("#next").scrollIntoViewIfNeeded();
  await tidemill.told("recommendation.shown");
  await page.evaluate(() => scrollTo(0, 0));
  await page.locator("#next").scrollIntoViewIfNeeded();
  await page.click('#next [data-item="guitar"] a');
  await tidemill.told("recommendation.clicked");
  assert.equal(tidemill.events.filter(({ type }) => type === "recommendation.shown").length, 1);
});

test("nothing of an answer is markup or a script", async () => {
  const evil = "<img src=x onerror=alert(1)>";
  tidemill.items = [item(evil, { title: "<b>bold</b>", url: "javascript:alert(1)", reason: { strategy: "visits", text: evil } }), item("plain", { url: "/products/plain?a=1" })];
  await at("/products/strings");
  await page.waitForSelector('#next [data-item="plain"]');
  assert.equal(await page.locator("#next img, #next b, #next script").count(), 0);
  assert.equal(await page.locator("#next li").first().locator("span").innerText(), "<b>bold</b>");
  assert.equal(await page.locator("#next li a").count(), 1, "a script is no address");
  assert.equal(await page.locator("#next small").first().innerText(), evil);
});

test("where there is nothing, nothing is shown", async () => {
  await at("/products/strings");
  await tidemill.told("product.viewed");
  assert.equal(await page.isVisible("#next"), false);
  tidemill.status = 503;
  await at("/products/violin");
  await page.waitForFunction(() => document.querySelector("#next").hidden);
});

test("what is no product of any shop has no page", async () => {
  for (const [path, status] of [["/products/x%20y", 200], ["/products/%E0%A4%A", 404], ["/products/", 404], ["/favicon.ico", 204]]) {
    assert.equal((await fetch(`${shop.url}${path}`)).status, status, path);
  }
});

test("no page has a key, and none tells or asks what is not its own", async () => {
  for (const path of ["/", "/shop.js", "/recommend.js", "/products/x"]) {
    assert.doesNotMatch(await (await fetch(`${shop.url}${path}`)).text(), /key-that/);
  }
  const post = async (body) => (await fetch(`${shop.url}/events`, { method: "POST", body })).status;
  assert.equal(await post(JSON.stringify({ type: "order.placed", data: {} })), 403);
  assert.equal(await post("not JSON"), 400);
  assert.equal(await post("x".repeat(70_000)), 413);
  assert.deepEqual(tidemill.events, []);
  await post(JSON.stringify({ type: "product.viewed", subject: "c-1", data: { product_id: "p", session_id: "v-1" } }));
  const [{ subject, partitionkey }] = tidemill.events;
  assert.deepEqual([subject, partitionkey], [undefined, "v-1"], "visits of nobody who is known are spread over the partitions");
  const answers = await fetch(`${shop.url}/recommendations?customer=c-1&items=a`);
  assert.equal(answers.status, 200);
  assert.deepEqual(tidemill.asked, [{ authorization: "Bearer key-that-reads", path: "/v1/recommendations", items: "a" }]);
  assert.equal((await fetch(`${shop.url}/recommendations/../profiles/c-1`)).status, 404);
  await tidemill.stop();
  assert.equal((await fetch(`${shop.url}/recommendations`)).status, 502);
});
