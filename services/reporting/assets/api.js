// The reporting API: JSON by fetch, changes by server-sent events.

const STREAM_TYPES = ["metrics", "truth", "alert", "books", "health", "reset"];
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;

/** The API refused; `status` and `code` say how. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** GETs JSON. Parameters that are undefined are left out. */
export async function getJson(path, parameters = {}) {
  const url = new URL(path, location.href);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  const response = await fetch(url, { headers: { accept: "application/json" } });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Refused(response.status, problem.code, problem.detail ?? problem.title ?? `${path} answered ${response.status}`);
  }
  return response.json();
}

/**
 * Keeps `/v1/stream` open.
 *
 * The browser itself resumes a stream that was cut, with Last-Event-ID; the
 * server then sends what was missed, or `reset`. Only when the browser has
 * given up is a new stream opened, and `onOpen(false)` says that what happened
 * in between is unknown.
 */
export class Stream {
  #source = null;
  #retryMs = FIRST_RETRY_MS;
  #opened = false;
  #timer = null;

  constructor({ onOpen, onLost, onEvent }) {
    this.onOpen = onOpen;
    this.onLost = onLost;
    this.onEvent = onEvent;
  }

  /** Opens it, now; one that is open is closed. */
  connect() {
    clearTimeout(this.#timer);
    this.close();
    const source = new EventSource("/v1/stream");
    this.#source = source;
    this.#opened = false;
    source.addEventListener("open", () => {
      const resumed = this.#opened;
      this.#opened = true;
      this.#retryMs = FIRST_RETRY_MS;
      this.onOpen(resumed);
    });
    source.addEventListener("error", () => {
      this.onLost();
      if (source.readyState !== EventSource.CLOSED) return;
      this.#timer = setTimeout(() => this.connect(), this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    });
    for (const type of STREAM_TYPES) {
      source.addEventListener(type, (event) => this.onEvent(type, JSON.parse(event.data)));
    }
  }

  close() {
    this.#source?.close();
  }
}
