// Made from payload.schema.json: npm run types --prefix tests/report/page_tools

/**
 * All parts of the page; ``signal``, ``rows`` and ``tokens`` stand for parts such as ``signal-R1``, ``rows-0000``.
 *
 * ``ids`` are the ids of all rows, 32 characters each; ``contexts`` are the rows of each context
 * but the finest data clusters; ``evidence`` are texts by row.
 */
export interface PagePayload {
  main: MainPart;
  columns: RowColumns;
  ids: string;
  tests: TestColumns;
  features: ClustersOfFeatures;
  contexts: {
    [k: string]: Packed;
  };
  signal: SignedBytes;
  rows: RowText[];
  tokens: RowTokens[];
  evidence?: {
    [k: string]: RowText;
  };
}
/**
 * The document that the page opens with.
 */
export interface MainPart {
  run: RunName;
  manifest: Manifest;
  health: Health;
  texts: string[];
  null: {
    [k: string]: NullRate;
  } | null;
  validation: (ShownValidation | OtherDocument)[];
  arms: ArmComparisons;
  summary: SummaryCounts;
  verdict: AuditVerdict;
  responses: string[];
  clusters: {
    [k: string]: ShownCluster;
  };
  rows: RowsOnPage;
}
/**
 * ``id`` is a hash of the rows, the features and the clusters: decisions are kept under it.
 */
export interface RunName {
  id: string;
  path: string;
  name: string;
}
/**
 * What made the run; written last by every stage.
 */
export interface Manifest {
  anatomy: string;
  versions: {
    [k: string]: string | null;
  };
  command: string;
  settings: AuditSettings | null;
  inputs: Inputs;
  stages: {
    [k: string]: StageRecord;
  };
}
/**
 * All stages.
 */
export interface AuditSettings {
  /**
   * Rollouts of the model before training (`anatomy rollout`), for a calibration whose predictor reads the model's own responses.
   */
  base_rollouts: string | null;
  /**
   * Concepts to test, with commas: ids with a text heuristic (`anatomy concepts list`), or folders that `anatomy probe fit` wrote; default: all that have a text heuristic; `none`: no concepts.
   */
  concepts: string | null;
  /**
   * YAML file with further concepts.
   */
  concepts_file: string | null;
  /**
   * A feature is present when it fires on more than this share.
   */
  tau: number;
  /**
   * Features a response cluster needs to be tested.
   */
  min_features: number;
  /**
   * Rows a context needs to be tested.
   */
  min_rows: number;
  /**
   * Pooled statistic of the prompt view.
   */
  prompt_statistic: "max" | "freq";
  /**
   * Prompt score: firing indicator or value.
   */
  prompt_score: "fires" | "value";
  /**
   * Rows in a prompt context; default: 2 % of rows, at least 50.
   */
  top_rows: number | null;
  /**
   * Ranking key.
   */
  rank_by: "delta_min" | "effect" | "d" | "z";
  /**
   * File that `anatomy validate` wrote for this model: findings say what shift to expect.
   */
  calibration: string | null;
  /**
   * False discovery rate of what is reported as a finding.
   */
  q_threshold: number;
  /**
   * Share of feature pairs kept as graph edges.
   */
  edge_fraction: number;
  /**
   * Least mean correlation in a cluster; default: 0.35, or what chance makes if larger.
   */
  resolution: number | null;
  /**
   * Communities of fewer features are dissolved.
   */
  min_community: number;
  /**
   * Responses sampled for the co-firing graph.
   */
  graph_samples: number;
  /**
   * File that `anatomy sae cluster` wrote; default: the one that lies with the SAE, if any does.
   */
  response_clusters: string | null;
  /**
   * Make response clusters from these rows, not from such a file.
   */
  cluster_on_rows: boolean;
  /**
   * Rows with least activity, left out of every test.
   */
  silent_fraction: number;
  /**
   * K of spherical k-means; default: by power, at most 512.
   */
  data_clusters: number | null;
  /**
   * Clusters of prompt features; default scales, ≤ 512.
   */
  prompt_clusters: number | null;
  /**
   * Clusters of response deltas; default scales, ≤ 512.
   */
  shift_clusters: number | null;
  /**
   * Rows sampled for the feature embedding (SVD).
   */
  embedding_rows: number;
  /**
   * Components of the randomised SVD.
   */
  embedding_dim: number;
  /**
   * Rows a feature must fire on in the prompt view; default: 200 at 260k rows, at least 20.
   */
  min_fires: number | null;
  /**
   * Tokens of prompt plus response in the training, or a recipe's file or name: counts rows it cuts.
   */
  train_length: number | null;
  /**
   * sae-lens `release/id` or a local sae-lens folder; default: the laptop model's own.
   */
  sae: string | null;
  /**
   * Continue although the SAE is unhealthy on these rows.
   */
  force: boolean;
  /**
   * Hub id or folder of the model that will be trained; default: the laptop model.
   */
  model: string | null;
  /**
   * Hub revision of the model.
   */
  model_revision: string | null;
  /**
   * Jinja file, for a model that has no chat template.
   */
  chat_template: string | null;
  /**
   * Run code that comes with the model; off unless you ask for it here.
   */
  trust_remote_code: boolean;
  /**
   * Tokens kept of prompt plus response, template included.
   */
  max_length: number;
  /**
   * Tokens kept of the prompt (its end), template included; the response keeps its start.
   */
  max_prompt_length: number;
  /**
   * Tokens kept of the response (its start); default: as many as `max_length` leaves.
   */
  max_response_length: number | null;
  /**
   * auto: bfloat16 where it is fast.
   */
  dtype: "auto" | "float32" | "bfloat16";
  /**
   * auto: CUDA, then MPS, then CPU.
   */
  device: "auto" | "cpu" | "cuda" | "mps";
  /**
   * Padded tokens in one forward pass.
   */
  batch_tokens: number;
  /**
   * Hub id, file, folder or glob (parquet, arrow, JSON, JSONL, CSV; gzipped or not).
   */
  rows: string;
  /**
   * Hub configuration name.
   */
  config: string | null;
  /**
   * Split on the Hub, or of files in a folder that are named so; default: train, or the only one.
   */
  split: string | null;
  /**
   * Hub revision (commit, tag or branch).
   */
  revision: string | null;
  /**
   * Row format; recognised from the columns by default.
   */
  format: "auto" | "explicit" | "implicit" | "full-conversations" | "hh" | "sharegpt";
  /**
   * Columns by role, as role=column,role=column or a YAML file; `a.b` is a path, `a+b` joins texts. Overrules what is recognised.
   */
  map: {
    [k: string]: string;
  } | null;
  /**
   * Column that says which response is better, where several do.
   */
  label: string | null;
  /**
   * Column of scores that says how good each response is.
   */
  score: string | null;
  /**
   * Which pairs are made of more than two responses to a prompt.
   */
  pairs: "best-worst" | "all" | "adjacent";
  /**
   * Columns, with commas, whose values are groups to show.
   */
  group_by: string[] | null;
  /**
   * Share of rows that may be unreadable.
   */
  most_faulty: number;
  /**
   * Read at most this many rows.
   */
  limit: number | null;
  /**
   * Keep a random sample of this many rows, spread over the set.
   */
  sample: number | null;
  /**
   * Seed of everything random in the run.
   */
  seed: number;
}
/**
 * What the run read: source of the rows, how texts became tokens, model and SAE; None before a stage read it.
 */
