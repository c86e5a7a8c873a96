// The whole state of the page is its URL's fragment: every view, filter and selection can be sent as a link.
let state = {};

function readState() {
  state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  state.view ||= "verdict";
}

function fragment(changes) {
  const base = changes.view && changes.view !== state.view ? {} : state;
  const next = Object.entries({ ...base, ...changes }).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(next).toString();
}

function go(changes, replace = false) {
  const next = "#" + fragment(changes);
  if (next === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  render();
}
