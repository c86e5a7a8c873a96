"""Typed settings: one source for flags, YAML keys, validation and the manifest.

Each stage reads one of these models; a verb's settings are the union of its stages' models. Unknown keys are
refused and all errors are reported at once. ``None`` means "scale with the data": the resolved value is recorded
in the manifest and printed, never applied silently.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from anatomy.artifacts import read_yaml
from anatomy.errors import SettingsError, shown
from anatomy.text.redaction import HIDDEN, redacted

MOST_FAULTS = 12

Device = Literal["auto", "cpu", "cuda", "mps"]
RowFormat = Literal["auto", "explicit", "implicit", "full-conversations", "hh", "sharegpt"]


RECIPES = Path(__file__).parents[1] / "configs" / "recipes"
"""Recipes of trainings, which lie beside the package in a checkout."""


def expanded(where: str | Path) -> Path:
    """``where`` with ``~`` written out; as it is where there is no such user."""
    return Path(os.path.expanduser(where))


def _absolute(where: str) -> str:
    folder = expanded(where)
    return str(folder.absolute()) if where.strip() and folder.is_dir() else where


Address = Annotated[str, PlainSerializer(redacted)]
"""An address that may hold a key: what is written of settings leaves it out; its field has ``repr=False``."""
FolderOrId = Annotated[str, AfterValidator(_absolute)]
"""A Hub id, or a folder: kept with its whole path, so that what records it can be read from any working directory."""


MOST = 2**53
"""Largest whole number of a setting: numbers beyond it are not exact in JSON, nor fit into 64 bits when multiplied."""
MOST_SEED = 2**32 - 1
"""Largest seed that every library here takes."""


class Settings(BaseModel):
    """Base of every settings model: frozen, unknown keys, empty text, NaN, infinity and huge numbers refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _usable(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        if isinstance(value, str) and not value.strip() and cls.model_fields[name].default != "":
            raise ValueError("is empty; leave it out")
        if isinstance(value, int) and abs(value) > (MOST_SEED if name.endswith("seed") else MOST):
            raise ValueError(f"is more than {MOST_SEED if name.endswith('seed') else MOST}")
        return value


def _parts(text: object) -> object:
    """The parts of a text between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _roles(text: object) -> object:
    """``role=column,role=column`` as a mapping."""
    if not isinstance(text, str):
        return text
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not pairs or not all(equals for _, equals, _ in pairs):
        raise ValueError("write role=column,role=column, or name a YAML file of them that is there")
    return {role.strip(): column.strip() for role, _, column in pairs}


Names = Annotated[tuple[str, ...], BeforeValidator(_parts)]
"""Names, or one text with commas between them."""
Roles = Annotated[dict[str, str], BeforeValidator(_roles)]
"""Columns by role, or one text ``role=column,role=column``."""


class RowSettings(Settings):
    """The source of the rows, and how to read them."""

    rows: str = Field(description="Hub id, file, folder or glob (parquet, arrow, JSON, JSONL, CSV; gzipped or not).")
    config: str | None = Field(None, description="Hub configuration name.")
    split: str | None = Field(
        None,
        description="Split on the Hub, or of files in a folder that are named so; default: train, or the only one.",
    )
    revision: str | None = Field(None, description="Hub revision (commit, tag or branch).")
    format: RowFormat = Field("auto", description="Row format; recognised from the columns by default.")
    map: Roles | None = Field(
        None,
        description="Columns by role, as role=column,role=column or a YAML file; `a.b` is a path, `a+b` joins texts. "
        "Overrules what is recognised.",
    )
    label: str | None = Field(None, description="Column that says which response is better, where several do.")
    score: str | None = Field(None, description="Column of scores that says how good each response is.")
    pairs: Literal["best-worst", "all", "adjacent"] = Field(
        "best-worst", description="Which pairs are made of more than two responses to a prompt."
    )
    group_by: Names | None = Field(None, description="Columns, with commas, whose values are groups to show.")
    most_faulty: float = Field(0.2, ge=0, le=1, description="Share of rows that may be unreadable.")
    limit: int | None = Field(None, ge=1, description="Read at most this many rows.")
    sample: int | None = Field(None, ge=1, description="Keep a random sample of this many rows, spread over the set.")
    seed: int = Field(0, ge=0, description="Seed of everything random in the run.")


class SubjectSettings(Settings):
    """Which model is loaded, and what it may run: only ever what a command line or its own settings file says."""

    model: FolderOrId | None = Field(
        None, description="Hub id or folder of the model that will be trained; default: the laptop model."
    )
    model_revision: str | None = Field(None, description="Hub revision of the model.")
    chat_template: Path | None = Field(None, description="Jinja file, for a model that has no chat template.")
    trust_remote_code: bool = Field(
        False, description="Run code that comes with the model; off unless you ask for it here."
    )


class ModelSettings(SubjectSettings):
    """The subject model, and how it is run."""

    max_length: int = Field(
        1024, ge=16, le=65_535, description="Tokens kept of prompt plus response, template included."
    )
    max_prompt_length: int = Field(
        512,
        ge=8,
        description="Tokens kept of the prompt (its end), template included; the response keeps its start.",
    )
    max_response_length: int | None = Field(
        None, ge=1, description="Tokens kept of the response (its start); default: as many as `max_length` leaves."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is fast.")
    device: Device = Field("auto", description="auto: CUDA, then MPS, then CPU.")
    batch_tokens: int = Field(8192, ge=64, description="Padded tokens in one forward pass.")


class TrainingLength(Settings):
    """The window of the training that is planned, beside that of the audit."""

    train_length: int | None = Field(
        None,
        ge=16,
        le=1_000_000,
        description="Tokens of prompt plus response in the training, or a recipe's file or name: counts rows it cuts.",
    )


class CheckSettings(RowSettings, ModelSettings, TrainingLength):
    """Data health: the rows, and the tokenizer that measures them."""


class SAESettings(Settings):
    """The sparse autoencoder."""

    sae: FolderOrId | None = Field(
        None, description="sae-lens `release/id` or a local sae-lens folder; default: the laptop model's own."
    )
    force: bool = Field(False, description="Continue although the SAE is unhealthy on these rows.")


class HarvestSettings(RowSettings, ModelSettings, SAESettings):
    """Everything that decides the pooled features."""


class ResponseClusterSettings(Settings):
    """Response clusters (method.md §4)."""

    edge_fraction: float = Field(0.01, gt=0, le=1, description="Share of feature pairs kept as graph edges.")
    resolution: float | None = Field(
        None, gt=0, description="Least mean correlation in a cluster; default: 0.35, or what chance makes if larger."
    )
    min_community: int = Field(4, ge=1, description="Communities of fewer features are dissolved.")
    graph_samples: int = Field(100_000, ge=100, description="Responses sampled for the co-firing graph.")


class ClusterSettings(ResponseClusterSettings):
    """Response clusters, data clusters, prompt clusters (method.md §4–6)."""

    response_clusters: Path | None = Field(
        None, description="File that `anatomy sae cluster` wrote; default: the one that lies with the SAE, if any does."
    )
    cluster_on_rows: bool = Field(False, description="Make response clusters from these rows, not from such a file.")
    silent_fraction: float = Field(0.05, ge=0, lt=1, description="Rows with least activity, left out of every test.")
    data_clusters: int | None = Field(None, ge=1, description="K of spherical k-means; default: by power, at most 512.")
    prompt_clusters: int | None = Field(None, ge=1, description="Clusters of prompt features; default scales, ≤ 512.")
    shift_clusters: int | None = Field(None, ge=1, description="Clusters of response deltas; default scales, ≤ 512.")
    embedding_rows: int = Field(30_000, ge=10, description="Rows sampled for the feature embedding (SVD).")
    embedding_dim: int = Field(128, ge=2, description="Components of the randomised SVD.")
    min_fires: int | None = Field(
        None,
        ge=1,
        description="Rows a feature must fire on in the prompt view; default: 200 at 260k rows, at least 20.",
    )


class EffectSettings(Settings):
    """What decides the tests and their numbers (method.md §5–6)."""

    tau: float = Field(0.01, gt=0, lt=1, description="A feature is present when it fires on more than this share.")
    min_features: int = Field(4, ge=1, description="Features a response cluster needs to be tested.")
    min_rows: int = Field(25, ge=2, description="Rows a context needs to be tested.")
    prompt_statistic: Literal["max", "freq"] = Field("freq", description="Pooled statistic of the prompt view.")
    prompt_score: Literal["fires", "value"] = Field("fires", description="Prompt score: firing indicator or value.")
    top_rows: int | None = Field(None, ge=2, description="Rows in a prompt context; default: 2 % of rows, at least 50.")


class FindingSettings(Settings):
    """What decides which tests are reported, in which order, and what is expected of them."""

    rank_by: Literal["delta_min", "effect", "d", "z"] = Field("delta_min", description="Ranking key.")
    calibration: Path | None = Field(
        None, description="File that `anatomy validate` wrote for this model: findings say what shift to expect."
    )
    q_threshold: float = Field(0.05, gt=0, lt=1, description="False discovery rate of what is reported as a finding.")


class HypothesisSettings(FindingSettings, EffectSettings):
    """Tests and findings."""


class ConceptSettings(Settings):
    """Named concepts, tested beside the clusters."""

    concepts: str | None = Field(
        None,
        description="Concepts to test, with commas: ids with a text heuristic (`anatomy concepts list`), or folders "
        "that `anatomy probe fit` wrote; default: all that have a text heuristic; `none`: no concepts.",
    )
    concepts_file: Path | None = Field(None, description="YAML file with further concepts.")


class BaseRolloutSettings(Settings):
    """The model's own responses."""

    base_rollouts: FolderOrId | None = Field(
        None,
        description="Rollouts of the model before training (`anatomy rollout`), for a calibration whose predictor "
        "reads the model's own responses.",
    )


class AuditSettings(
    HarvestSettings, TrainingLength, ClusterSettings, HypothesisSettings, ConceptSettings, BaseRolloutSettings
):
    """All stages."""


class ReaderSettings(SubjectSettings, SAESettings, ConceptSettings):
    """Model, SAE and concepts of a run that is opened again, if they are not the defaults."""

    device: Device | None = Field(None, description="Device of the model; default: as in the run.")


class RetestSettings(SubjectSettings, HypothesisSettings):
    """Tests and findings of a run that is opened again, and the tokenizer that its texts are shown with."""


PLACES = (
    "rows", "config", "split", "revision", *SubjectSettings.model_fields, "sae",
    "concepts", "concepts_file", "calibration", "base_rollouts", "response_clusters",
)  # fmt: skip
"""Settings of an audit that name what is loaded or may run. What a run directory says of them counts for nothing."""


class SAEFitSettings(Settings):
    """How a BatchTopK SAE is fitted to activations (method.md §3)."""

    k: int = Field(128, ge=1, description="Features active per token, on average over a batch.")
    epochs: int = Field(2, ge=1, description="Passes over the activations.")
    batch: int = Field(4096, ge=1, description="Activations in one step.")
    learning_rate: float = Field(3e-4, gt=0, description="Adam's peak learning rate.")
    warm_up: float = Field(0.02, ge=0, lt=1, description="Share of the steps with a rising learning rate.")
    decay: float = Field(0.2, ge=0, lt=1, description="Share of the steps, at the end, with a rate falling to 0.")
    auxiliary: float = Field(1.0, ge=0, description="Weight of the loss that revives dead features.")
    dead_tokens: int = Field(10_000_000, ge=1, description="Tokens without firing that make a feature dead.")
    buffer_tokens: int = Field(1 << 20, ge=1, description="Activations loaded and shuffled together.")
    checkpoint_tokens: int = Field(50_000_000, ge=1, description="Tokens between checkpoints.")
    seed: int = Field(0, ge=0, description="Seed of the initial weights and of every shuffle.")


class CorpusSource(RowSettings):
    """One source of the SAE's training text."""

    kind: Literal["pairs", "conversations", "text"] = Field(
        "pairs", description="Preference rows, chats (`messages`, `conversation(s)`), or plain text (`text`)."
    )
    weight: float = Field(1.0, gt=0, description="Share of the mixture's tokens, relative to the other sources.")


class SAETrainSettings(ModelSettings, SAEFitSettings):
    """Everything that decides a trained SAE. Layer and corpus have no default: the paper states two of each."""

    layer: int = Field(ge=0, description="Block after which the residual stream is read, counted from 0.")
    corpus: tuple[CorpusSource, ...] = Field(min_length=1, description="Sources of text; a path or id, or a list.")
    expansion: int = Field(16, ge=1, description="Features per residual dimension.")
    features: int | None = Field(None, ge=1, description="Number of features; default: expansion x width.")
    tokens: int | None = Field(None, ge=1, description="Distinct tokens to train on; default: the whole corpus.")
    held_out: float = Field(0.02, gt=0, lt=0.5, description="Share of prompts kept out of training, by their hash.")
    held_out_tokens: int = Field(200_000, ge=1, description="Held-out tokens measured, at most.")
    cache_tokens: int = Field(
        20_000_000, ge=0, description="Activations kept on disk (2 bytes x width a token) if the corpus is no larger."
    )

    @field_validator("corpus", mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        items = [value] if isinstance(value, str | dict) else value
        return [{"rows": item} if isinstance(item, str) else item for item in items]


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(kind: type[SettingsT], flags: dict[str, Any], config: str | Path | None = None) -> SettingsT:
    """Merge a YAML file with command-line flags (flags win) and validate.

    Raises:
        SettingsError: the file is missing or not a mapping, or any key or value is wrong; all faults in one line.
    """
    values: dict[str, Any] = {}
    if config is not None:
        loaded = read_yaml(Path(config), "configuration")
        if not isinstance(loaded, dict):
            raise SettingsError(f"{config}: expected `key: value` lines, found {type(loaded).__name__}")
        values.update({_key(key): value for key, value in loaded.items()})
    values.update({key: value for key, value in flags.items() if value is not None})
    if isinstance(values.get("map"), str) and expanded(values["map"]).is_file():
        values["map"] = read_yaml(expanded(values["map"]), "map of columns")
    if "train_length" in kind.model_fields and isinstance(values.get("train_length"), str):
        values["train_length"] = _length_of(values["train_length"])
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = [_fault(kind, dict(item)) for item in error.errors()]
        where = f"{config}: " if config is not None else ""
        raise SettingsError(where + listed(faults)) from None


def _length_of(text: str) -> Any:
    """A number of tokens, or the `max_length` of the recipe that is named in its place: its file, or a name of ours."""
    with contextlib.suppress(ValueError):
        float(text)
        return text
    shipped = {path.stem: path for path in sorted(RECIPES.glob("*.yaml"))}
    path = shipped.get(text, expanded(text)) if not expanded(text).is_file() else expanded(text)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        names = ", ".join(shipped) or "none here"
        raise SettingsError(f"train_length: no number of tokens, file or recipe {shown(text)} (recipes: {names})")
    recipe = read_yaml(path, "recipe")
    if not isinstance(recipe, dict) or "max_length" not in recipe:
        raise SettingsError(f"train_length: neither a number of tokens nor a recipe with `max_length` ({shown(text)})")
    return recipe["max_length"]


def _key(key: object) -> str:
    return key.replace("-", "_") if isinstance(key, str) else shown(key)


def listed(faults: Sequence[str], separator: str = "; ") -> str:
    """The first faults of a file on one line, and how many more there are."""
    more = [f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
    return separator.join([*faults[:MOST_FAULTS], *more])


def _fault(kind: type[Settings], item: dict[str, Any]) -> str:
    key = ".".join(str(part)[:80] for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown setting `{key}` (allowed: {', '.join(sorted(kind.model_fields))})"
    if item["type"] == "missing":
        return f"`{key}` is required"
    value = HIDDEN if key.endswith("url") else shown(item["input"])  # an address that is none may still hold a key
    return f"`{key}` = {value}: {item['msg'][0].lower()}{item['msg'][1:300]}"
