// @ts-check
// What made this page, and how to make it again.
import { MAIN } from "./data.js";
import { h, section, table } from "./dom.js";
import { number } from "./format.js";
import { tree } from "./shift.js";

/** @param {HTMLElement} root */
export function provenanceView(root) {
  const { stages, settings, versions, inputs, command } = MAIN.manifest;
  const commands = [...new Set([...Object.values(stages).map((record) => record.command), command])];
  root.append(
    h("h1", {}, "Provenance"),
    section(
      "Commands",
      "The same command keeps what is complete and makes again what changed.",
      h(
        "pre",
        {},
        [...commands, `anatomy null ${MAIN.run.path}`, `anatomy report ${MAIN.run.path}`]
          .filter((line, place, all) => line && all.indexOf(line) === place)
          .join("\n"),
      ),
    ),
    section("Inputs", null, tree(inputs || {})),
    section(
      "Stages",
      null,
      table(
        ["stage", "status", "seconds", "peak memory, MB", "fingerprint", "outputs (SHA-256)"],
        Object.entries(stages).map(([name, record]) => [
          name,
          record.status,
          number(record.seconds, 1),
          number(record.peak_memory_mb),
          h("code", {}, (record.fingerprint || "").slice(0, 12)),
          Object.entries(record.outputs || {}).map(([file, digest]) =>
            h("div", {}, file, " ", h("code", {}, digest ? digest.slice(0, 12) : "folder")),
          ),
        ]),
        [2, 3],
      ),
    ),
    section("Settings", `Seed ${settings?.seed ?? "?"}.`, tree(settings || {})),
    section("Versions", null, tree({ anatomy: MAIN.manifest.anatomy, ...versions })),
  );
}
