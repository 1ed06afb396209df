// The spans of time that a reader may choose. Days are those of the shop.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const last = (length) => ({ isDay: false, bounds: (now) => ({ from: now - length, to: Infinity }) });
/** A day of the shop, so many days ago; today ends when tomorrow begins. */
const day = (ago) => ({
  isDay: true,
  bounds: (now, calendar) => {
    const date = calendar.day(now) - ago;
    return { from: calendar.dayBegins(date), to: ago === 0 ? Infinity : calendar.dayBegins(date + 1) };
  },
});

/** By name: where a span begins and ends, in milliseconds, and whether it is a day. */
export const SPANS = {
  "15m": last(15 * MINUTE),
  "1h": last(HOUR),
  "24h": last(24 * HOUR),
  today: day(0),
  yesterday: day(1),
  all: { isDay: false, bounds: () => ({ from: -Infinity, to: Infinity }) },
};

/** Of spans that end now, each with the next longer one. */
export const WIDER = { "15m": "1h", "1h": "24h", today: "24h", "24h": "all" };

/**
 * The same bounds where windows begin. A span that moves begins with a whole
 * window; a day begins and ends with the window that is nearest, which is the day
 * itself wherever the windows make it up.
 */
export function windowBounds({ isDay, bounds }, windowMs, now, calendar) {
  const { from, to } = bounds(now, calendar);
  const fit = (ms) => (isDay ? Math.round(ms / windowMs) : Math.floor(ms / windowMs)) * windowMs;
  return { from: from === -Infinity ? from : fit(from), to: to === Infinity ? to : fit(to) };
}
