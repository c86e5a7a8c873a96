// Types that the page's modules share. The data that the page reads has its own in payload.d.ts.
import type { JudgedFinding, MainPart, PagePayload, RowColumns, ShownCluster, TestColumns } from "./payload.js";

/** What an element may hold; nothing is drawn for null, undefined and false. */
export type Child = Node | string | number | boolean | null | undefined | Child[];
/** An attribute, a listener (`onclick`), or properties of the style (`css`). */
export type Prop = string | number | boolean | null | undefined | ((event: Event) => unknown) | Record<string, string>;
export type Props = Record<string, Prop>;
/** Keys and words of a choice, in order. */
export type Options = [key: string, text: string][];

export type StateKey =
  | "about"
  | "cluster"
  | "color"
  | "direction"
  | "level"
  | "map"
  | "mode"
  | "model"
  | "row"
  | "sign"
  | "sort"
  | "source"
  | "test"
  | "test_view"
  | "view"
  | "within"
  | "words";
export type PageState = { [K in StateKey]?: string };
export type Changes = { [K in StateKey]?: string | null };

/** Mounts a section, and returns what follows the state. */
export type Mount = (root: HTMLElement) => (() => Promise<void>) | void;

export type View = TestColumns["views"][number];
export type Side = "chosen" | "rejected";
export type Span = "prompt" | Side;
export type NumberArray = Int8Array | Uint8Array | Uint16Array | Int32Array | Uint32Array | Float32Array;

/** The value of a part, by its name. */
export type PartValue<N extends string> = N extends `rows-${string}`
  ? PagePayload["rows"]
  : N extends `tokens-${string}`
    ? PagePayload["tokens"]
    : N extends `signal-${string}`
      ? PagePayload["signal"]
      : N extends keyof PagePayload
        ? NonNullable<PagePayload[N]>
        : never;

type TestNumbers = Exclude<keyof TestColumns, "names" | "views" | "total" | "verdicts" | "view" | "context" | "response" | "verdict" | "repeats">;
/** One test; its figures are NaN if they could not be computed. */
export type Test = Record<TestNumbers, number> & {
  view: View;
  context: string;
  response: string;
  verdict: JudgedFinding["verdict"];
  /** The context whose finding it repeats, or empty. */
  repeats: string;
  direction: Side;
  found: boolean;
};
/** An effect with its interval, as pictures need it. */
export interface Effect {
  effect: number;
  effect_low: number;
  effect_high: number;
  effect_adjusted: number | null;
}

export interface Names {
  names: string[];
  code: NumberArray;
}
/** Columns of all rows, unpacked. */
export interface Columns extends Record<Exclude<keyof RowColumns, "source" | `${Side}_model` | "top">, NumberArray> {
  source: Names;
  chosen_model: Names;
  rejected_model: Names;
  top: { ids: string[]; count: number; response: NumberArray; value: NumberArray };
}
export interface Signal {
  scale: number;
  value: NumberArray;
}
/** What of a cluster is shown; the fields of a cluster that the run does not have are empty. */
export type Label = Omit<ShownCluster, "name"> & { name?: ShownCluster["name"] };

export interface List<T> {
  node: HTMLElement;
  set(next: T[], itemHeight?: number): void;
  select(test: (item: T) => boolean): void;
  top(): void;
  redraw(): void;
  first(): T | undefined;
  move(step: number): void;
}

/** What a reader decided on a target; `given` are the interventions that a plan had for it. */
export interface Decision {
  decision: string;
  comment: string;
  given?: object[];
}

/** A feature and the strength of its peak. */
export type Peak = [feature: number, strength: number];
/** Tokens of a span, and how strongly the target shows at each. */
export interface SpanColours {
  tokens: string[];
  sum: ArrayLike<number>;
  here: Peak[][];
  most: number;
  join(a: number, b: number): number;
  tell(value: number): string;
}
export interface PairColours {
  prompt?: SpanColours;
  chosen: SpanColours;
  rejected: SpanColours;
  note: string;
}
export type OnPick = (piece: string, peaks: Peak[]) => unknown;
/** Draws the text of a message. */
export type Paint = (content: string) => Child;
export interface Painters {
  chosen?: Paint;
  rejected?: Paint;
  note?: string;
}

/** A message of a conversation, with whatever else its source has. */
export interface Message {
  role?: string;
  name?: string;
  content?: string | null;
  tool_calls?: ToolCall[] | null;
}
export interface ToolCall {
  name?: string;
  arguments?: unknown;
  function?: ToolCall;
}
export interface RowMessages {
  prompt: Message[];
  chosen: Message[];
  rejected: Message[];
  metadata: Record<string, unknown>;
  tools?: unknown[];
}

/** A cluster on a map; `value` in [-1, 1] is its lean to chosen. */
export interface MapPoint {
  id: string;
  label: string;
  x: number;
  y: number;
  size: number;
  value: number;
}

export type Arm = MainPart["arms"]["comparisons"][number]["arms"][number];

interface PlotlyElement extends HTMLElement {
  on(event: "plotly_click", listener: (event: { points: { customdata: string }[] }) => void): void;
}

declare global {
  /** Scripts beside the page hand their part over by it. */
  var anatomyPart: (name: string, value: unknown) => void;
  var Plotly: { newPlot(box: HTMLElement, traces: object[], layout: object, config: object): Promise<PlotlyElement> };
  var jsyaml: { safeLoad(text: string): unknown };
}
