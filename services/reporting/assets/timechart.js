// One time chart: areas that stack, or lines, drawn by uPlot, with a tooltip.

import uPlot from "./vendor/uPlot.esm.js";
import { colour, translucent } from "./colours.js";
import { el, setText } from "./dom.js";
import { formatCompact, formatWindow, tickLabels } from "./format.js";

const FONT = '12px "Inter", system-ui, sans-serif';
/** Steps between the times under the axis, in seconds: no finer than a window. */
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TIME_STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 7, 14, 30, 90, 180, 365, 1825].map((days) => days * DAY),
];
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [5, 5], [12, 3], [3, 2, 3, 6], []];

export class TimeChart {
  #plot = null;
  #shape = "";
  #view = null;
  #frame;
  #tooltip;

  /**
   * @param frame the element that holds the chart; its size is the chart's
   * @param formatValue writes a value in the tooltip
   */
  constructor(frame, { formatValue, compactAxis = false }) {
    this.#frame = frame;
    this.formatValue = formatValue;
    this.compactAxis = compactAxis;
    this.#tooltip = el("div", { class: "tooltip", hidden: "" });
    frame.append(this.#tooltip);
    new ResizeObserver(() => this.#resize()).observe(frame);
  }

  /**
   * @param view `{starts, step, zone, series: [{name, property, values}], stacked, adds, openFrom}`;
   *   the first series is the lowest of the stack, the days are those of the zone, and
   *   only series that add up (`adds`) have a sum
   */
  show(view) {
    this.#view = view;
    if (view.starts.length === 0) return this.#destroy();
    const data = this.#data(view);
    const shape = JSON.stringify([view.stacked, view.zone, view.step >= DAY * 1000, view.series.map(({ name, property }) => [name, property])]);
    if (this.#plot && this.#shape === shape) {
      this.#plot.setData(data);
    } else {
      this.#destroy();
      this.#shape = shape;
      this.#plot = new uPlot(this.#options(view), data, this.#frame);
      this.#plot.root.setAttribute("aria-hidden", "true");
    }
  }

  /** Draws again from scratch, after a change of the colour scheme. */
  restyle() {
    if (!this.#view) return;
    this.#destroy();
    this.show(this.#view);
  }

  #destroy() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#tooltip.hidden = true;
  }

  #resize() {
    const { width, height } = this.#size();
    if (!this.#plot || width === 0) return;
    if (this.#plot.width !== width || this.#plot.height !== height) this.#plot.setSize({ width, height });
  }

  #size() {
    return { width: this.#frame.clientWidth, height: this.#frame.clientHeight };
  }

  /** uPlot's columns; one window alone is drawn as wide as it is. */
  #data({ starts, step, series, stacked }) {
    const single = starts.length === 1;
    const times = single ? [starts[0], starts[0] + step] : starts;
    const columns = series.map(({ values }) => (single ? [values[0], values[0]] : values));
    if (stacked) {
      for (let index = 1; index < columns.length; index += 1) {
        const below = columns[index - 1];
        columns[index] = columns[index].map((value, at) => value + below[at]);
      }
    }
    return [times.map((ms) => ms / 1000), ...columns];
  }

  #options({ series, stacked, zone }) {
    const text = colour("--text-muted");
    const grid = colour("--grid");
    const axis = { stroke: text, font: FONT, ticks: { show: false }, grid: { stroke: grid, width: 1 } };
    return {
      ...this.#size(),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
      padding: [12, 24, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { size: 7, width: 2, fill: (_, index) => colour(series[index - 1].property), stroke: () => colour("--surface") },
      },
      scales: {
        x: { time: true },
        y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, gap: 8, space: 84, incrs: TIME_STEPS, values: (_, splits) => tickLabels(splits, zone) },
        {
          ...axis,
          size: this.compactAxis ? 40 : 52,
          gap: 8,
          space: this.compactAxis ? 36 : 44,
          values: (_, splits) => splits.map((value) => formatCompact(value)),
        },
      ],
      series: [
        {},
        ...series.map(({ name, property }, index) => {
          const stroke = colour(property);
          return {
            label: name,
            stroke,
            width: stacked ? 1.5 : 2,
            dash: stacked ? [] : DASHES[index % DASHES.length],
            fill: stacked ? translucent(stroke, series.length > 1 ? 0.42 : 0.22) : undefined,
            points: { show: false },
          };
        }),
      ],
      bands: stacked ? series.slice(1).map((_, index) => ({ series: [index + 2, index + 1] })) : [],
      hooks: {
        drawClear: [(plot) => this.#shadeOpenWindows(plot)],
        setCursor: [(plot) => this.#point(plot)],
      },
    };
  }

  /** Shades the windows that can still change. */
  #shadeOpenWindows(plot) {
    const { openFrom } = this.#view;
    if (openFrom === null || openFrom === undefined) return;
    const { left, top, width, height } = plot.bbox;
    const from = Math.max(left, plot.valToPos(openFrom / 1000, "x", true));
    if (from >= left + width) return;
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = colour("--open-window");
    ctx.fillRect(from, top, left + width - from, height);
    ctx.restore();
  }

  #point(plot) {
    const { idx, left } = plot.cursor;
    const { starts, step, zone, series, stacked, adds = true, openFrom } = this.#view;
    if (idx === null || idx === undefined || left < 0 || starts.length === 0) {
      this.#tooltip.hidden = true;
      return;
    }
    const at = Math.min(idx, starts.length - 1);
    const rows = series.map(({ name, property, values }) => ({ name, property, value: values[at] }));
    if (stacked) rows.reverse();
    else rows.sort((a, b) => b.value - a.value);
    const total = rows.reduce((sum, { value }) => sum + value, 0);
    const open = openFrom !== null && starts[at] + step > openFrom;
    this.#tooltip.replaceChildren(
      el("div", { class: "tooltip-title" }, formatWindow(starts[at], step, zone), open ? el("em", {}, "still open") : null),
      ...rows.map(({ name, property, value }) => this.#tooltipRow(name, property, value)),
      ...(adds && rows.length > 1 ? [this.#tooltipRow("Total", null, total)] : []),
    );
    this.#tooltip.hidden = false;
    const room = this.#frame.clientWidth - this.#tooltip.offsetWidth;
    const x = plot.bbox.left / devicePixelRatio + left;
    const beside = x + 14 <= room ? x + 14 : x - this.#tooltip.offsetWidth - 14;
    this.#tooltip.style.transform = `translate(${Math.max(0, Math.min(room, beside))}px, 8px)`;
  }

  #tooltipRow(name, property, value) {
    const swatch = el("i", { class: "swatch" });
    if (property) swatch.style.background = `var(${property})`;
    else swatch.style.visibility = "hidden";
    const row = el("div", { class: property ? "tooltip-row" : "tooltip-row total" }, swatch, el("span"), el("b"));
    setText(row.children[1], name);
    setText(row.children[2], this.formatValue(value));
    return row;
  }
}