export interface Inputs {
  rows: {
    [k: string]: unknown;
  } | null;
  template: string | null;
  tokenizer: string | null;
  max_length: number | null;
  max_prompt_length: number | null;
  max_response_length: number | null;
  model: ModelIdentity | null;
  sae: SAEIdentity | null;
}
/**
 * The subject model: what it is called, where it came from, and a hash of its weights and numeric type.
 */
export interface ModelIdentity {
  name: string;
  origin: string;
  fingerprint: string;
}
/**
 * The SAE: what it is called, a hash of its weights, and the block (from 0) after which it reads.
 */
export interface SAEIdentity {
  name: string;
  fingerprint: string;
  layer: number;
}
/**
 * One stage: whether it is complete, what made it, and what it wrote.
 *
 * ``outputs`` maps a file to its SHA-256, and a folder to a hash of the names of its files, which hold hashes of their
 * bytes. ``stale`` says that an earlier stage ran again since, so that the outputs count for nothing until the inputs
 * are confirmed. ``facts`` are the fields of the stage's :class:`StageFacts`, as JSON values, because each stage has
 * other ones; ``Run.facts`` reads them back. A stage that leaves none, or that was not completed, has none.
 */
export interface StageRecord {
  status: "running" | "complete" | "stale";
  fingerprint: string;
  outputs: {
    [k: string]: string;
  };
  facts: {
    [k: string]: unknown;
  };
  command: string;
  seconds: number;
  peak_memory_mb: number;
}
/**
 * ``health.json``: what the rows are, and whether the SAE reads them as it should.
 *
 * A part is empty or None until the stage that measures it is complete; ``baselines`` are the trivial rules, by name,
 * and ``explained`` what predicts the labels of unseen prompts: length, concepts, clusters, features, all.
 */
export interface Health {
  truncated: {
    [k: string]: number;
  };
  special_in_text: number;
  reading: RowReading | null;
  markup: ChatMarkup | null;
  reasoning: ReasoningRows | null;
  template: TemplateFacts | null;
  training: TrainingWindow | null;
  sampled: SampledTokens | null;
  content: ContentHealth | null;
  languages: LanguageHealth | null;
  groups: GroupHealth | null;
  canned: CannedHealth | null;
  near_duplicates: NearDuplicates | null;
  ratings: RatedRows | null;
  rows: number | null;
  retained: number | null;
  format: string | null;
  reasons: {
    [k: string]: NotedRows;
  };
  flags: {
    [k: string]: NotedRows;
  };
  lengths: {
    [k: string]: SpanLengths;
  };
  prompts: PromptRepeats | null;
  responses: ResponseRepeats | null;
  sources: {
    [k: string]: number;
  };
  models: {
    [k: string]: ModelSides;
  };
  sae: MeasuredSAE | null;
  baselines: {
    [k: string]: MeasuredRule;
  };
  explained: {
    [k: string]: MeasuredModel;
  };
}
/**
 * How the rows were read: the layout, which column has which role, and what a reader of the set should know.
 *
 * ``unread`` holds the text columns that no role has, each with the start of a value.
 */
