// @ts-check
// Elements. Text from the data set becomes text nodes only: nothing here parses HTML.
import { fragment } from "./state.js";

const SVG_SPACE = "http://www.w3.org/2000/svg";

export function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "css") for (const [key, item] of Object.entries(value)) node.style.setProperty(key, item);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : visible(String(child)));
  }
  return node;
}

export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG_SPACE, tag), props, children);
export function put(node, ...children) {
  node.replaceChildren();
  return fill(node, {}, children);
}
export const link = (changes, ...children) => h("a", { href: "#" + fragment(changes) }, ...children);

// Control and format characters (escape sequences, right-to-left overrides) are written out; emoji joiners stay.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
const ALLOWED = new Set(["\n", "\t", "\u200d"]);
export function visible(text) {
  return text.replace(HIDDEN, (found) =>
    ALLOWED.has(found) ? found : "\\u" + found.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}

export function table(head, rows, numeric = []) {
  const cell = (tag) => (value, place) =>
    h(tag, { class: numeric.includes(place) ? "num" : null, scope: tag === "th" ? "col" : null }, value);
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      {},
      head.length ? h("thead", {}, h("tr", {}, head.map(cell("th")))) : null,
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, row.map(cell("td")))),
      ),
    ),
  );
}

export function section(title, note, ...children) {
  return h("section", {}, h("h2", {}, title), note ? h("p", { class: "note" }, note) : null, ...children);
}

export function select(label, options, value, change) {
  const box = h(
    "select",
    { "aria-label": label, onchange: () => change(box.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
  );
  return h("label", { class: "field" }, h("span", {}, label), box);
}

export function searchBox(label, value, change) {
  let timer = 0;
  const box = h("input", {
    type: "search",
    placeholder: "search  ( / )",
    "aria-label": label,
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => change(box.value), 200);
    },
  });
  box.value = value;
  return h("label", { class: "field grow" }, h("span", {}, label), box);
}
