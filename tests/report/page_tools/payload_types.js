// Writes the types of the page's data from their JSON Schema; with --check, says whether the file is current.
import { readFileSync, writeFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";

const PAGE = new URL("../../../anatomy/report/page/", import.meta.url);
const TYPES = new URL("payload.d.ts", PAGE);
const BANNER = "// Made from payload.schema.json: npm run types --prefix tests/report/page_tools";
const OPTIONS = {
  bannerComment: BANNER,
  additionalProperties: true,
  style: { printWidth: 120 },
  unreachableDefinitions: false,
};

// A title of a field would become a type of its own; fields of fixed length are written as the generator reads them.
function simpler(schema) {
  if (!schema || typeof schema !== "object") return schema;
  const { title: _, prefixItems, properties, $defs, ...rest } = schema;
  const each = (record) => Object.fromEntries(Object.entries(record).map(([name, value]) => [name, simpler(value)]));
  const found = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, KEYWORDS[key]?.(value) ?? value]));
  if (properties) found.properties = each(properties);
  if ($defs) found.$defs = each($defs);
  if (prefixItems) found.items = prefixItems.map(simpler);
  return found;
}
const KEYWORDS = {
  items: simpler,
  additionalProperties: simpler,
  anyOf: (options) => options.map(simpler),
  oneOf: (options) => options.map(simpler),
};

const schema = simpler(JSON.parse(readFileSync(new URL("payload.schema.json", PAGE), "utf8")));
const made = await compile(schema, "PagePayload", OPTIONS);
if (!process.argv.includes("--check")) writeFileSync(TYPES, made);
else if (readFileSync(TYPES, "utf8") !== made) {
  console.error("payload.d.ts is not what payload.schema.json says: npm run types --prefix tests/report/page_tools");
  process.exit(1);
}
