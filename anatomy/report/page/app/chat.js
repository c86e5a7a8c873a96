// @ts-check
// Messages of a conversation, tool calls included. `paint` gives the content of the last one.
import { h } from "./dom.js";

/**
 * @import { Message, Paint, ToolCall } from "../page_types.js"
 */

/**
 * @param {Message[]} messages
 * @param {Paint} [paint]
 */
export function chat(messages, paint) {
  return messages.map((message, place) =>
    h(
      "div",
      {
        class:
          "message " + (["user", "assistant", "system", "tool"].includes(message.role ?? "") ? message.role : "other"),
      },
      h("div", { class: "role" }, message.role, message.name ? ` · ${message.name}` : ""),
      message.content
        ? h(
            "div",
            { class: "text", dir: "auto" },
            paint && place === messages.length - 1 ? paint(message.content) : message.content,
          )
        : null,
      (message.tool_calls || []).map(toolCall),
      others(message),
    ),
  );
}

/** @param {ToolCall} call */
function toolCall(call) {
  const record = call.function || call;
  const given =
    typeof record.arguments === "string" ? record.arguments : JSON.stringify(record.arguments ?? {}, null, 2);
  return h(
    "div",
    { class: "tool-call" },
    h("div", { class: "role" }, "tool call · ", h("code", {}, record.name ?? "?")),
    h("pre", {}, given),
  );
}

/** @param {Message} message */
function others(message) {
  const rest = Object.entries(message).filter(([key]) => !["role", "content", "tool_calls", "name"].includes(key));
  return rest.length
    ? h(
        "details",
        {},
        h("summary", {}, "other fields"),
        h("pre", {}, JSON.stringify(Object.fromEntries(rest), null, 2)),
      )
    : null;
}
