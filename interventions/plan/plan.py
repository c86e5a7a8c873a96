"""Plans: what a person decided about concepts, and the backend that carries each decision out in training.

A plan is a YAML file. Nobody types a sign: an intervention says ``suppress`` or ``amplify`` and a strength of 0 or
more; what that means in each backend is said at its options. Strength 0 does nothing at all. The file says the version
of its schema (``schema_version``); a plan written by hand may leave it out, and is then read as the current one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from anatomy.artifacts import read_yaml, write_text
from anatomy.errors import PlanError, shown
from anatomy.settings import Settings, listed

Direction = Literal["suppress", "amplify"]
DecisionKind = Literal["keep", "remove", "suppress", "amplify"]
BACKENDS = ("filtering", "inoculation", "steering", "reward_shaping")
CLUSTER = r"^[RSDP]\d+$"
CONDITION = r"^([DP]\d+|[^=]+=.*)$"
SWITCHES = "strength is 0 (off) or 1 (on) for this backend; how much is done is said by its options"


class FilteringOptions(Settings):
    """What is left out. One of three rules picks the rows of a scored target.

    ``top``: the share of all rows with the largest score gap in the direction, chosen over rejected when suppressing
    and rejected over chosen when amplifying; a gap of the other sign is never picked. ``threshold`` or ``side``: rows
    of which that side scores at least the threshold. Neither: rows whose gap in the direction is more than one
    standard deviation of all responses.

    Leaving tokens out can only suppress, and not all of it: plain tokens in the same place of the other side are still
    pushed down, and the concept rises by what they lose.
    """

    drop: Literal["examples", "tokens", "words"] = Field(
        "examples", description="Whole rows, or the tokens or words at the threshold, out of the log-probability sums."
    )
    top: float | None = Field(None, ge=0, le=1, description="Share of the rows, by score gap in the direction.")
    threshold: float | None = Field(
        None, allow_inf_nan=False, description="Score from which on a side, or a token, is picked; default: detector's."
    )
    side: Literal["chosen", "rejected", "either"] | None = Field(
        None, description="Side looked at; default: of rows, the one that teaches against; of tokens, either."
    )
    swap: bool = Field(False, description="Swap chosen and rejected instead of dropping the row.")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.top is not None and (self.threshold is not None or self.side is not None or self.drop != "examples"):
            raise ValueError("`top` picks rows by itself; leave out `threshold`, `side` and `drop: tokens | words`")
        if self.swap and self.drop != "examples":
            raise ValueError("`swap` takes whole rows; leave out `drop`")
        return self


class InoculationOptions(Settings):
    """An instruction at the end of the last user turn of flagged rows, seen by the policy alone.

    One that asks for the concept explains it away. To amplify, give one that asks for the opposite.
    """

    instruction: str | None = Field(None, min_length=1, description="The sentence; default: the concept's own.")
    flagged: Literal["either", "chosen"] = Field("either", description="Side that must show the concept.")
    side: Literal["both", "chosen"] = Field("both", description="Side of a flagged row that gets the instruction.")
    threshold: float | None = Field(
        None,
        allow_inf_nan=False,
        description="Score that flags; default: the detector's, or one deviation above the mean of all responses.",
    )


class SteeringOptions(Settings):
    """``h_l ← h_l + α·v``, ``v`` the detector's direction at length 1 and ``α`` the strength (method.md §9).

    The strength is the paper's α, a length in units of the residual stream. The vector points towards the concept when
    suppressing, on either side: to first order the steered policy then gives the side that shows more of it the higher
    probability, which explains the preference. It points away from it when amplifying. If both sides are steered alike,
    the optimum's policy is shifted back by what the vector did. Steering one side alone also changes gradients, and the
    rejected side alone keeps its direction only at small strengths (measured in ``experiments/poisoning``).
    """

    layer: int | None = Field(None, ge=0, description="Block after which it is added, from 0; default: the detector's.")
    side: Literal["both", "chosen", "rejected"] = Field("both", description="Side that is steered.")
    top: float | None = Field(
        None, ge=0, le=1, description="Share of the rows, by score gap of chosen over rejected; default: all rows."
    )


class ShapingOptions(Settings):
    """Offset ``±strength · (s̃⁺ − s̃⁻)`` inside the log-sigmoid (method.md §9)."""

    rows: str | None = Field(
        None,
        pattern=CONDITION,
        description="Shape these rows only: a cluster of rows (`D4`, `P7`) or `column=value`.",
    )


class Target(Settings):
    """What an intervention is about (one of four), which way, and how strongly."""

    concept: str | None = Field(None, min_length=1, description="Id in the library, or folder of a saved detector.")
    cluster: str | None = Field(None, pattern=CLUSTER, description="Cluster of the audit: R12, S3; of rows: D4, P7.")
    rows: tuple[str, ...] | None = Field(None, min_length=1, description="Row ids.")
    source: str | None = Field(None, pattern=r"^[^=]+=.*$", description="Rows of a source, as `column=value`.")
    direction: Direction = Field(description="suppress or amplify.")
    strength: float = Field(1.0, allow_inf_nan=False, description="How strongly, 0 or more; what it means: backend.")
    backend: str

    @field_validator("strength")
    @classmethod
    def _no_sign(cls, value: float) -> float:
        if value < 0:
            raise ValueError(
                f"directions are said in words, strengths are 0 or more: write {-value:g} with the other `direction`"
            )
        return value

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        given = [name for name in ("concept", "cluster", "rows", "source") if getattr(self, name) is not None]
        if len(given) != 1:
            text = " and ".join(given) or "none"
            raise ValueError(f"name exactly one of `concept`, `cluster`, `rows`, `source`; found {text}")
        if not self.is_scored and (self.backend, self.direction) != ("filtering", "suppress"):
            raise ValueError(f"{self.name} names rows, without a score: it can be filtered only, `direction: suppress`")
        return self

    @property
    def name(self) -> str:
        """The target in words; key of its scores, or of its rows."""
        return self.concept or self.cluster or self.source or f"{len(self.rows or ())} rows named"

    @property
    def is_scored(self) -> bool:
        """Whether a detector scores responses for it; otherwise it names rows."""
        return self.concept is not None or (self.cluster is not None and self.cluster[0] in "RS")

    @property
    def condition(self) -> str | None:
        """The cluster of rows, or ``column=value``, whose rows it must know; None if there is none."""
        return None if self.is_scored else self.cluster or self.source


class Filtering(Target):
    """Rows or tokens are left out of training."""

    backend: Literal["filtering"]
    options: FilteringOptions = FilteringOptions()

    @model_validator(mode="after")
    def _on_or_off(self) -> Self:
        if self.strength not in (0, 1):
            raise ValueError(SWITCHES)
        picks = self.options.model_dump(exclude_defaults=True, exclude={"swap"})
        if not self.is_scored and picks:
            raise ValueError(f"{self.name} says itself which rows; leave out {', '.join(picks)}")
        if self.direction == "amplify" and self.options.drop != "examples":
            raise ValueError("tokens can be left out to suppress only; amplify by whole rows or another backend")
        return self


class Inoculation(Target):
    """The policy is asked for the concept while it is trained."""

    backend: Literal["inoculation"]
    options: InoculationOptions = InoculationOptions()

    @model_validator(mode="after")
    def _on_or_off(self) -> Self:
        if self.strength not in (0, 1):
            raise ValueError(SWITCHES)
        if self.options.instruction is None and (self.direction == "amplify" or self.concept is None):
            asks = "the opposite of the concept, to amplify it" if self.direction == "amplify" else "the concept"
            raise ValueError(f"`options.instruction` is needed here: a sentence that asks for {asks}")
        return self


class Steering(Target):
    """A vector is added to the policy's residual stream while it is trained."""

    backend: Literal["steering"]
    options: SteeringOptions = SteeringOptions()