export interface RowReading {
  layout: string;
  map: {
    [k: string]: string;
  };
  notes: string[];
  unread: {
    [k: string]: string;
  };
  votes: VoteAgreement | null;
}
/**
 * How far several votes of one pair agree: pairs with more than one vote, their votes, and pairs without a winner.
 *
 * ``percent`` is the mean share of pairs of votes that agree, ``alpha`` Krippendorff's (nominal): 1 is full agreement,
 * 0 is chance; None where it is not defined. ``error`` is the standard error of ``percent``, by pair and by person;
 * ``people`` is None, and the error by pair alone, where it is not known who voted.
 */
export interface VoteAgreement {
  pairs: number;
  votes: number;
  ties: number;
  percent: number | null;
  alpha: number | null;
  error: number | null;
  people: number | null;
}
/**
 * Marks of chat templates inside texts of retained rows.
 *
 * ``turns`` counts rows whose prompt or a response opens turns in its text, ``ends`` the rows with an end token in a
 * span, and ``only`` those in which one side has an end token and the other none.
 */
export interface ChatMarkup {
  turns: number;
  ends: {
    [k: string]: number;
  };
  only: {
    [k: string]: number;
  };
}
/**
 * Retained rows with reasoning in a response, by side, and those with a tag of reasoning that never ends.
 */
export interface ReasoningRows {
  rows: number;
  sides: {
    [k: string]: number;
  };
  unclosed: number;
}
/**
 * What the chat template does to every conversation.
 *
 * ``bos`` is how texts begin: ``as it should``, ``missing`` or ``doubled``; ``added`` says that a tokenizer which adds
 * special tokens to rendered text doubles it; ``ends`` whether a token follows the answer, ``dated`` whether the text
 * depends on the day, ``own_system`` whether a system turn is put in where a conversation has none.
 */
export interface TemplateFacts {
  bos: "as it should" | "missing" | "doubled";
  added: boolean;
  ends: boolean;
  dated: boolean;
  own_system: boolean;
}
/**
 * Rows at the length of the training: without room for a response, alike once cut, and cut, by span.
 *
 * Rows that the audit's window alone leaves out are among them, because the training's may hold them.
 */
export interface TrainingWindow {
  length: number;
  no_room: number;
  identical: number;
  cut: {
    [k: string]: number;
  };
}
/**
 * A uniform sample of ``rows`` rows ``of`` all that were checked, from which lengths and cuts in tokens come.
 */
export interface SampledTokens {
  rows: number;
  of: number;
}
/**
 * What the responses of ``sampled`` rows hold, drawn at random from the retained ones, by concept of the library.
 *
 * ``absent`` names the concepts that no response holds.
 */
export interface ContentHealth {
  sampled: number;
  checks: {
    [k: string]: ContentCheck;
  };
  absent: string[];
}
/**
 * Share of the pairs whose side has something, the difference chosen − rejected, and which side it goes with.
 *
 * ``wins`` is the share of chosen sides where exactly one side has it: over 0.5 goes with the label.
 */
export interface ContentCheck {
  chosen: ShareEstimate;
  rejected: ShareEstimate;
  difference: ShareEstimate;
  wins: ShareEstimate;
  examples: SideExample[];
}
/**
 * A share or a difference of shares with its 95 % interval, clustered by prompt; None where there is no row.
 */
export interface ShareEstimate {
  value: number | null;
  low: number | null;
  high: number | null;
}
/**
 * A row of the source, from 0, the side, and the place in its text, with personal data masked.
 */
export interface SideExample {
  index: number;
  side: string;
  excerpt: string;
}
/**
 * Languages (two-letter codes, or ``undetermined``) of ``sampled`` rows by side, and pairs of two languages.
 */
export interface LanguageHealth {
  sampled: number;
  chosen: {
    [k: string]: number;
  };
  rejected: {
    [k: string]: number;
  };
  mixed: NotedRows;
}
/**
 * Rows with one fault or oddity, and examples of them.
 */
export interface NotedRows {
  count: number;
  examples: NotedRow[];
}
/**
 * A row of the source, from 0, and the start of its text.
 */
export interface NotedRow {
  index: number;
  excerpt: string;
}
/**
 * Columns that divide the rows into groups, and columns with such a name that do not, with the reason.
 */
export interface GroupHealth {
  columns: {
    [k: string]: GroupedRows;
  };
  refused: {
    [k: string]: string;
  };
}
/**
 * Rows by the value of a column, most frequent first; rows without one are left out.
 */
export interface GroupedRows {
  values: {
    [k: string]: GroupRows;
  };
}
/**
 * Rows of one value of a column: how many could be read, are retained, identical or tied.
 *
 * Characters and models are those of retained rows; ``longer_wins`` is the share in which chosen is the longer side.
 */
