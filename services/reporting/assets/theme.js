// Light and dark: the system's choice, until the reader makes one.

const KEY = "tidemill.theme";
const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** Wires the button; `onChange` runs whenever colours have changed. */
export function setUpTheme(button, onChange) {
  const stored = read();
  if (stored) document.documentElement.dataset.theme = stored;
  button.addEventListener("click", () => {
    const current = document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light");
    const next = current === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    write(next);
    onChange();
  });
  systemDark.addEventListener("change", onChange);
}

// A browser may forbid storage; the choice then lasts as long as the page.
function read() {
  try {
    const value = localStorage.getItem(KEY);
    return value === "dark" || value === "light" ? value : null;
  } catch {
    return null;
  }
}

function write(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    return;
  }
}
