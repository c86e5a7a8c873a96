"""Poison, train, sample: ``python -m experiments.poisoning.run --data DIR --out DIR``; killed, it goes on.

Every step is a process of its own, and is passed over when its result is there: verbs of the command line, and
``experiments.score``. Arms differ in their rows (clean, poisoned) or in their plan, and in nothing else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from anatomy import artifacts
from anatomy.errors import AnatomyError, SettingsError
from experiments.poisoning.cost import announce
from experiments.poisoning.poisoned_sets import (
    HELD_OUT,
    PARTS,
    POISON,
    ROLLOUTS,
    SCORES,
    SFT,
    TRAIN,
    VALIDATION,
    Sizes,
    poison,
    read_rows,
    write_rows,
    write_sets,
)
from experiments.step import step

RECIPE = Path(__file__).parents[2] / "configs" / "recipes" / "laptop.yaml"
BACKENDS = ("filter-examples", "filter-words", "inoculation", "steering", "shaping")
PLAIN = ("clean", "poisoned")
BEFORE = "before"
STUDY = "study.json"
ELSEWHERE = {"data", "out", "arms", "seeds", "targets", "part", "device", "dry_run", "shaping", "top",
             "steering", "steering_layer", "steering_side", "steering_top"}  # fmt: skip
"""Arguments that a study can change its mind about; the strengths of backends are kept in the arms' plans."""


