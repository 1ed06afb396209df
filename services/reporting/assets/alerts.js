// The list of recent alerts, newest first.

import { byId, el, icon, setAttributes, setText, syncChildren } from "./dom.js";
import { formatFull, formatRecent, withShopTimes } from "./format.js";

/** As many as are asked for and kept. */
export const MAX_ALERTS = 100;

const LEVELS = { critical: "critical", high: "critical", error: "critical", warning: "warning", medium: "warning" };

export class Alerts {
  #alerts = new Map();

  /** Takes the API's list in place of what was known. */
  replace(alerts) {
    this.#alerts = new Map(alerts.map((alert) => [alert.id, alert]));
  }

  /** Takes one transition. Returns true when the alert was not known. */
  put(alert) {
    const isNew = !this.#alerts.has(alert.id);
    this.#alerts.set(alert.id, alert);
    if (this.#alerts.size > MAX_ALERTS) {
      for (const { id } of this.#newestFirst().slice(MAX_ALERTS)) this.#alerts.delete(id);
    }
    return isNew;
  }

  #newestFirst() {
    return [...this.#alerts.values()].sort((a, b) => Date.parse(b.fired_at) - Date.parse(a.fired_at));
  }

  /** @param jaeger where traces are shown, or null */
  show(jaeger) {
    const alerts = this.#newestFirst();
    const count = byId("alert-count");
    count.hidden = alerts.length === 0;
    setText(count, alerts.length === MAX_ALERTS ? `${MAX_ALERTS}+` : String(alerts.length));
    byId("alerts").hidden = alerts.length === 0;
    byId("alerts-empty").hidden = alerts.length > 0;
    syncChildren(byId("alerts"), alerts, ({ id }) => id, createRow, (row, alert) => updateRow(row, alert, jaeger));
  }
}

/** How a severity is drawn; the word itself is always told. */
const level = (severity) => LEVELS[severity.toLowerCase()] ?? "info";

function createRow(alert) {
  return el(
    "li",
    { class: "alert", "data-testid": "alert-row" },
    el("span", { class: "alert-icon" }, icon(level(alert.severity))),
    el(
      "div",
      { class: "alert-body" },
      el("div", { class: "alert-title" }, el("strong"), el("span", { class: "severity" })),
      el("p", { class: "alert-summary" }),
      el("div", { class: "alert-facts" }, el("time"), el("span", { class: "alert-state" }), el("span", { class: "alert-trace" })),
    ),
  );
}

function updateRow(row, alert, jaeger) {
  const [title, summary, facts] = row.lastElementChild.children;
  const [time, state, trace] = facts.children;
  setAttributes(row, { "data-level": level(alert.severity), "data-rule": alert.rule, "data-alert-id": alert.id, "data-state": alert.state });
  setText(title.firstElementChild, withShopTimes(alert.title));
  setText(title.lastElementChild, alert.severity);
  setText(summary, withShopTimes(alert.summary));
  const at = Date.parse(alert.event_time);
  setAttributes(time, { datetime: alert.event_time, title: `Event time ${formatFull(at)}, fired at ${formatFull(Date.parse(alert.fired_at))}` });
  setText(time, formatRecent(at));
  setText(state, alert.state === "notified" ? "Notified" : "Firing");
  showTrace(trace, alert.trace_id, jaeger);
}

function showTrace(slot, traceId, jaeger) {
  const href = traceId ? traceUrl(jaeger, traceId) : null;
  if (slot.dataset.trace === (href ?? traceId ?? "")) return;
  slot.dataset.trace = href ?? traceId ?? "";
  if (href) {
    slot.replaceChildren(
      el(
        "a",
        { href, target: "_blank", rel: "noopener noreferrer", "data-testid": "alert-trace", title: `Trace ${traceId}` },
        icon("trace"),
        "Trace",
        el("span", { class: "visually-hidden" }, " (opens in a new tab)"),
      ),
    );
  } else if (traceId) slot.replaceChildren(el("code", { title: "Trace id" }, traceId));
  else slot.replaceChildren();
}

/** The page of a trace, or null when the base is no web address. */
function traceUrl(jaeger, traceId) {
  const base = webAddress(jaeger);
  return base === null ? null : `${base}/trace/${encodeURIComponent(traceId)}`;
}

/** An http or https address without its last slash, or null for anything else. */
export function webAddress(text) {
  if (!text || !URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) return null;
  return text.replace(/\/+$/, "");
}