export interface GroupRows {
  rows: number;
  retained: number;
  identical: number;
  ties: number;
  mean_characters: {
    [k: string]: number;
  };
  longer_wins: ShareEstimate;
  models: {
    [k: string]: ModelSides;
  };
}
/**
 * How often the responses of a model are the chosen and the rejected ones.
 */
export interface ModelSides {
  chosen: number;
  rejected: number;
}
/**
 * Responses and openings that recur under different prompts: alarms, then the most frequent of each kind.
 *
 * ``prompts`` distinct prompts were read, ``sampled`` as a share of all. ``recurring`` texts stand under five of them
 * or more; ``tested`` stand under enough to be tested, of which ``alarms`` win or lose more often than chance allows
 * (exact binomial test over prompts, Bonferroni over those tested).
 */
export interface CannedHealth {
  prompts: number;
  sampled: number;
  recurring: number;
  tested: number;
  alarms: number;
  texts: CannedText[];
}
/**
 * A response, or the opening of responses, that stands under many different prompts.
 *
 * ``index`` is a row of the source, from 0, that has it; ``chosen`` and ``rejected`` count its prompts by the side on
 * which it stands there, ``both`` those with both. ``win_rate`` is over its prompts (one of ``both`` counts half),
 * with its 95 % interval; ``alarm`` says that chance does not make it win or lose that often.
 */
export interface CannedText {
  kind: "response" | "opening";
  text: string;
  index: number;
  prompts: number;
  chosen: number;
  rejected: number;
  both: number;
  win_rate: number;
  low: number;
  high: number;
  p: number;
  alarm: boolean;
}
/**
 * Prompts that are nearly the same as another, of ``sampled`` distinct ones of about ``distinct``.
 *
 * ``prompts`` stand in ``groups`` groups, of which the largest are shown.
 */
export interface NearDuplicates {
  sampled: number;
  distinct: number;
  prompts: number;
  groups: number;
  largest: PromptGroup[];
}
/**
 * Different prompts that say nearly the same, with examples.
 */
export interface PromptGroup {
  prompts: number;
  examples: NotedRow[];
}
/**
 * Ratings of retained rows; ``constant`` if every rated row has the same two, so that they say nothing more.
 */
export interface RatedRows {
  rows: number;
  /**
   * @minItems 2
   * @maxItems 2
   */
  chosen: [number, number];
  /**
   * @minItems 2
   * @maxItems 2
   */
  rejected: [number, number];
  constant: boolean;
}
/**
 * Lengths of a span over the rows, in ``unit``.
 */
export interface SpanLengths {
  unit: string;
  mean: number;
  p5: number;
  p50: number;
  p95: number;
  max: number;
}
/**
 * Distinct prompts, most rows of one, and rows that share theirs.
 */
export interface PromptRepeats {
  distinct: number;
  largest_group: number;
  repeated_rows: number;
}
/**
 * Distinct responses, and responses that repeat another.
 */
export interface ResponseRepeats {
  distinct: number;
  repeated: number;
}
/**
 * Numbers of the SAE on the rows next to those that it claims, and what is wrong with them.
 */
export interface MeasuredSAE {
  tokens: number;
  l0: number | null;
  variance_explained: number | null;
  dead_share: number | null;
  claimed_l0: number | null;
  claimed_variance_explained: number | null;
  outliers: number;
  faults: string[];
}
/**
 * Share of the pairs in which a trivial rule picks the chosen side, with its 95 % interval.
 */
export interface MeasuredRule {
  rule: string;
  accuracy: number | null;
  low: number | null;
  high: number | null;
  decided: number | null;
}
/**
 * Share of the labels of unseen prompts that a fitted model predicts, with its 95 % interval; 0.5 is chance.
 *
 * ``p`` is against labels at random.
 */
export interface MeasuredModel {
  value: number;
  low: number;
  high: number;
  p: number;
}
/**
 * What a view finds if labels are random: ``tested`` and ``discoveries`` (q < 0.05) are per repetition.
 *
 * ``false_positive_rate`` is the share of tests with p < 0.05, NaN where nothing could be tested; ``low`` and ``high``
 * are its 95 % interval over repetitions, since the tests within one are not independent.
 */
export interface NullRate {
  tested: number;
  repetitions: number;
  false_positive_rate: number | null;
  low: number | null;
  high: number | null;
  discoveries: number;
}
/**
 * A validation under ``validation/``, and the shifts of its best predictor.
 */
export interface ShownValidation {
  name: string;
  document: Validation;
  predictor: string | null;
  shifts: ShownShift[];
}
/**
 * Predicted next to observed shifts of one training.
 */
