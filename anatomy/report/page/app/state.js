// @ts-check
// The whole state of the page is its URL's fragment: every view, filter and selection can be sent as a link.
/** @import { Changes, PageState } from "../page_types.js" */

/** @type {PageState} */
export let state = {};

export function readState() {
  state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  state.view ||= "verdict";
}

/** @param {Changes} changes */
export function fragment(changes) {
  const base = changes.view && changes.view !== state.view ? {} : state;
  const next = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...base, ...changes })) if (value) next.append(key, value);
  return next.toString();
}

/** @param {Changes} changes */
export function go(changes, replace = false) {
  const next = "#" + fragment(changes);
  if (next === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  dispatchEvent(new Event("popstate"));
}