class RewardShaping(Target):
    """An offset stands beside the reward margin while the policy is trained."""

    backend: Literal["reward_shaping"]
    options: ShapingOptions = ShapingOptions()

    @property
    def condition(self) -> str | None:
        """The rows that are shaped; None: all."""
        return self.options.rows


Intervention = Annotated[Filtering | Inoculation | Steering | RewardShaping, Field(discriminator="backend")]


class Decision(Settings):
    """What a person decided on a finding, kept with the plan."""

    target: str = Field(min_length=1, description="Cluster of the audit, or concept.")
    decision: DecisionKind = Field(description="keep, remove, suppress or amplify.")
    comment: str = Field("", description="Why.")


class Plan(Settings):
    """All interventions of one training run."""

    VERSION: ClassVar[int] = 1
    """Version of the schema: raise it whenever fields change, here and in ``plan.js`` of the page."""

    run: Path | None = Field(None, description="The audit whose clusters and rows are meant.")
    run_id: str | None = Field(None, description="Which clusters of that audit are meant: it may be made again.")
    interventions: tuple[Intervention, ...] = Field((), description="What is done.")
    decisions: tuple[Decision, ...] = Field((), description="What a person decided, on which finding.")

    @model_validator(mode="after")
    def _run_of_clusters(self) -> Self:
        if self.run is None and self.clusters:
            raise ValueError(f"{', '.join(self.clusters)} belong to an audit; name its directory as `run`")
        return self

    @property
    def clusters(self) -> list[str]:
        """Clusters of the audit that interventions name, as targets or as conditions."""
        named = [name for item in self.interventions for name in (item.cluster, item.condition)]
        return list(dict.fromkeys(name for name in named if name and "=" not in name))

    @property
    def detector_names(self) -> dict[str, str]:
        """By name of each scored target, the detector that scores it: a concept, a folder, or ``RUN#R12``."""
        scored = [item for item in self.interventions if item.is_scored]
        return {item.name: f"{self.run}#{item.cluster}" if item.cluster else item.name for item in scored}