export interface Validation {
  /**
   * Name of the preference set.
   */
  data: string;
  /**
   * Training seed of the model after.
   */
  seed: number;
  /**
   * Whether a choice was made on this set.
   */
  role: string;
  /**
   * Folder of the audit.
   */
  run: string;
  /**
   * Tokens of a response that were read.
   */
  window: number;
  /**
   * Pairs of completions, before and after.
   */
  pairs: number;
  /**
   * Held-out prompts.
   */
  prompts: number;
  /**
   * Completions that were left out, by reason.
   */
  left_out: {
    [k: string]: number;
  };
  rollouts: RolloutSides;
  /**
   * Training that made the model after.
   */
  training: TrainingRecord | null;
  /**
   * Reason why the training is not known.
   */
  training_unknown: string | null;
  per_prompt: PromptReading;
  /**
   * By predictor and view.
   */
  agreements: {
    [k: string]: {
      [k: string]: ViewAgreement | NoAgreement;
    };
  };
  /**
   * By view and control.
   */
  controls: {
    [k: string]: {
      [k: string]: ControlSpread;
    };
  };
  /**
   * Line of the best predictor; None for too few readouts.
   */
  calibration: Calibration | null;
  /**
   * Reason not to trust predictions for this training.
   */
  warning: string | null;
}
/**
 * Manifests of the rollouts before and after training.
 */
export interface RolloutSides {
  before: RolloutManifest;
  after: RolloutManifest;
}
/**
 * What made rollouts: the model, its template, how completions were drawn; and hashes of prompts and table.
 *
 * ``fingerprint`` covers model, template, prompts and sampling; ``rollouts`` is the hash of the table's bytes,
 * ``prompts`` the number of distinct ones, ``left_out`` counts prompts by the reason why they have no completion.
 */
export interface RolloutManifest {
  model: SampledModel;
  template: string;
  sampling: SampleSettings;
  left_out: {
    [k: string]: number;
  };
  prompts: number;
  rollouts: string;
  fingerprint: string;
}
/**
 * The model that answered; ``folder`` is where it lies, None for one of the Hub.
 */
export interface SampledModel {
  name: string;
  origin: string;
  folder: string | null;
  fingerprint: string;
}
/**
 * How many completions of how many prompts, and how they are drawn.
 */
export interface SampleSettings {
  /**
   * Tokens of a completion, at most; also the window of the data.
   */
  max_new_tokens: number;
  /**
   * Divides the logits; 0 takes the likeliest token (greedy).
   */
  temperature: number;
  /**
   * Sample from the fewest tokens that hold this probability.
   */
  top_p: number;
  /**
   * Seed of the samples.
   */
  seed: number;
  /**
   * Completions of each prompt; more than one needs a temperature.
   */
  samples: number;
  /**
   * Prompts used, at most: a random sample with the seed.
   */
  max_prompts: number | null;
}
/**
 * A DPO training; no intervention means plain DPO.
 */
export interface TrainingRecord {
  /**
   * Folder of the training.
   */
  folder: string;
  /**
   * Name of its rows.
   */
  rows: string;
  /**
   * Training seed.
   */
  seed: number;
  /**
   * Interventions of strength above 0.
   */
  interventions: PlannedIntervention[];
  /**
   * Hash of the interventions and of the audit that they refer to.
   */
  plan: string;
  /**
   * Hash of everything but the plan.
   */
  twin: string;
  /**
   * Hash of everything but plan and seed.
   */
  recipe: string;
  /**
   * Length and end of the training; None without its log.
   */
  reward_drift: RewardDrift | null;
}
/**
 * One intervention of a training's plan, as reports show it.
 */
export interface PlannedIntervention {
  /**
   * Direction, target and backend in words.
   */
  words: string;
  /**
   * suppress or amplify.
   */
  direction: string;
  /**
   * Target: a concept, or a response cluster of the audit; None for others.
   */
  response: string | null;
}
/**
 * Length of a training and where its rewards ended, in ``β · log(π/π_ref)`` of a response, as in DPO's loss.
 */
export interface RewardDrift {
  /**
   * Largest learning rate.
   */
  learning_rate: number;
  /**
   * Optimiser steps.
   */
  steps: number;
  /**
   * Mean reward of chosen minus rejected in the last steps, without shaping.
   */
  margin: number;
  /**
   * Mean reward of both responses in the last steps.
   */
  common: number;
}
/**
 * How the means of each prompt were read; validations can be compared if all but the table are equal.
 */
export interface PromptReading {
  /**
   * Statistic of a cluster's features.
   */
  statistic: string;
  /**
   * Tokens of a response that were read.
   */
  window: number | null;
  /**
   * Hash of the run's clusters.
   */
  clusters: string;
  /**
   * Concepts with their threshold or deviation.
   */
  concepts: [string, number | string][];
  /**
   * Hash of the table of means.
   */
  table: string;
}
/**
 * Agreement of one predictor in one view, the 95 % interval of its r, and what noise allows.
 *
 * ``share_of_attainable`` is ``r·|r|`` over the attainable r²; NaN if nothing is attainable.
 */
export interface ViewAgreement {
  n: number;
  r: number | null;
  spearman: number | null;
  slope: number | null;
  r2_fit: number | null;
  r2_out: number | null;
  top: TopSigns[];
  deciles: Decile[];
  r_low: number | null;
  r_high: number | null;
  share_of_attainable: number | null;
  ceiling: Ceiling;
}
/**
 * Signs of the ``k`` largest predictions.
 *
 * ``same_sign`` is the share observed with the predicted sign (½ by chance). ``confirmed`` counts the shifts whose
 * whole interval lies on the predicted side of 0, ``refuted`` those whose interval lies on the other side.
 */
