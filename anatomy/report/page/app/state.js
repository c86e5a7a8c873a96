// @ts-check
// The whole state of the page is its URL's fragment: every view, filter and selection can be sent as a link.
export let state = {};

export function readState() {
  state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  state.view ||= "verdict";
}

export function fragment(changes) {
  const base = changes.view && changes.view !== state.view ? {} : state;
  const next = Object.entries({ ...base, ...changes }).filter(
    ([, value]) => value !== "" && value !== null && value !== undefined,
  );
  return new URLSearchParams(next).toString();
}

export function go(changes, replace = false) {
  const next = "#" + fragment(changes);
  if (next === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  dispatchEvent(new Event("popstate"));
}
