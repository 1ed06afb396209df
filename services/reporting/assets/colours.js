// Colours come from the stylesheet, so that a scheme is written once.

const SLOTS = 7;
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
 * Gives each name a colour of the palette, the same one for as long as the page
 * is open. Names beyond the palette share one colour, as "Other".
 */
export class Palette {
  #slots = new Map();

  /** Names in the order in which they should take the free colours. */
  assign(names) {
    for (const name of names) {
      if (this.#slots.size < SLOTS && !this.#slots.has(name)) {
        this.#slots.set(name, this.#slots.size + 1);
      }
    }
  }

  has(name) {
    return this.#slots.has(name);
  }

  /** The CSS custom property of a name's colour. */
  property(name) {
    return this.#slots.has(name) ? `--series-${this.#slots.get(name)}` : "--series-other";
  }
}