export interface TopSigns {
  k: number;
  same_sign: number | null;
  confirmed: number;
  refuted: number;
}
/**
 * Mean predicted and mean observed shift of a tenth of the shifts, ranked by their prediction.
 */
export interface Decile {
  predicted: number | null;
  observed: number | null;
}
/**
 * What noise in the observed shifts allows: correlation of half-samples, reliability, and the largest r and r² that
 * a perfect prediction can be expected to reach. NaN if the halves cannot be correlated.
 */
export interface Ceiling {
  half_r: number | null;
  reliability: number | null;
  attainable_r: number | null;
  attainable_r2: number | null;
}
/**
 * The reason why a view has no agreement, for its ``n`` shifts.
 */
export interface NoAgreement {
  n: number;
  r: null;
  why: string;
  ceiling: Ceiling;
}
/**
 * Mean r over the repetitions of a control, its standard deviation, and the interval that holds 95 % of them.
 */
export interface ControlSpread {
  r: number | null;
  repetitions: number;
  sd: number | null;
  low: number | null;
  high: number | null;
}
/**
 * ``observed / sd = slope · predicted / sd ± residual_sd``, and the model, SAE and training that it holds for.
 */
export interface Calibration {
  /**
   * Predictor that is calibrated.
   */
  predictor: string;
  /**
   * Inverse ridge penalty of the predictor.
   */
  tilt_c: number;
  /**
   * Observed shift per predicted shift.
   */
  slope: number;
  /**
   * Spread around the line, in standard deviations of a readout.
   */
  residual_sd: number;
  /**
   * Readouts that the line was fitted on.
   */
  n: number;
  /**
   * Pearson correlation over these readouts.
   */
  r: number;
  /**
   * Tokens of a response that were read.
   */
  window: number;
  /**
   * Model before training.
   */
  model_fingerprint: string;
  /**
   * Encoder.
   */
  sae_fingerprint: string;
  /**
   * Preference set of the training.
   */
  data: string;
  /**
   * Length and end of the training; None without its log.
   */
  reward_drift: RewardDrift | null;
}
/**
 * A predicted and the observed shift of a response (cluster or concept) in a context.
 */
export interface ShownShift {
  predictor: string;
  view: string;
  context: string;
  response: string;
  predicted: number;
  observed: number;
  observed_low: number | null;
  observed_high: number | null;
}
/**
 * Any other JSON file under ``validation/``, or the reason why it is not shown; it has no shifts.
 */
export interface OtherDocument {
  name: string;
  document: unknown;
  shifts: ShownShift[];
}
/**
 * All comparisons of a run's validations, and the validations that are in none.
 */
export interface ArmComparisons {
  comparisons: ArmComparison[];
  left_out: LeftOut[];
}
/**
 * Arms with the same model before training, prompts and readouts; ``read`` prompts were read in every arm.
 */
export interface ArmComparison {
  before: string;
  prompts: number;
  read: number;
  health: {
    [k: string]: ArmEstimate;
  };
  tasks: string[];
  readouts: {
    [k: string]: number;
  };
  arms: ArmSummary[];
}
/**
 * A value, its interval over prompts, the value of each seed, and the interval over seeds (None for one seed).
 */
export interface ArmEstimate {
  value: number | null;
  low: number | null;
  high: number | null;
  by_seed: (number | null)[];
  seeds: [number | null, number | null] | null;
}
/**
 * One arm of a comparison: its trainings, its plan in words, the text's health, and what it changed.
 */
export interface ArmSummary {
  validations: string[];
  seeds: number[];
  twins: number;
  rows: string;
  words: string[];
  plain: boolean;
  health: {
    [k: string]: ArmEstimate;
  };
  capability: Capability | null;
  on: TargetRecovery[];
  off: {
    [k: string]: OffTarget;
  };
  responses: {
    [k: string]: ReadoutShift;
  };
}
/**
 * Mean over tasks, mean over seeds of each task, and the number of seeds that have scores.
 */
export interface Capability {
  mean: ArmEstimate;
  tasks: {
    [k: string]: number;
  };
  seeds: number;
}
/**
 * A target of a plan, and the reason why it has no recovery, if it has none.
 */
export interface TargetRecovery {
  response: string | null;
  direction: string;
  why: string | null;
}
/**
 * Recovery over the ``of`` readouts that plain DPO moved off target, as a mean and pooled; None for no readout.
 */
export interface OffTarget {
  of: number;
  mean: ArmEstimate | null;
  pooled: ArmEstimate | null;
}
/**
 * Shift of one readout in an arm, its difference from plain DPO, and its recovery.
 *
 * ``moved`` is 1 if plain DPO raised the readout, −1 if it lowered it, else 0.
 */
