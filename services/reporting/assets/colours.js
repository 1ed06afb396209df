// Colours come from the stylesheet, so that a scheme is written once.

import { slotsOf, SLOTS } from "./slots.js";

/** The colour of all that have none of their own. */
export const OTHER_PROPERTY = "--series-other";

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

/** What a CSS custom property is now, as a colour that a canvas understands. */
export function colour(property) {
  probe.style.color = `var(${property})`;
  return getComputedStyle(probe).color;
}

/** The same colour, see-through. */
export function translucent(rgb, alpha) {
  const [red, green, blue] = rgb.match(/[\d.]+/g);
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

/**
 * Gives each name a colour of the palette, by the name itself: the same names
 * have the same colours on every page and after every reload. Where there are
 * more names than colours, those that have one keep it for as long as the page
 * is open, and the others share one.
 */
export class Palette {
  #slots = new Map();

  /** Names in the order in which they should take the free colours. */
  assign(names) {
    const coloured = names.length > SLOTS ? this.#withFree(names) : names;
    if (coloured.length === this.#slots.size && coloured.every((name) => this.#slots.has(name))) return;
    this.#slots = slotsOf(coloured);
  }

  #withFree(names) {
    const kept = names.filter((name) => this.#slots.has(name)).slice(0, SLOTS);
    const others = names.filter((name) => !this.#slots.has(name));
    return [...kept, ...others.slice(0, SLOTS - kept.length)];
  }

  has(name) {
    return this.#slots.has(name);
  }

  /** The CSS custom property of a name's colour. */
  property(name) {
    return this.#slots.has(name) ? `--series-${this.#slots.get(name)}` : OTHER_PROPERTY;
  }
}
