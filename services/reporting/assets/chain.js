// The row of stages, with readiness and lag.

import { el, icon, setAttributes, setText, syncChildren } from "./dom.js";
import { formatInteger } from "./format.js";

const ORDER = ["ingestion", "enrichment", "aggregation", "alert", "reporting"];
const DOES = {
  ingestion: "takes events over HTTP",
  enrichment: "adds user, product, place",
  aggregation: "keeps window totals",
  alert: "evaluates rules, notifies",
  reporting: "serves API and this page",
};

/**
 * @param health what `/v1/health` answers, or null before the first answer
 * @param isKnown whether that is so now, and not only when it was last heard of
 */
export function showChain(list, health, isKnown) {
  const services = new Map((health?.services ?? []).map((service) => [service.service, service]));
  const lags = new Map((health?.stages ?? []).map(({ stage, lag }) => [stage, lag]));
  const names = [...ORDER, ...[...services.keys()].filter((name) => !ORDER.includes(name)).sort()];
  syncChildren(
    list,
    names.map((name) => ({ name, service: services.get(name), lag: isKnown ? lags.get(name) : undefined, isKnown })),
    ({ name }) => name,
    () =>
      el(
        "li",
        { class: "stage", "data-testid": "stage" },
        el("span", { class: "stage-mark" }),
        el("div", { class: "stage-body" }, el("strong"), el("span", { class: "stage-does" }), el("span", { class: "stage-facts" })),
        el("span", { class: "stage-lag" }, el("b"), el("small")),
      ),
    showStage,
  );
}

function showStage(item, { name, service, lag, isKnown }) {
  const [mark, body, lagBox] = item.children;
  const [title, does, facts] = body.children;
  const ready = isKnown ? (service?.ready ?? null) : null;
  const before = item.dataset.ready;
  setAttributes(item, { "data-stage": name, "data-ready": String(ready === true), "data-known": String(ready !== null), "data-lag": lag ?? "" });
  if (before !== item.dataset.ready || mark.childElementCount === 0 || mark.dataset.known !== item.dataset.known) {
    mark.dataset.known = item.dataset.known;
    mark.replaceChildren(icon(ready === null ? "dots" : ready ? "check" : "cross"));
  }
  setText(title, name);
  setText(does, DOES[name] ?? "");
  setText(facts, service && !isKnown ? "not known while disconnected" : describeInstances(service));
  setText(lagBox.firstElementChild, lag === undefined ? "" : formatInteger(lag));
  setText(lagBox.lastElementChild, lag === undefined ? "" : "lag");
  setAttributes(lagBox, { "data-behind": String((lag ?? 0) > 0), title: lag === undefined ? null : `${lag} messages not yet processed` });
}

function describeInstances(service) {
  if (!service) return "not seen yet";
  const ready = service.instances.filter((instance) => instance.ready).length;
  const versions = [...new Set(service.instances.map(({ version }) => version))].join(", ");
  const state = service.ready ? "ready" : "not ready";
  const of = service.instances.length > 1 ? ` ${ready}/${service.instances.length}` : "";
  return `${state}${of}${versions ? ` · ${versions}` : ""}`;
}
