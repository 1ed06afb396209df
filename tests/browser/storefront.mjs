// The example's shop in a real browser, before a real suite: the list is there, and what is
// clicked in it is told.
//
//   TIDEMILL_NODE_MODULES=DIR RECOMMENDATION_URL=URL INGESTION_URL=URL
//     RECOMMENDATION_KEY=KEY INGESTION_KEY=KEY node tests/browser/storefront.mjs PRODUCT CLICKED
//
// CHROMIUM names the browser. It prints one line of JSON, with the visit and what was shown, and
// stays until its input ends: beacons outlive a page, and not the browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const SHOP = fileURLToPath(new URL("../../services/recommendation/examples/storefront/server.mjs", import.meta.url));
const playwright = createRequire(resolve(process.env.TIDEMILL_NODE_MODULES ?? "node_modules", "index.js"))("playwright-core");
const [product, clicked] = process.argv.slice(2);

const shop = spawn(process.execPath, [SHOP], { env: { ...process.env, PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] });
const browser = await playwright.chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
try {
  const [said] = await once(shop.stdout, "data");
  const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
  page.setDefaultTimeout(30_000);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  // What the browser asks for by itself, such as an icon, is no part of the page.
  page.on("console", (message) => message.type() === "error" && !message.text().startsWith("Failed to load resource") && errors.push(message.text()));
  page.on("response", (response) => response.status() >= 400 && errors.push(`${response.status()} ${response.url()}`));
  const address = String(said).match(/http:\S+/)[0];

  await page.goto(`${address}/`, { waitUntil: "domcontentloaded" });
  await page.waitForSelector(`[data-placement="popular"] [data-item="${product}"]`);
  const visit = await page.evaluate(() => sessionStorage.getItem("tidemill.visit"));

  await page.goto(`${address}/products/${product}`, { waitUntil: "domcontentloaded" });
  await page.waitForSelector(`#next [data-item="${clicked}"]`);
  const shown = await page.$$eval("#next [data-item]", (rows) => rows.map((row) => row.dataset.item));
  await page.click(`#next [data-item="${clicked}"] a`);
  await page.waitForFunction((title) => document.getElementById("product")?.textContent === title, clicked);
  await page.waitForSelector("#next [data-item]");
  assert.deepEqual(errors, []);
  console.log(JSON.stringify({ visit, shown }));
  process.stdin.resume();
  await once(process.stdin, "end");
} finally {
  await browser.close();
  shop.kill();
}
