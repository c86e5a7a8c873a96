// Marks as the plan that `anatomy train --plan` and `anatomy filter` read, as a list of rows, and back again.
// Every value is JSON, which is YAML as well.
function intervention(target, mark) {
  const kind = isConcept(target) ? "concept" : "cluster";
  return { [kind]: target, direction: mark === "remove" ? "suppress" : mark, strength: 1, backend: mark === "remove" ? "filtering" : "reward_shaping" };
}

function planYaml() {
  const marked = markedTargets().map((target) => [target, marks[target]]).filter(([, { mark }]) => mark);
  const rows = marked.filter(([target, { mark }]) => isRow(target) && mark === "remove").map(([target]) => target);
  const actions = marked.filter(([target, { mark }]) => !isRow(target) && mark !== "keep").map(([target, { mark }]) => intervention(target, mark));
  if (rows.length) actions.push({ rows, direction: "suppress", strength: 1, backend: "filtering" });
  const block = (item) => "  - " + Object.entries(item).map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join("\n    ");
  const decisions = marked.map(([target, { mark, comment }]) => "  - " + JSON.stringify({ target, mark, comment }));
  const list = (name, items) => (items.length ? `${name}:\n${items.join("\n")}` : `${name}: []`);
  return [`run: ${JSON.stringify(MAIN.run.path)}`, list("interventions", actions.map(block)), list("decisions", decisions)].join("\n") + "\n";
}

function rowList() {
  return Object.entries(marks).filter(([target, { mark }]) => isRow(target) && mark)
    .map(([target, { mark, comment }]) => JSON.stringify({ row_id: target, mark, comment }) + "\n").join("");
}

function readDecisions(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const start = line.indexOf("{");
    if (start < 0 || !/^\s*-?\s*$/.test(line.slice(0, start))) continue;
    let item;
    try { item = JSON.parse(line.slice(start)); } catch { continue; }
    const target = item.target || item.row_id;
    if (typeof target === "string" && MARKS.includes(item.mark) && (isRow(target) || MAIN.clusters[target])) {
      found[target] = { mark: item.mark, comment: String(item.comment || "") };
    }
  }
  return found;
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const anchor = h("a", { href: address, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
