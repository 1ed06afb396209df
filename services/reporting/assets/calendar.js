// Days of a zone, numbered from 1970-01-01, and where they begin. The shop's days
// are those that the API's answer names, and not those of the reader's clock.

const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export class Calendar {
  #format;
  /** By instant: asked for again at every frame. */
  #days = new Map();

  /** @param zone a name of the IANA database */
  constructor(zone = "UTC") {
    try {
      this.#format = formatOf(zone);
      this.zone = zone;
    } catch {
      // A zone that this browser has not heard of.
      this.#format = formatOf("UTC");
      this.zone = "UTC";
    }
  }

  /** The day that an instant belongs to. */
  day(ms) {
    let day = this.#days.get(ms);
    if (day === undefined) this.#days.set(ms, (day = Math.floor(this.#wall(ms) / DAY_MS)));
    return day;
  }

  /** The month that an instant belongs to, numbered from January of the year 0. */
  month(ms) {
    const date = new Date(this.day(ms) * DAY_MS);
    return date.getUTCFullYear() * 12 + date.getUTCMonth();
  }

  /** The first instant of a day. */
  dayBegins(day) {
    const wall = day * DAY_MS;
    let ms = wall;
    // The clock's offset is that of the instant, which follows from the offset.
    for (let tries = 0; tries < 2; tries += 1) ms = wall - (this.#wall(ms) - ms);
    // Where midnight is left out, the day begins when the clock is put forward.
    return this.day(ms) < day ? ms + HOUR_MS : ms;
  }

  /** The first instant of a month. */
  monthBegins(month) {
    return this.dayBegins(Date.UTC(Math.floor(month / 12), month % 12) / DAY_MS);
  }

  /** What a clock in the zone shows, as if it stood in UTC. */
  #wall(ms) {
    const parts = Object.fromEntries(this.#format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
  }
}

function formatOf(timeZone) {
  return new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
}

/**
 * The buckets of a chart: which one holds an instant, by number, and where one
 * begins. Those of a day or more are whole days, weeks from Monday, or months.
 * @param step how long one is
 */
export function bucketsOf(step, calendar) {
  if (step < DAY_MS) return { of: (ms) => Math.floor(ms / step), begins: (at) => at * step };
  if (step < 28 * DAY_MS) {
    const days = Math.round(step / DAY_MS);
    // 1970-01-01 was a Thursday.
    return { of: (ms) => Math.floor((calendar.day(ms) + 3) / days), begins: (at) => calendar.dayBegins(at * days - 3) };
  }
  const months = step < 365 * DAY_MS ? 1 : 12;
  return { of: (ms) => Math.floor(calendar.month(ms) / months), begins: (at) => calendar.monthBegins(at * months) };
}
