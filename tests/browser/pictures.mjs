// Pictures of a running suite for the documentation.
//
//   node tests/browser/pictures.mjs --dashboard URL --trace URL --out FOLDER
//
// TIDEMILL_NODE_MODULES holds playwright-core; CHROMIUM names the browser.

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

/** Of the demo's shop. */
const PRODUCT = "music-guitar-strings";
const { values: options } = parseArgs({
  options: { dashboard: { type: "string" }, trace: { type: "string" }, out: { type: "string" } },
});
const playwright = createRequire(resolve(process.env.TIDEMILL_NODE_MODULES ?? "node_modules", "index.js"))("playwright-core");
const browser = await playwright.chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, locale: "en-GB" });
  page.setDefaultTimeout(30_000);
  await page.goto(`${options.dashboard}/?span=1h`);
  await page.locator('[data-testid="connection"][data-state="live"]').waitFor();
  await page.locator('[data-testid="alert-row"]').first().waitFor();
  await page.locator('[data-testid="region-row"]').first().waitFor();
  await page.locator('[data-testid="category-row"]').first().waitFor();
  await page.screenshot({ path: join(options.out, "dashboard.png") });

  // What goes with guitar strings, and what is popular.
  await page.goto(`${options.dashboard}/products?item=${PRODUCT}`);
  for (const list of ["similar", "together"]) await page.locator(`#${list} [data-testid="recommended"]`).first().waitFor();
  for (const list of ["popular", "trending"]) await page.locator(`#${list} [data-testid="recommended"]`).nth(9).waitFor();
  await page.screenshot({ path: join(options.out, "products.png") });

  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(options.trace);
  await page.locator(".TraceTimelineViewer").first().waitFor();
  await page.locator(".span-name").nth(4).waitFor();
  await page.screenshot({ path: join(options.out, "trace.png") });
} finally {
  await browser.close();
}