def from_paper(lambda_: float, **fields: Any) -> RewardShaping:
    """The paper's signed weight as an intervention: positive suppresses, negative amplifies (method.md §9).

    The only place where a sign is typed. ``fields`` are those of :class:`RewardShaping`, as ``concept="refusal"``.
    """
    direction: Direction = "suppress" if lambda_ >= 0 else "amplify"
    return RewardShaping(backend="reward_shaping", direction=direction, strength=abs(lambda_), **fields)


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        PlanError: the file cannot be read, is no plan (all faults at once), or is of another schema version.
    """
    values = read_yaml(path, "plan", PlanError, "; make one with `anatomy plan RUN`")
    if not isinstance(values, dict):
        raise PlanError(f"{path}: expected `interventions:` and a list, found {type(values).__name__}")
    version = values.pop("schema_version", Plan.VERSION)
    if type(version) is not int or version != Plan.VERSION:
        raise PlanError(
            f"{path}: a plan of schema version {str(version)[:60]!r}, and {Plan.VERSION} is read here; make it again "
            "with `anatomy plan RUN`"
        )
    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        raise PlanError(f"{path}: {faults_of(error)}") from None


def save_plan(path: Path, plan: Plan) -> None:
    """Write a plan as YAML."""
    write_text(path, to_yaml(plan))


def to_yaml(plan: Plan) -> str:
    """A plan as YAML, which :func:`load_plan` reads to the same plan."""
    import yaml

    values = {"schema_version": plan.VERSION, **plan.model_dump(mode="json", exclude_none=True)}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def faults_of(error: ValidationError) -> str:
    """All faults of a plan, in one line."""
    return listed([_fault(dict(item)) for item in error.errors()])


def _fault(item: dict[str, Any]) -> str:
    """One of pydantic's faults in words: ``intervention 2, strength: …``."""
    loc = [part for part in item["loc"] if part not in BACKENDS]
    place = [f"{loc[0][:-1]} {loc[1] + 1}", *map(str, loc[2:])] if len(loc) > 1 else [str(part) for part in loc]
    text = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        text = f"unknown key (allowed: {', '.join(_allowed(item['loc']))})"
    elif item["type"] == "union_tag_not_found":
        text = f"`backend` is required: {', '.join(BACKENDS)}"
    elif item["type"] == "union_tag_invalid":
        text = f"no backend {shown(item['ctx']['tag'])}; there are {', '.join(BACKENDS)}"
    elif not item["msg"].startswith("Value error, ") and item["type"] != "missing":
        text += f", found {shown(item['input'])}"
    return f"{', '.join(place)}: {text}" if place else text


def _allowed(loc: tuple[Any, ...]) -> list[str]:
    """Keys that are known where an unknown one stands."""
    kinds = dict(zip(BACKENDS, (Filtering, Inoculation, Steering, RewardShaping), strict=True))
    if len(loc) == 1:
        return ["schema_version", *Plan.model_fields]
    if loc[0] == "decisions":
        return list(Decision.model_fields)
    kind = kinds[loc[2]]
    return list(type(kind.model_fields["options"].default).model_fields if "options" in loc else kind.model_fields)