export interface ReadoutShift {
  view: string;
  moved: number;
  shift: ArmEstimate;
  against: ArmEstimate | null;
  recovery: ArmEstimate | null;
}
/**
 * A validation, or a file next to it, that is not compared, and the reason.
 */
export interface LeftOut {
  name: string;
  why: string;
}
/**
 * The summary without its findings, which the page takes from the tests.
 */
export interface SummaryCounts {
  rows: number | null;
  retained: number | null;
  q_threshold: number;
  rank_by: "delta_min" | "effect" | "d" | "z";
  views: {
    [k: string]: ViewCounts;
  };
}
/**
 * Tests of one view: made, not possible, and findings by direction.
 */
export interface ViewCounts {
  tested: number;
  untestable: number;
  power: string | null;
  repeated: number;
  members: number;
  found: {
    [k: string]: number;
  };
}
/**
 * The verdict: what a person can repeat (``leads``), the strongest risks and signals, how many there are, and what
 * could not be assessed (``open``).
 *
 * ``n_undecided`` counts the findings that are neither, because length or authorship may be all there is to them.
 */
export interface AuditVerdict {
  headline: string;
  leads: Lead[];
  risks: (RuleRisk | CannedRisk | JudgedFinding)[];
  signals: JudgedFinding[];
  n_risks: number;
  n_signals: number;
  n_undecided: number;
  open: NotAssessed[];
}
/**
 * What a person can repeat of a finding and all that say the same, over all views; ``members`` are some of them.
 */
export interface Lead {
  view: "global" | "feature" | "prompt";
  context: string;
  response: string;
  direction: "chosen" | "rejected";
  context_label: string;
  response_label: string;
  effect: number;
  win_rate: number | null;
  q: number;
  sentence: string;
  /**
   * The concept that the response is or follows.
   */
  concept: string | null;
  verdict: "holds" | "mostly length" | "mostly author" | "undecided";
  d: number;
  n_members: number;
  members: Member[];
}
/**
 * A finding that says the same as the one that it is listed with.
 */
export interface Member {
  view: "global" | "feature" | "prompt";
  context: string;
  response: string;
  direction: "chosen" | "rejected";
  context_label: string;
  response_label: string;
  effect: number;
  win_rate: number | null;
  q: number;
}
/**
 * A trivial rule that agrees or disagrees with the labels too often; effects are accuracies minus one half.
 */
export interface RuleRisk {
  view: "baseline";
  rule: string;
  title: string;
  accuracy: number;
  effect: number;
  effect_low: number;
  effect_high: number;
  decided: number | null;
  why: string;
  action: string;
}
/**
 * A text that wins or loses under many different prompts, more often than chance allows.
 *
 * Effects are win rates minus one half; ``rows`` and ``n`` count prompts: those on the winning side, and all.
 */
export interface CannedRisk {
  view: "canned";
  title: string;
  direction: "chosen" | "rejected";
  effect: number;
  effect_low: number;
  effect_high: number;
  rows: number;
  n: number;
  why: string;
  action: string;
}
/**
 * A finding, why it looks like a shortcut (empty if nothing says so), and the usual action.
 */
export interface JudgedFinding {
  view: "global" | "feature" | "prompt";
  context: string;
  response: string;
  direction: "chosen" | "rejected";
  effect: number;
  effect_low: number;
  effect_high: number;
  effect_adjusted: number | null;
  effect_adjusted_low: number | null;
  effect_adjusted_high: number | null;
  differ: number | null;
  win_rate: number | null;
  win_rate_low: number | null;
  win_rate_high: number | null;
  verdict: "holds" | "mostly length" | "mostly author" | "undecided";
  left: string;
  d: number;
  q: number;
  n: number;
  prompts: number;
  rows_affected: number;
  why: string;
  action: string;
}
/**
 * Something that the audit does not speak about; ``count`` is None if it cannot be counted.
 */
export interface NotAssessed {
  what: string;
  count: number | null;
  why: string;
}
/**
 * A cluster or concept; ``at`` is its place on the map, ``name`` the name that a language model gave it.
 */
export interface ShownCluster {
  kind: string;
  label: string;
  name: ClusterName | null;
  at?: number[];
  top_tokens: TopToken[];
  ngrams: TypicalNgram[];
  correlates: Correlate[];
  exemplars: ShownExemplar[];
  name_test?: NameTest;
  n_features?: number;
  stability?: number;
  n_rows?: number;
  n_spans?: number;
  n_spans_sampled?: number;
  detector?: string;
  layer?: number | null;
  pooling?: string;
  threshold?: number | null;
  held_out?: {
    [k: string]: unknown;
  };
}
/**
 * The name of one cluster and how it did in its blind test; an empty title where no name was given.
 *
 * ``score`` is balanced accuracy (0.5 is chance) with its 95 % interval; None where no test was made or answered. The
 * counts are of held-out texts: ``hits`` of ``strong`` ones were called fitting, and ``false_alarms`` of ``quiet``
 * ones; ``abstained`` of ``texts`` got no answer, for the reasons in ``failures``.
 */
