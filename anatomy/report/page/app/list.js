// @ts-check
// A list that draws only what is on screen, and moves by keyboard.
import { h } from "./dom.js";

/**
 * @import { Child, List } from "../page_types.js"
 */

const SPARE = 6;
/** @type {Pick<List<unknown>, "move" | "redraw"> | null} */
export let activeList = null;

export function forgetList() {
  activeList = null;
}

/**
 * @template T
 * @param {{
 *   label: string,
 *   height: number,
 *   render: (item: T, place: number) => Child,
 *   pick: (item: T) => void,
 * }} options
 * @returns {List<T>}
 */
export function virtualList({ label, height, render: renderItem, pick }) {
  const space = h("div", { class: "space" });
  const box = h("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": label }, space);
  /** @type {Map<number, HTMLElement>} */
  const drawn = new Map();
  /** @type {T[]} */
  let items = [];
  let chosen = -1,
    asked = false;

  function draw() {
    asked = false;
    const first = Math.max(0, Math.floor(box.scrollTop / height) - SPARE);
    const last = Math.min(items.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + SPARE);
    for (const [place, node] of drawn)
      if (place < first || place >= last) {
        node.remove();
        drawn.delete(place);
      }
    for (let place = first; place < last; place++)
      if (!drawn.has(place)) drawn.set(place, space.appendChild(item(place)));
  }

  /** @param {number} place */
  function item(place) {
    return h(
      "div",
      {
        class: "item",
        role: "option",
        id: `option-${place}`,
        "aria-selected": String(place === chosen),
        "aria-posinset": place + 1,
        "aria-setsize": items.length,
        css: { top: place * height + "px", height: height + "px" },
        onclick: () => {
          choose(place);
          pick(items[place]);
        },
      },
      renderItem(items[place], place),
    );
  }

  function redraw() {
    drawn.forEach((node) => node.remove());
    drawn.clear();
    draw();
  }

  /** @param {number} place */
  function choose(place) {
    chosen = place;
    if (place >= 0) {
      if (place * height < box.scrollTop) box.scrollTop = place * height;
      if ((place + 1) * height > box.scrollTop + box.clientHeight)
        box.scrollTop = (place + 1) * height - box.clientHeight;
      box.setAttribute("aria-activedescendant", `option-${place}`);
    }
    redraw();
  }

  box.addEventListener("scroll", () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(draw);
    }
  });
  new ResizeObserver(draw).observe(box);
  /** @type {List<T>} */
  const list = {
    node: box,
    set(next, itemHeight = height) {
      items = next;
      height = itemHeight;
      space.style.setProperty("height", items.length * height + "px");
      chosen = -1;
      redraw();
    },
    select(test) {
      choose(items.findIndex(test));
    },
    top() {
      box.scrollTop = 0;
      draw();
    },
    redraw,
    first: () => items[0],
    move(step) {
      if (!items.length) return;
      choose(Math.min(items.length - 1, Math.max(0, chosen + step)));
      pick(items[chosen]);
    },
  };
  activeList = list;
  return list;
}
