// @ts-check
// Elements. Text from the data set becomes text nodes only: nothing here parses HTML.
import { fragment } from "./state.js";

/**
 * @import { Changes, Child, Options, Props } from "../page_types.js"
 */

const SVG_SPACE = "http://www.w3.org/2000/svg";

/**
 * @template {HTMLElement | SVGElement} E
 * @param {E} node
 * @param {Props | null} props
 * @param {Child[]} children
 * @returns {E}
 */
export function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (typeof value === "object")
      for (const [key, item] of Object.entries(value)) node.style.setProperty(key, item);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) fill(node, null, child);
    else node.append(child instanceof Node ? child : visible(String(child)));
  }
  return node;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} props
 * @param {...Child} children
 */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Props} props
 * @param {...Child} children
 */
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG_SPACE, tag), props, children);
/**
 * @template {HTMLElement | SVGElement} E
 * @param {E} node
 * @param {...Child} children
 */
export function put(node, ...children) {
  node.replaceChildren();
  return fill(node, {}, children);
}
/**
 * @param {Changes} changes
 * @param {...Child} children
 */
export const link = (changes, ...children) => h("a", { href: "#" + fragment(changes) }, ...children);

/**
 * The element of the page with this id.
 * @param {string} id
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`This page has no element #${id}: write it again with anatomy report.`);
  return found;
}

// Control and format characters (escape sequences, right-to-left overrides) are written out; emoji joiners stay.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
const ALLOWED = new Set(["\n", "\t", "\u200d"]);
/** @param {string} text */
export function visible(text) {
  return text.replace(HIDDEN, (found) =>
    ALLOWED.has(found) ? found : "\\u" + found.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}

/**
 * @param {Child[]} head
 * @param {Child[][]} rows
 * @param {number[]} numeric places of columns of numbers
 */
export function table(head, rows, numeric = []) {
  /** @type {(tag: "th" | "td") => (value: Child, place: number) => HTMLElement} */
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

/**
 * @param {Child} title
 * @param {Child} note
 * @param {...Child} children
 */
export function section(title, note, ...children) {
  return h("section", {}, h("h2", {}, title), note ? h("p", { class: "note" }, note) : null, ...children);
}

/**
 * @param {string} label
 * @param {Options} options
 * @param {string} value
 * @param {(value: string) => void} change
 */
export function select(label, options, value, change) {
  /** @type {HTMLSelectElement} */
  const box = h(
    "select",
    { "aria-label": label, onchange: () => change(box.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
  );
  return h("label", { class: "field" }, h("span", {}, label), box);
}

/**
 * @param {string} label
 * @param {string} value
 * @param {(value: string) => void} change
 */
export function searchBox(label, value, change) {
  let timer = 0;
  /** @type {HTMLInputElement} */
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
