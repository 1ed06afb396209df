// Recommendations in a page of a shop. No dependencies, and no key: the page asks the
// shop's own server, which asks Tidemill (examples/storefront/server.mjs does both).
//
//   <script type="module" src="/recommend.js"></script>
//   <section data-tidemill="/recommendations" data-events="/events" data-items="strings"
//            data-placement="product" data-link="/products/{item}"></section>
//
// data-tidemill   where the shop's server answers as GET /v1/recommendations does. It may
//                 add `title`, `url` and `image` to each item
// data-events     where it takes events; none are sent without
// data-items      products of the page, with commas between them
// data-n          how many products are wanted
// data-placement  where in the shop the list is
// data-link       the address of a product, where the answer has no `url`
// data-session    the visit; without, one is made up that ends with the tab
// data-reasons    `no` leaves the reasons out
//
// It tells `recommendation.shown` once half of the list is in view, and
// `recommendation.clicked`. The element hears `tidemill:loaded`, `tidemill:failed`,
// `tidemill:shown` and `tidemill:clicked`: with what is in their `detail`, a shop says in
// `cart.item_added` and `order.placed` by which recommendation they came about.

const SESSION = "tidemill.visit";

/** Fills an element; answers once that is done. It shows nothing where there is nothing. */
export async function recommend(element) {
  const { tidemill: endpoint, items, n, placement } = element.dataset;
  const session = sessionOf(element);
  const address = new URL(endpoint, location.href);
  for (const [name, value] of Object.entries({ session, items, n })) {
    if (value) address.searchParams.set(name, value);
  }
  let answer;
  try {
    const response = await fetch(address, { headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(`${address.pathname} answered ${response.status}`);
    answer = await response.json();
  } catch (error) {
    element.hidden = true;
    return tell(element, "failed", { error });
  }
  const list = document.createElement("ol");
  list.className = "tidemill-list";
  const shown = [];
  for (const item of answer.items ?? []) {
    const told = toldOf(item, shown.length + 1, answer);
    shown.push(told);
    list.append(rowOf(element, item, () => report(element, "clicked", { items: [told], placement, session_id: session })));
  }
  element.querySelector(":scope > .tidemill-list")?.remove();
  element.append(list);
  element.hidden = shown.length === 0;
  tell(element, "loaded", { items: shown });
  if (shown.length > 0) whenInView(list, () => report(element, "shown", { items: shown, placement, session_id: session }));
}

/** An item as events name it. */
function toldOf({ item, reason }, position, { request, experiment, variant }) {
  return { product_id: item, position, recommendation: { request, strategy: reason?.strategy ?? "unknown", experiment, variant } };
}

/** Texts are set as texts: nothing of an answer is read as markup. */
function rowOf(element, item, onClick) {
  const row = document.createElement("li");
  row.dataset.item = item.item;
  const address = linkOf(element, item);
  const link = document.createElement(address === null ? "span" : "a");
  if (address !== null) link.href = address;
  const image = addressOf(item.image);
  if (image !== null) {
    const picture = document.createElement("img");
    picture.src = image;
    picture.alt = "";
    picture.loading = "lazy";
    link.append(picture);
  }
  link.append(item.title ?? item.item);
  // A middle click opens a tab, and is a click too.
  link.addEventListener("click", onClick);
  link.addEventListener("auxclick", (event) => event.button === 1 && onClick());
  row.append(link);
  if (element.dataset.reasons !== "no" && item.reason?.text) {
    const reason = document.createElement("small");
    reason.textContent = item.reason.text;
    row.append(reason);
  }
  return row;
}

function linkOf(element, { url, item }) {
  const template = element.dataset.link;
  return addressOf(url ?? template?.replaceAll("{item}", () => encodeURIComponent(item)));
}

/** An address that a browser opens, and no script. */
function addressOf(text) {
  if (typeof text !== "string" || !URL.canParse(text, location.href)) return null;
  const address = new URL(text, location.href);
  return ["http:", "https:"].includes(address.protocol) ? address.href : null;
}

function whenInView(list, then) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      then();
    },
    // Of a list that is higher than the window, half may never be in view.
    { threshold: Math.min(0.5, (innerHeight / Math.max(1, list.offsetHeight)) * 0.5) },
  );
  observer.observe(list);
}

/** Sends an event that outlives the page. As plain text: a browser asks nobody first. */
function report(element, what, data) {
  tell(element, what, data);
  const address = element.dataset.events;
  if (!address) return;
  const event = {
    specversion: "1.0",
    id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`,
    source: location.origin,
    type: `recommendation.${what}`,
    time: new Date().toISOString(),
    data,
  };
  const body = new Blob([JSON.stringify(event)], { type: "text/plain" });
  if (navigator.sendBeacon?.(address, body)) return;
  fetch(address, { method: "POST", body, keepalive: true }).catch(() => {});
}

function tell(element, what, detail) {
  element.dispatchEvent(new CustomEvent(`tidemill:${what}`, { bubbles: true, detail }));
}

/** The visit, for as long as the tab lives; none where the browser forbids to keep one. */
function sessionOf({ dataset: { session } }) {
  if (session) return session;
  try {
    const known = sessionStorage.getItem(SESSION);
    if (known) return known;
    const made = crypto.randomUUID();
    sessionStorage.setItem(SESSION, made);
    return made;
  } catch {
    return undefined;
  }
}

for (const element of document.querySelectorAll("[data-tidemill]")) recommend(element);
