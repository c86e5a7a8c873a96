"""What limits a prediction: ``python -m experiments.prediction.limits --out DIR --set NAME``, after ``run``.

A prediction over the model's own responses is ``Cov(y, reward)`` within prompts. What training did to the responses'
log-probabilities, ``Δ = log π_after − log π_before``, can be read off the trained model. So the same covariance is
taken with rewards that know ever less, over responses that are not those of the observed shift:

- ``Δ`` itself: what is lost is the step's length and the noise of finitely many responses;
- ``Δ`` on features: ridge on their frequencies, each prompt by a fit to the others: lost is what no SAE feature says;
- a predictor's reward: lost is what the labels of the pairs do not say.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from anatomy import artifacts
from anatomy.prediction.predictors import Tilt
from anatomy.prediction.rewards import centred
from anatomy.rollouts.log_probs import log_probs
from anatomy.rollouts.rollout_set import own_replies, read_rollouts
from anatomy.rollouts.trained_model import load_policy
from anatomy.runs.run import Run
from anatomy.settings import ModelSettings
from anatomy.stages.rollout_reader import Material, open_material
from anatomy.statistics.agreement import pearson
from anatomy.types import Pair, content_hash
from experiments.prediction.analyse import markdown
from experiments.prediction.reading import VIEWS, read

FOLDS, SPLITS = 5, 20
HEADER = ("reward", "r with Δ, within prompts", "r, response clusters", "at most, by its own noise", "r, features",
          "at most, by its own noise")  # fmt: skip


class Own(NamedTuple):
    """The model's own responses before training: features, prompt of each, readouts, and what training did to them."""

    phi_JF: sp.csr_array
    code_J: Int[np.ndarray, " J"]
    readouts: Mapping[str, sp.csr_array | Float[np.ndarray, "J M"]]
    delta_J: Float[np.ndarray, " J"]


def limits(
    own: Own, rewards: Mapping[str, Float[np.ndarray, " J"]], observed: Mapping[str, Float[np.ndarray, " M"]]
) -> list[list[Any]]:
    """A row a reward, as ``HEADER`` says; ``observed`` has the shift of every column of the readouts."""
    delta_J = centred(own.delta_J, own.code_J)
    known = {"Δ": own.delta_J, "Δ on features": on_features(own), **rewards}
    rows = []
    for name, reward_J in known.items():
        row: list[Any] = [name, pearson(centred(reward_J, own.code_J), delta_J)]
        for view in VIEWS:
            values_JM = own.readouts[view]
            row += [pearson(covariance(values_JM, reward_J, own.code_J), observed[view])]
            row += [reliable(values_JM, reward_J, own.code_J)]
        rows.append(row)
    return rows


def covariance(values_JM: Any, reward_J: Float[np.ndarray, " J"], code_J: Int[np.ndarray, " J"]) -> np.ndarray:
    """``Cov(y, reward)`` within prompts of every column."""
    return np.asarray(values_JM.T @ centred(reward_J, code_J)) / len(reward_J)


def on_features(own: Own) -> Float[np.ndarray, " J"]:
    """Δ within prompts by ridge on standardised frequencies; a prompt's responses by a fit to other prompts."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold, cross_val_predict

    dense_JF = own.phi_JF.toarray()
    mean_GF = np.zeros((own.code_J.max() + 1, dense_JF.shape[1]))
    np.add.at(mean_GF, own.code_J, dense_JF)
    centred_JF = dense_JF - (mean_GF / np.bincount(own.code_J)[:, None])[own.code_J]
    spread_F = centred_JF.std(axis=0)
    centred_JF = centred_JF[:, spread_F > 0] / spread_F[spread_F > 0]
    model = RidgeCV(alphas=np.logspace(2, 6, 9))
    fold = GroupKFold(FOLDS)
    return np.asarray(
        cross_val_predict(model, centred_JF, centred(own.delta_J, own.code_J), groups=own.code_J, cv=fold)
    )


def reliable(values_JM: Any, reward_J: Float[np.ndarray, " J"], code_J: Int[np.ndarray, " J"]) -> float:
    """Largest r that the prediction's own noise allows: √ of Spearman–Brown over halves of the prompts."""
    generator, found = np.random.default_rng(0), []
    for _ in range(SPLITS):
        half_J: Bool[np.ndarray, " J"] = (generator.permutation(code_J.max() + 1) % 2 == 0)[code_J]
        parts = [covariance(values_JM[side], reward_J[side], code_J[side]) for side in (half_J, ~half_J)]
        found.append(pearson(*parts))
    r = float(np.mean(found))
    return float(np.sqrt(2 * r / (1 + r))) if r > 0 else 0.0


def measure(folder: Path, seed: int, beside: Sequence[str] = ()) -> str:
    """The table of one training of a set, also written to ``DIR/results``.

    Args:
        beside: names of further trainings in the set's folder, each a reward by what it did.
    """
    validated = folder / f"validate-{seed}"
    window = int(artifacts.read_json(validated / artifacts.VALIDATION)["window"])
    with Run.read(folder / "run") as run:
        material = open_material(run, window, folder / f"limits-{seed}")
        found = read(run, validated)
        n = len(found.own)  # each response is there twice, as chosen and as rejected
        replies = own_replies(read_rollouts(folder / "before-again"), material.bundle.has_response)
        change = {name: _log_ratio(material, replies, folder / name / "model") * found.own.tokens_N2[:, 0]
                  for name in (f"train-{seed}", *beside)}  # fmt: skip
        phi_JF = sp.csr_array(found.own.values("chosen", "freq")[:, np.flatnonzero(found.kept_F)])
        values = {view: found.readout(found.own, view).values_JM[:n] for view in VIEWS}
        own = Own(phi_JF, found.own.prompts.code_N, values, change.pop(f"train-{seed}"))
        rewards = {f"Δ of {name}": delta_J for name, delta_J in change.items()}
        for kind in ("sgd", "adam", "gradient", "ridge"):
            fitted = Tilt("tilt" if kind == "ridge" else kind, kind=kind).fit(found.data)
            rewards[f"labels, `{fitted.name}`"] = fitted.rewards(found.own)[:n]
        text = markdown(HEADER, limits(own, rewards, found.observed))
    artifacts.write_text(folder.parent / "results" / f"limits-{folder.name}-{seed}.md", text)
    return text


def _log_ratio(material: Material, replies: Sequence[Pair], model: Path) -> Float[np.ndarray, " J"]:
    """Mean over tokens of what a training did to the own responses' log-probability."""
    bundle = material.bundle
    shared = material.settings.model_dump(include=set(ModelSettings.model_fields))
    after = ModelSettings.model_validate(shared | {"model": str(model), "model_revision": None})
    found = []
    for name, subject in (("before", bundle.subject), (model.parent.name, load_policy(after)[0])):
        mark = content_hash([material.mark(), subject.fingerprint])
        told = log_probs(replies, bundle.tokenizer, subject, material.out / name, mark, bundle.settings)
        found.append(told[:, 0])
    return np.asarray(found[1] - found[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that run.py filled")
    parser.add_argument("--set", required=True, help="alpaca_eval or hh")
    parser.add_argument("--train-seed", type=int, default=0)
    parser.add_argument("--beside", nargs="*", default=[], metavar="NAME", help="further trainings in the set's folder")
    arguments = parser.parse_args()
    print(measure(arguments.out / arguments.set, arguments.train_seed, arguments.beside))


if __name__ == "__main__":
    main()