@dataclass(frozen=True)
class Study:
    """What is run, one seed after the other."""

    data: Path
    out: Path
    arguments: argparse.Namespace

    def run(self) -> None:
        """Everything that was asked for and is not there yet."""
        a = self.arguments
        self.prepare()
        announce(self.out, self.arms(), a.seeds, a.part, a.samples * a.tokens)
        if a.dry_run:
            return
        self.sft()
        for seed in a.seeds:
            self.measure(self.out / f"seed-{seed}" / BEFORE, self.out / "sft" / "model", seed)
            for arm in self.arms():
                self.arm(arm, seed)

    def arms(self) -> list[str]:
        """Names of the arms: ``clean``, ``poisoned``, and ``<backend>.<target>``."""
        a = self.arguments
        return [arm if arm in PLAIN else f"{arm}.{target}" for arm in a.arms
                for target in (a.targets if arm not in PLAIN else [""])]  # fmt: skip

    def prepare(self) -> None:
        """The four parts, and the poisoned rows of each seed.

        Raises:
            SettingsError: ``out`` holds a study with other arguments.
        """
        a = self.arguments
        kept = {name: str(value) for name, value in vars(a).items() if name not in ELSEWHERE}
        settle(self.out / STUDY, json.dumps(kept, indent=1))
        if not all((self.out / name).is_file() for name in (TRAIN, SFT, HELD_OUT, VALIDATION)):
            write_sets(self.data, self.out, Sizes(a.held_out, a.validation, a.prompts, a.sft_prompts), a.share)
        for seed in a.seeds:
            write_rows(self.out / f"poisoned-{seed}.jsonl", poison(read_rows(self.out / TRAIN), a.share, seed))

    def sft(self) -> None:
        """The stage before DPO, of which all arms start: it makes the styles known to the model."""
        a, folder = self.arguments, self.out / "sft"
        start = ["--model", a.model] if a.model else []
        self.trained("sft", folder, "--rows", self.out / SFT, *start, "--learning-rate", a.sft_learning_rate,
                     "--batch-size", a.batch_size, "--micro-batch-size", 2, "--seed", 0)  # fmt: skip

    def arm(self, arm: str, seed: int) -> None:
        """Train one arm and look at it."""
        a, folder = self.arguments, self.out / f"seed-{seed}" / arm
        rows = self.out / (TRAIN if arm == "clean" else f"poisoned-{seed}.jsonl")
        plan = [] if arm in PLAIN else ["--plan", self.plan(*arm.split("."))]
        self.trained("train", folder, "--rows", rows, *plan, "--model", self.out / "sft" / "model", "--recipe",
                     a.recipe, "--learning-rate", a.learning_rate, "--beta", a.beta, "--batch-size", a.batch_size,
                     "--seed", seed, "--references", self.out / "references")  # fmt: skip
        self.measure(folder, folder / "model", seed)

    def plan(self, backend: str, target: str) -> Path:
        """The plan of an arm.

        Raises:
            SettingsError: the arm was begun with another strength.
        """
        path = self.out / "plans" / f"{backend}.{target}.yaml"
        settle(path, yaml.safe_dump({"interventions": [self.intervention(backend, target)]}, sort_keys=False))
        return path

    def intervention(self, backend: str, target: str) -> dict[str, Any]:
        """What the backend does about the target, in the words of a plan (method.md §9, poisoning study)."""
        a, common = self.arguments, {"concept": target, "direction": "suppress"}
        if backend == "steering":
            common = {**common, "concept": str(self.detector(target))}
        steered = {"side": a.steering_side, "top": a.steering_top}
        return {
            "filter-examples": {**common, "backend": "filtering", "options": {"top": a.top} if a.top else {}},
            "filter-words": {**common, "backend": "filtering", "options": {"drop": "words"}},
            "inoculation": {**common, "backend": "inoculation", "options": {"flagged": "chosen", "side": "chosen"}},
            "steering": {**common, "backend": "steering", "strength": a.steering, "options": steered},
            "shaping": {**common, "backend": "reward_shaping", "strength": a.shaping},
        }[backend]

    def detector(self, style: str) -> Path:
        """A difference-of-means detector, fitted on the SFT part's responses with and without the style."""
        layer = self.arguments.steering_layer
        folder = (self.out / f"detector-{style}-{layer}").resolve()
        if not (folder / "report.json").is_file():
            step("anatomy", "probe", "fit", style, "--model", self.out / "sft" / "model", "--positives", "pairs",
                 "--examples", self.out / f"contrast-{style}.jsonl", "--detector", "difference-of-means",
                 "--layers", layer, "--dtype", "float32", *self.window(), "--out", folder)  # fmt: skip
        return folder

    def trained(self, verb: str, folder: Path, *words: Any) -> None:
        """A training, unless it is there; its checkpoints, of which each is three times the model, are deleted."""
        if not (folder / artifacts.TRAINED).is_file():
            step("anatomy", verb, *words, *self.window(), "--out", folder)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)

    def measure(self, folder: Path, model: Path, seed: int) -> None:
        """Completions of the part's prompts, and log-probabilities of its pairs."""
        a, pairs = self.arguments, self.out / PARTS[self.arguments.part]
        rollouts, scores = folder / ROLLOUTS.format(a.part), folder / SCORES.format(a.part)
        if not (rollouts / artifacts.MANIFEST).is_file():
            step("anatomy", "rollout", "--model", model, "--prompts", pairs, "--samples", a.samples, "--max-new-tokens",
                 a.tokens, "--seed", seed, "--dtype", "float32", *self.window(), "--out", rollouts)  # fmt: skip
        if not scores.is_file():
            words = ["--model", model, "--pairs", pairs, "--max-length", a.max_length, "--device", a.device]
            step("experiments.score", *words, "--out", scores)

    def window(self) -> list[Any]:
        """Flags that all verbs share."""
        a = self.arguments
        return ["--max-length", a.max_length, "--max-prompt-length", a.max_length // 2, "--device", a.device]


def settle(path: Path, text: str) -> None:
    """Write ``text``, or check that it is what was written before.

    Raises:
        SettingsError: it is not.
    """
    if not path.is_file():
        artifacts.write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise SettingsError(f"{path}: made with other settings; give those, or another --out")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Defaults are the plan of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the data set that the README names")
    add("--out", type=Path, required=True, help="folder of everything that is made")
    add("--arms", nargs="+", choices=[*PLAIN, *BACKENDS], default=[*PLAIN, *BACKENDS])
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of poisoned rows, training and samples (0 1 2)")
    add("--targets", nargs="+", choices=list(POISON), default=["bold"], help="styles that the backends suppress (bold)")
    add("--part", choices=list(PARTS), default="held-out", help="prompts looked at; choose strengths on validation")
    add("--dry-run", action="store_true", help="write rows, print the estimate, run nothing")
    add("--prompts", type=int, default=96, help="DPO prompts, one real pair of each (96)")
    add("--sft-prompts", type=int, default=120, help="SFT prompts, two responses of each (120)")
    add("--held-out", type=int, default=96, help="prompts that are reported (96)")
    add("--validation", type=int, default=48, help="prompts to choose strengths on (48)")
    add("--share", type=float, default=0.1, help="share of the prompts poisoned with each style (0.1)")
    add("--samples", type=int, default=4, help="completions of each prompt (4)")
    add("--tokens", type=int, default=64, help="tokens of a completion (64)")
    add("--max-length", type=int, default=256, help="tokens of prompt and response (256)")
    add("--recipe", type=Path, default=RECIPE)
    add("--batch-size", type=int, default=4, help="pairs of a step, rows of one of supervised fine-tuning (4)")
    add("--learning-rate", type=float, default=2e-4, help="of DPO (2e-4)")
    add("--sft-learning-rate", type=float, default=5e-5, help="of supervised fine-tuning (5e-5)")
    add("--beta", type=float, default=0.1, help="β of DPO (0.1)")
    add("--shaping", type=float, default=4.0, help="strength of reward shaping (4, the paper's)")
    add("--steering", type=float, default=30.0, help="strength of steering (30; the paper's is 3)")
    add("--steering-layer", type=int, default=20, help="block after which it is added, from 0 (20)")
    add("--steering-side", choices=["both", "chosen", "rejected"], default="chosen", help="side steered (chosen)")
    add("--steering-top", type=float, default=0.1, help="share of rows steered, by gap of the detector (0.1)")
    add("--top", type=float, help="filter-examples: share of rows dropped; default: gap over one deviation")
    add("--model", help="default: the laptop model")
    add("--device", default="auto")
    return parser.parse_args(words)


def main() -> int:
    """Run; a user's mistake is one line and exit code 2."""
    arguments = parse()
    try:
        Study(arguments.data, arguments.out, arguments).run()
    except AnatomyError as error:
        print(f"poisoning: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
