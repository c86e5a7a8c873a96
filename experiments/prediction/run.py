"""Predict, train, observe: ``python -m experiments.prediction.run --data DIR --out DIR``; killed, it goes on.

Every step is a process of its own, nearly all verbs of the command line, and is passed over when its result is there.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anatomy import artifacts
from anatomy.prediction.attribution import SHARES
from experiments.prediction.near import LIKELY
from experiments.prediction.preference_sets import HELD_OUT, SCORES, SETS, TRAIN, swap, without, write_split
from experiments.step import Steps, step

RECIPE = Path(__file__).parents[2] / "configs" / "recipes" / "laptop.yaml"
CONCEPTS = "bold,lists,headings,hyperlinks,em-dash,emoji,table,refusal,length"
PREDICTORS = (
    "disparity,continuous,on-policy,gradient,tilt,tilt-within,tilt-policy,sgd,activations,sharpened,adam,temperature"
)
TRACED_BY, SUREST, AMONG = "gradient", "surest", 10
"""Predictor of the leave-out curve; the word for the surest observed shift among the ten of the largest prediction."""
SWAPPED, RATE, AGAIN = "swapped", "rate-", "before-again"
CHOSEN_ON = ("alpaca_eval", "sharegpt")
"""The sets on which a predictor may be chosen; the others report."""


@dataclass(frozen=True)
class Plan:
    """What is run, for one set after the other."""

    data: Path
    out: Path
    arguments: argparse.Namespace
    step: Steps = step

    def one_set(self, name: str) -> None:
        """Train and validate one set, by two sampling seeds; and how many held-out pairs each training moved."""
        folder, seeds = self.out / name, self.arguments.train_seeds
        self.whole(name, folder / AGAIN)
        self.step.together([
            partial(self.sampled_again, name, seeds[0]),
            partial(self.score, name, None, folder),
            *[partial(self.score, name, part / "model", part) for part in (folder / f"train-{seed}" for seed in seeds)],
        ])  # fmt: skip

    def sampled_again(self, name: str, seed: int) -> None:
        """Validate a training by completions of another sampling seed on both sides."""
        folder, after = self.out / name, self.out / name / f"after-{seed}-again"
        self.rollouts(name, after, folder / f"train-{seed}" / "model", seed=1)
        self.validate(name, folder / AGAIN, after, seed, folder / f"validate-{seed}-again", folder / "before")

    def validate_whole(self, name: str, seed: int, other: Path | None) -> None:
        """Compare what a training on all rows did with what was predicted."""
        folder = self.out / name
        self.validate(name, folder / "before", folder / f"after-{seed}", seed, folder / f"validate-{seed}", other)

    def completions_after(self, name: str, folder: Path, seed: int, rate: float | None = None) -> None:
        """Train on the rows of a folder, and complete the held-out prompts of the set."""
        trained, after = folder / f"train-{seed}", folder / f"after-{seed}"
        self.train(name, folder / TRAIN, trained, seed, rate)
        self.rollouts(name, after, trained / "model", seed=0)

    def split(self, name: str) -> None:
        """Divide a set into pairs to train on and held-out prompts."""
        a, folder = self.arguments, self.out / name
        if not (folder / TRAIN).is_file():
            write_split(self.data, name, folder, a.pairs, self.held_out(name)[0], a.longest_prompt)

    def audit(self, name: str) -> None:
        """Audit what is trained on."""
        a, folder = self.arguments, self.out / name
        window = ["--max-response-length", a.tokens, "--max-length", a.max_length]
        window += ["--settings", a.audit] if a.audit else []
        self.step("anatomy", "audit", folder / TRAIN, *self.model(), *self.sae(), *window, "--concepts", CONCEPTS,
                "--out", folder / "run")  # fmt: skip

    def leave_out(self, name: str, clusters: Sequence[str]) -> None:
        """Train on all rows, without those that carry a cluster's predicted shift, and without as many random ones.

        The rows of two arms line up, so that trainings of one seed differ by the rows left out and by nothing else.
        """
        folder, seeds = self.out / name, self.arguments.train_seeds
        self.whole(name)
        chosen_by = folder / f"validate-{seeds[0]}" / artifacts.SHIFTS
        traced = [folder / f"trace-{surest(chosen_by) if cluster == SUREST else cluster}" for cluster in clusters]
        self.step.together([partial(self.trace, name, trace) for trace in traced])
        arms: dict[Path, tuple[Path, Path]] = {}  # lists of the rows left out here, and of those left out beside it
        halves: list[Callable[[], None]] = []
        for trace in traced:
            known = {item["share"] for item in artifacts.read_json(trace / artifacts.TRACE)["without"]}
            for share in sorted(known & set(self.arguments.shares or known)):
                rows = {kind: trace / artifacts.row_list(kind, share) for kind in ("top", "random")}
                top, random = trace / rows["top"].stem, folder / rows["random"].stem  # the same of all clusters
                arms |= {top: (rows["top"], rows["random"]), random: (rows["random"], rows["random"])}
                for seed in seeds:
                    out = trace / artifacts.share_name(share) / f"validate-{seed}"
                    halves.append(partial(self.compare_arms, name, random, top, seed, out))
        for out, lists in arms.items():
            left, beside = (set(path.read_text().split()) for path in lists)
            without(folder / TRAIN, left, out / TRAIN, beside)
        self.step.together([partial(self.completions_after, name, out, seed) for seed in seeds for out in arms])
        self.step.together(halves)

    def compare_arms(self, name: str, before: Path, after: Path, seed: int, out: Path) -> None:
        """Validate one arm against another, and read how likely the model of either makes the completions of both."""
        a, completions = self.arguments, (before / f"after-{seed}", after / f"after-{seed}")
        self.validate(name, *completions, seed, out, None)
        for side, arm in (("before", before), ("after", after)):
            model = arm / f"train-{seed}" / "model"
            if model.is_dir() and not (out / LIKELY[side]).is_file():  # who needs the room may delete models
                self.step("experiments.prediction.likelihood", "--model", model, "--device", a.device,
                          "--dtype", a.dtype, "--rollouts", *completions, "--out", out / LIKELY[side])  # fmt: skip

    def whole(self, name: str, again: Path | None = None) -> None:
        """Train on all rows of a set and validate, by one predictor or, with ``again``, by all."""
        folder, seeds = self.out / name, self.arguments.train_seeds
        self.split(name)
        self.step.together([
            lambda: self.audit(name),
            lambda: self.rollouts(name, folder / "before", None, seed=0),
            *([partial(self.rollouts, name, again, None, seed=1)] if again else []),
            *[partial(self.completions_after, name, folder, seed) for seed in seeds],
        ])  # fmt: skip
        self.step.together([partial(self.validate_whole, name, seed, again) for seed in seeds])

    def trace(self, name: str, out: Path) -> None:
        """Lists of rows to leave out, for the cluster that the folder is named after."""
        if not (out / artifacts.TRACE).is_file():
            cluster = out.name.removeprefix("trace-")
            self.step("anatomy", "trace", self.out / name / "run", cluster, "--predictor", TRACED_BY, "--out", out)

    def swapped(self, name: str) -> None:
        """Train on all rows, and on the same with every label turned round: which part of a shift do labels turn?"""
        folder, turned, seeds = self.out / name, self.out / name / SWAPPED, self.arguments.train_seeds
        self.whole(name, folder / AGAIN)
        if not (turned / TRAIN).is_file():
            swap(folder / TRAIN, turned / TRAIN)
        self.step.together([partial(self.completions_after, name, turned, seed) for seed in seeds])
        self.step.together([
            partial(self.validate, name, turned / f"after-{seed}", folder / f"after-{seed}", seed,
                    turned / f"validate-{seed}", None, f"{name} {SWAPPED}") for seed in seeds
        ])  # fmt: skip

    def at_rates(self, name: str, rates: Sequence[float]) -> None:
        """Train on all rows at other learning rates, too: how long a step is still foretold?"""
        a, folder, again = self.arguments, self.out / name, self.out / name / AGAIN
        own_rate = a.learning_rate or SETS[name].learning_rate
        arms = [
            (rate, folder / f"{RATE}{rate:g}", seed) for rate in rates if rate != own_rate for seed in a.train_seeds
        ]
        self.whole(name, again)
        for _, arm, _ in arms:
            arm.mkdir(exist_ok=True)
            shutil.copyfile(folder / TRAIN, arm / TRAIN)
        self.step.together([partial(self.completions_after, name, arm, seed, rate) for rate, arm, seed in arms])
        self.step.together([
            partial(self.validate, name, folder / "before", arm / f"after-{seed}", seed, arm / f"validate-{seed}",
                    again, f"{name} at {rate:g}") for rate, arm, seed in arms
        ])  # fmt: skip

    def train(self, name: str, rows: Path, out: Path, seed: int, rate: float | None = None) -> None:
        """DPO by the recipe, unless it is there; checkpoints, each three times the model, are deleted."""
        a = self.arguments
        if (out / artifacts.TRAINED).is_file():
            return
        rate = rate or a.learning_rate or SETS[name].learning_rate
        more = [*self.model(), "--seed", seed, "--learning-rate", rate]
        more += ["--max-response-length", a.tokens, "--references", self.out / name / "references"]
        more += ["--lora-rank", a.lora_rank] if a.lora_rank else []
        more += ["--dtype", "float32", "--bf16"] if a.dtype == "bfloat16" else []  # weights that small steps can change
        self.step("anatomy", "train", "--rows", rows, "--recipe", a.recipe, *more, "--out", out)
        shutil.rmtree(out / "checkpoints", ignore_errors=True)

    def rollouts(self, name: str, out: Path, model: Path | None, seed: int) -> None:
        """Completions of the held-out prompts."""
        a = self.arguments
        if (out / artifacts.MANIFEST).is_file():
            return
        who = [*self.model(), *(["--model", model] if model else [])]  # the last flag counts
        prompts, samples = self.held_out(name)
        how = ["--samples", samples, "--max-new-tokens", a.tokens, "--max-prompts", prompts]
        how += ["--seed", seed, "--batch-tokens", a.batch_tokens]
        self.step("anatomy", "rollout", *who, "--prompts", self.out / name / HELD_OUT, *how, "--out", out)

    def score(self, name: str, model: Path | None, out: Path) -> None:
        """Log-probabilities of the held-out pairs, by which the reward accuracy is told."""
        a = self.arguments
        who = [*(["--model", model or a.model] if model or a.model else []), "--device", a.device]
        if not (out / SCORES).is_file() and not SETS[name].unpaired:
            self.step("experiments.score", *who, "--pairs", self.out / name / HELD_OUT, "--max-length", a.max_length,
                 "--max-pairs", a.scored, "--out", out / SCORES)  # fmt: skip

    def validate(
        self, name: str, before: Path, after: Path, seed: int, out: Path, other: Path | None, data: str | None = None
    ) -> None:
        """Predicted beside observed: by all predictors where there are ``other`` own responses, else by one."""
        role = "chosen-on" if name in CHOSEN_ON else "reported-on"
        asked, done = PREDICTORS if other else TRACED_BY, out / artifacts.VALIDATION
        if done.is_file() and set(asked.split(",")) <= set(artifacts.read_json(done)["agreements"]):
            return
        by = ["--predictors", asked, *(["--base-rollouts", other] if other else [])]
        self.step("anatomy", "validate", self.out / name / "run", "--before", before, "--after", after, *by,
                "--data", data or name, "--role", role, "--train-seed", seed, "--out", out)  # fmt: skip

    def held_out(self, name: str) -> tuple[int, int]:
        """Held-out prompts of a set, and completions of each."""
        return self.arguments.held_out or SETS[name].held_out, self.arguments.samples or SETS[name].samples

    def model(self) -> list[Any]:
        """Flags of the model that is trained."""
        a = self.arguments
        return [*(["--model", a.model] if a.model else []), "--dtype", a.dtype, "--device", a.device]

    def sae(self) -> list[Any]:
        """Flags of its SAE."""
        return ["--sae", self.arguments.sae] if self.arguments.sae else []


def surest(shifts: Path) -> str:
    """Of the ten response clusters of the largest predicted shifts, the one that most surely went that way.

    A shift that training did not make cannot shrink. The arms are compared with each other, so that this choice by the
    training on all rows favours none of them.
    """
    table = artifacts.read_table(shifts).to_pandas()
    table = table[(table["predictor"] == TRACED_BY) & (table["view"] == "global")]
    table = table.iloc[np.argsort(-table["predicted"].abs().to_numpy(), kind="stable")[:AMONG]]
    went = np.sign(table["predicted"]) * table["observed"] / (table["observed_high"] - table["observed_low"])
    return str(table["response"].iloc[int(went.to_numpy().argmax())])


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Defaults are the plan of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets that the README names")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=sorted(SETS))
    parser.add_argument("--pairs", type=int, default=480, help="training pairs of each set, at most (480)")
    parser.add_argument("--held-out", type=int, help="held-out prompts (280; HH 500)")
    parser.add_argument("--longest-prompt", type=int, default=650, metavar="CHARACTERS", help="leave longer out (650)")
    parser.add_argument("--scored", type=int, default=200, help="held-out pairs that tell the reward accuracy (200)")
    parser.add_argument("--samples", type=int, help="completions of each prompt (4; HH 2)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a completion, and window of the data (64)")
    parser.add_argument("--max-length", type=int, default=640, help="tokens of prompt and response (640)")
    parser.add_argument("--batch-tokens", type=int, default=16384, help="padded tokens of a batch (16384)")
    parser.add_argument("--train-seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--audit", type=Path, metavar="YAML", help="further settings of the audit")
    parser.add_argument("--learning-rate", type=float, help="of DPO (1e-5; ShareGPT 3e-5, XSTest 2e-5)")
    parser.add_argument("--lora-rank", type=int, help="LoRA instead of all weights")
    parser.add_argument("--model", help="default: the laptop model")
    parser.add_argument("--sae", help="default: the laptop model's")
    parser.add_argument("--dtype", default="float32", help="float32, or bfloat16: in training, of the computation")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="steps at a time: a GPU of 80 GB has room for six (1)")
    parser.add_argument("--shares", type=float, nargs="+", choices=SHARES, help="with --leave-out: not all of these")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--leave-out", nargs="+", metavar="CLUSTER", help="instead: train without the rows behind "
                         f"clusters or concepts; `{SUREST}`: the one that most surely went that way")  # fmt: skip
    instead.add_argument("--learning-rates", nargs="+", type=float, metavar="RATE", help="instead: train at these, too")
    instead.add_argument("--swapped", action="store_true", help="instead: train with every label turned round, too")
    told = parser.parse_args(words)
    if told.shares and not told.leave_out:
        parser.error("--shares: of rows that are left out; give --leave-out as well")
    return told


def main() -> None:
    arguments = parse()
    plan = Plan(arguments.data, arguments.out, arguments, Steps(arguments.workers))
    plan.step.together([partial(one, plan, name) for name in arguments.sets])


def one(plan: Plan, name: str) -> None:
    """What was asked for, of one set."""
    if plan.arguments.leave_out:
        plan.leave_out(name, plan.arguments.leave_out)
    elif plan.arguments.learning_rates:
        plan.at_rates(name, plan.arguments.learning_rates)
    elif plan.arguments.swapped:
        plan.swapped(name)
    else:
        plan.one_set(name)


if __name__ == "__main__":
    main()
