// Elements are made by name and filled by textContent, so that data is never
// read as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Makes an element: `el("a", { class: "link", href }, "text", child)`. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  setAttributes(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets attributes; null or undefined removes one. Writes only what changes. */
export function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
  }
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes `parent` hold one child per item, in order, keeping the elements of
 * items that stay. `create(item)` makes one, `update(element, item)` fills it.
 */
export function syncChildren(parent, items, keyOf, create, update) {
  const known = new Map();
  for (const child of [...parent.children]) {
    // Of two with one key the second would stay for ever.
    if (known.has(child.dataset.key)) child.remove();
    else known.set(child.dataset.key, child);
  }
  let position = 0;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (child) known.delete(key);
    else {
      child = create(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (parent.children[position] !== child) parent.insertBefore(child, parent.children[position] ?? null);
    position += 1;
  }
  for (const child of known.values()) child.remove();
}

/** An icon from the sprite in the page. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#icon-${name}` }));
}
