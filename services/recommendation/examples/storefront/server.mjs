// A shop's server that shows recommendations. It keeps the keys, so that no page has one.
//
//   node services/recommendation/examples/storefront/server.mjs
//
// and then http://127.0.0.1:7090, beside `make demo`. It needs Node.js 20 alone. The
// environment says where Tidemill is: RECOMMENDATION_URL, INGESTION_URL, and RECOMMENDATION_KEY
// (one that may read) and INGESTION_KEY (one that may write) where it asks for keys. PORT is
// where this server listens.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const {
  RECOMMENDATION_URL: recommendation = "http://127.0.0.1:7074",
  INGESTION_URL: ingestion = "http://127.0.0.1:7070",
  RECOMMENDATION_KEY: readKey,
  INGESTION_KEY: writeKey,
  PORT: port = "7090",
} = process.env;

/** What a page may ask. Not `customer`: whose lists a browser sees, its login says. */
const ASKED = ["session", "items", "n", "category"];
/** What a page may tell: with the key of the shop, it could order too. */
const TOLD = ["product.viewed", "recommendation.shown", "recommendation.clicked"];
const MAX_BODY = 64 * 1024;
const PATIENCE_MS = 2_000;
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FILES = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/shop.js": ["shop.js", "text/javascript; charset=utf-8"],
  "/shop.css": ["shop.css", "text/css; charset=utf-8"],
  "/recommend.js": ["../../assets/recommend.js", "text/javascript; charset=utf-8"],
};

const bearer = (key) => (key ? { authorization: `Bearer ${key}` } : {});

async function answer(request, response) {
  const url = new URL(request.url, "http://shop");
  if (request.method === "GET" && /^\/recommendations(\/popular|\/trending)?$/.test(url.pathname)) return recommended(url, response);
  if (request.method === "POST" && url.pathname === "/events") return told(request, response);
  if (request.method === "GET" && url.pathname === "/favicon.ico") return send(response, 204, "image/x-icon", "");
  const file = FILES[url.pathname] ?? (isProduct(url.pathname) ? ["product.html", "text/html; charset=utf-8"] : null);
  if (request.method !== "GET" || file === null) return send(response, 404, "text/plain", "not found\n");
  const [name, type] = file;
  send(response, 200, type, await readFile(fileURLToPath(new URL(name, import.meta.url))));
}

/**
 * Every product has the same page, which a script fills. A shop that knows its products answers
 * 404 to what it does not sell, and tells no view of it: else whoever opens an address has it learnt.
 */
function isProduct(path) {
  if (!path.startsWith("/products/")) return false;
  try {
    return decodeURIComponent(path.slice("/products/".length)) !== "";
  } catch {
    return false;
  }
}

/** Asks in the page's place. */
async function recommended(url, response) {
  const address = new URL(`/v1${url.pathname}`, recommendation);
  const names = url.pathname === "/recommendations" ? ASKED : ["n", "category"];
  for (const name of names) {
    if (url.searchParams.get(name)) address.searchParams.set(name, url.searchParams.get(name));
  }
  const answered = await fetch(address, { headers: bearer(readKey), signal: AbortSignal.timeout(PATIENCE_MS) });
  send(response, answered.status, "application/json", await answered.text());
}

/** Tells in the page's place. */
async function told(request, response) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_BODY) return send(response, 413, "text/plain", "too large\n");
    chunks.push(chunk);
  }
  let event;
  try {
    event = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return send(response, 400, "text/plain", "not JSON\n");
  }
  if (!TOLD.includes(event?.type)) return send(response, 403, "text/plain", "pages do not tell this\n");
  const headers = { "content-type": "application/cloudevents+json", ...bearer(writeKey) };
  const answered = await fetch(new URL("/v1/events", ingestion), {
    method: "POST",
    // Of whom it is, a shop with a login says here, as `subject`, and without a key of the partition:
    // a page could say anything. Visits of nobody who is known are spread by their ids: without that,
    // all would be in the partition of their source, and only as many be learnt from as one keeps.
    body: JSON.stringify({ ...event, subject: undefined, source: "storefront", partitionkey: event.data?.session_id }),
    headers,
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  send(response, answered.status, "application/json", await answered.text());
}

function send(response, status, type, body) {
  response.writeHead(status, { "content-type": type, "content-security-policy": POLICY, "x-content-type-options": "nosniff", "cache-control": "no-store" });
  response.end(body);
}

const server = createServer((request, response) =>
  answer(request, response).catch((error) => {
    console.error(`${request.method} ${request.url}: ${error.message}`);
    if (!response.headersSent) send(response, 502, "text/plain", "Tidemill does not answer\n");
    else response.destroy();
  }),
);
server.listen(Number(port), "127.0.0.1", () => console.log(`The shop is open at http://127.0.0.1:${server.address().port}`));
