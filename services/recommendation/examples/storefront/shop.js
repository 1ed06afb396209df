// A product's page: says that it is looked at, and shows what goes with it.

import { recommend } from "/recommend.js";

const product = decodeURIComponent(location.pathname.slice("/products/".length));
document.title = product;
document.getElementById("product").textContent = product;

const next = document.getElementById("next");
Object.assign(next.dataset, { tidemill: "/recommendations", items: product });
await recommend(next);
// Behind the list, whose visit it belongs to.
const viewed = {
  specversion: "1.0",
  id: crypto.randomUUID(),
  source: location.origin,
  type: "product.viewed",
  time: new Date().toISOString(),
  data: { product_id: product, session_id: sessionStorage.getItem("tidemill.visit") },
};
navigator.sendBeacon("/events", new Blob([JSON.stringify(viewed)], { type: "text/plain" }));