export interface ClusterName {
  title: string;
  description: string;
  verified: boolean;
  reason: string | null;
  score: number | null;
  low: number | null;
  high: number | null;
  hits: number;
  strong: number;
  false_alarms: number;
  quiet: number;
  abstained: number;
  texts: number;
  failures: {
    [k: string]: number;
  };
}
/**
 * A token on which a cluster fires, and its share of the cluster's activity.
 */
export interface TopToken {
  token: string;
  weight: number;
  z: number;
}
/**
 * Words that are frequent in the texts of a cluster.
 */
export interface TypicalNgram {
  ngram: string;
  z: number;
  n_texts: number;
}
/**
 * A text rule and its correlation with a cluster.
 */
export interface Correlate {
  concept: string;
  r: number;
}
/**
 * An excerpt of a row in which a cluster is strong (``nearest``) or which was drawn at random from it.
 */
export interface ShownExemplar {
  row_id: string;
  index: number;
  side: string;
  kind: "nearest" | "random";
  tokens: string[];
  text: string;
}
/**
 * Phrases that may name a cluster, and the area under the curve with which they find it on other prompts.
 *
 * They are shown as its name if ``low``, the lower end of the 95 % interval, is above 0.5.
 */
export interface NameTest {
  phrases: string[];
  auc: number | null;
  low: number | null;
  high: number | null;
}
/**
 * How rows are cut into parts: ``piece`` rows of texts in one, ``token_piece`` rows of tokens.
 *
 * ``evidence`` says that texts lie beside the page, but for those of the part ``evidence``; ``tokens`` are the rows
 * that have tokens.
 */
export interface RowsOnPage {
  n: number;
  piece: number;
  evidence: boolean;
  tokens: number[];
  token_piece: number;
  scales: {
    [k: string]: ColourScale;
  };
}
export interface ColourScale {
  from: number;
  to: number;
}
/**
 * Columns of all rows.
 */
export interface RowColumns {
  index: Packed;
  prompt: Packed;
  source: CodedNames;
  chosen_model: CodedNames;
  rejected_model: CodedNames;
  data: Packed;
  prompt_tokens: Packed;
  chosen_tokens: Packed;
  rejected_tokens: Packed;
  top: TopSignals;
}
/**
 * An array: its type, and its little-endian values in C order as base64.
 */
export interface Packed {
  t: "i8" | "u8" | "u16" | "i32" | "u32" | "f32";
  b: string;
}
/**
 * A column of names: the distinct names, and the number of each row's.
 */
export interface CodedNames {
  names: string[];
  code: Packed;
}
/**
 * For each row, ``top`` responses by number in ``ids``, and their signals in tenths of a standard deviation.
 */
export interface TopSignals {
  ids: string[];
  top: number;
  response: Packed;
  value: Packed;
}
/**
 * The tests as columns; contexts and responses are numbers of ``names``, views and verdicts of theirs.
 *
 * ``repeats`` is the context whose finding a test repeats, or the empty name.
 */
export interface TestColumns {
  names: string[];
  views: ("global" | "feature" | "prompt")[];
  verdicts: ("holds" | "mostly length" | "mostly author" | "undecided")[];
  total: number;
  view: Packed;
  context: Packed;
  response: Packed;
  n: Packed;
  prompts: Packed;
  verdict: Packed;
  repeats: Packed;
  stable: Packed;
  effect: Packed;
  effect_low: Packed;
  effect_high: Packed;
  effect_length_adjusted: Packed;
  effect_adjusted: Packed;
  effect_adjusted_low: Packed;
  effect_adjusted_high: Packed;
  support: Packed;
  differ: Packed;
  win_rate: Packed;
  win_rate_low: Packed;
  win_rate_high: Packed;
  d: Packed;
  z: Packed;
  p: Packed;
  q: Packed;
  delta_min: Packed;
}
/**
 * For each SAE feature, the number of its response (R), shift (S) and prompt (P) cluster; 0: in none.
 */
export interface ClustersOfFeatures {
  R: Packed;
  S: Packed;
  P: Packed;
}
/**
 * An array of numbers as bytes: ``scale · v``.
 */
export interface SignedBytes {
  scale: number;
  v: Packed;
}
/**
 * Messages, metadata and tools of a row.
 */
export interface RowText {
  prompt: {
    [k: string]: unknown;
  }[];
  chosen: {
    [k: string]: unknown;
  }[];
  rejected: {
    [k: string]: unknown;
  }[];
  metadata: {
    [k: string]: unknown;
  };
  tools?: unknown[];
}
/**
 * Tokens of a row.
 */
export interface RowTokens {
  prompt: SpanTokens;
  chosen: SpanTokens;
  rejected: SpanTokens;
}
/**
 * Tokens of a span, the peaks of features in it, and the colour of each token by concept.
 */
export interface SpanTokens {
  tokens: string[];
  peaks: SpanPeaks;
  concepts: {
    [k: string]: Packed | null;
  };
}
/**
 * Features with the strongest peaks of a span, their tokens, and activations in 1/255 of ``largest``.
 */
export interface SpanPeaks {
  feature: Packed;
  at: Packed;
  value: Packed;
  largest: number;
}
