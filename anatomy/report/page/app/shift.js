// What was predicted, and what training then did; nothing where nobody has looked yet.
function shiftView(root) {
  const found = Object.entries(MAIN.validation || {});
  root.append(h("h1", {}, "Predicted against observed"));
  if (!found.length) {
    root.append(h("p", { class: "empty" }, "No validation is stored with this run. It needs a model trained on this set: ", h("code", {}, "anatomy validate RUN --before … --after …"),
      " writes its comparison into the run, and this page then shows predicted against observed shift per cluster, with signed r and slope, and the comparison of interventions."));
    return;
  }
  for (const [name, document] of found) root.append(section(name, null, tree(document)));
}

// Any JSON document as nested tables: numbers side by side where entries are alike.
function tree(value) {
  if (Array.isArray(value) && value.length && typeof value[0] === "object" && value[0]) {
    const names = Object.keys(value[0]);
    return table(names, value.map((item) => names.map((name) => leaf(item[name]))));
  }
  if (value && typeof value === "object") return table([], Object.entries(value).map(([name, item]) => [name, item && typeof item === "object" ? tree(item) : leaf(item)]));
  return leaf(value);
}

const leaf = (value) => (typeof value === "number" ? (Number.isInteger(value) ? String(value) : Number(value.toPrecision(4)).toString()) : value && typeof value === "object" ? JSON.stringify(value) : String(value ?? ""));
