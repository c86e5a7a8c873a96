"""Detectors on disk: a folder with ``detector.json`` and, where something was learned, ``detector.safetensors``.

The JSON is written last and holds the hash of the tensors, so that a folder of which half was written or replaced is
refused. No pickle anywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from anatomy.artifacts import atomic_path, write_json
from anatomy.concepts.scorer import Pooling
from anatomy.errors import ProbeError
from anatomy.features.pooling import Encoder
from anatomy.settings import Settings
from anatomy.types import file_hash
from probes.attention_probe import AttentionProbe
from probes.detector import Detector, Estimator, Provenance, learned_names, learned_of, settings_of, width_of
from probes.difference_of_means import DifferenceOfMeans
from probes.linear_probe import LinearProbe
from probes.sae_detector import SAEDetector

CARD = "detector.json"
TENSORS = "detector.safetensors"
KINDS: dict[str, type[Any]] = {
    kind.kind: kind for kind in (DifferenceOfMeans, LinearProbe, AttentionProbe, SAEDetector)
}


class Card(Settings):
    """What ``detector.json`` holds."""

    format: Literal[1] = Field(1, description="Version of this file's layout.")
    kind: str = Field(description="Which estimator.")
    concept: str = Field(description="Id of the concept.")
    layer: int = Field(ge=0, description="Block after which the residual stream is read, counted from 0.")
    pooling: Pooling = Field(description="How token scores become one.")
    threshold: float | None = Field(description="Score from which on a span is flagged.")
    settings: dict[str, Any] = Field(description="Arguments of the estimator.")
    tensors: str | None = Field(description="SHA-256 of the tensor file; null where nothing was learned.")
    provenance: Provenance = Field(description="What it was fitted on, and how well it did.")


def save_detector(detector: Detector, folder: Path) -> None:
    """Write a detector into ``folder``, replacing one that is there.

    Raises:
        ProbeError: its estimator was not fitted, or reads an SAE without a fingerprint.
    """
    settings, tensors = settings_of(detector.estimator), learned_of(detector.estimator)
    if not isinstance(settings.get("encoder", ""), str):
        raise ProbeError(
            f"detector of {detector.concept}: its SAE has no fingerprint and could not be recognised again"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if tensors:
        with atomic_path(folder / TENSORS) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    card = Card(
        kind=detector.estimator.kind,
        concept=detector.concept,
        layer=detector.layer,
        pooling=detector.pooling,
        threshold=detector.threshold,
        settings=settings,
        tensors=file_hash(folder / TENSORS) if tensors else None,
        provenance=detector.provenance,
    )
    write_json(folder / CARD, card.model_dump())


def load_detector(
    folder: Path, *, model_fingerprint: str, width: int, n_layers: int, sae: Encoder | None = None
) -> Detector:
    """Read a detector for use with a model of this fingerprint, residual width and number of blocks.

    Args:
        sae: the SAE that an SAE detector reads; others need none.

    Raises:
        ProbeError: not a detector, a broken one, or one of another model, width or SAE.
    """
    card = read_card(folder)
    trained_on = card.provenance.model_fingerprint
    if trained_on != model_fingerprint:
        raise ProbeError(
            f"{folder}: fitted on {card.provenance.model} ({trained_on[:12]}), asked for a model with fingerprint "
            f"{model_fingerprint[:12]}; fit it on this model, with the same dtype"
        )
    if card.layer >= n_layers:
        raise ProbeError(f"{folder}: reads block {card.layer}, the model has blocks 0 to {n_layers - 1}; fit it again")
    estimator = _estimator(folder, card, sae)
    if width_of(estimator) not in (None, width):
        raise ProbeError(f"{folder}: fitted at width {width_of(estimator)}, the model has width {width}; fit it again")
    return Detector(estimator, card.concept, card.layer, card.pooling, card.threshold, card.provenance)


def read_card(folder: Path) -> Card:
    """What a saved detector says of itself, without its tensors.

    Raises:
        ProbeError: the file is missing, broken, or of an unknown kind.
    """
    path = folder / CARD
    try:
        card = Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ProbeError(f"{path}: {error.strerror}; give a folder that `anatomy probe fit` wrote") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ProbeError(f"{path}: broken ({where + ': ' if where else ''}{fault['msg']}); fit it again") from None
    if card.kind not in KINDS:
        raise ProbeError(
            f"{path}: unknown kind {card.kind!r} (known: {', '.join(KINDS)}); use the version that wrote it"
        )
    return card


def _estimator(folder: Path, card: Card, sae: Encoder | None) -> Estimator:
    settings = dict(card.settings)
    if card.kind == SAEDetector.kind:
        found = getattr(sae, "fingerprint", None)
        if found is None or found != settings.get("encoder"):
            raise ProbeError(
                f"{folder}: reads the SAE with fingerprint {str(settings.get('encoder'))[:12]}, "
                f"got {found[:12] if found else 'none'}; load that SAE"
            )
        settings["encoder"] = sae
    try:
        estimator: Estimator = KINDS[card.kind](**settings)
    except TypeError as error:
        raise ProbeError(f"{folder / CARD}: settings do not fit kind {card.kind!r} ({error}); fit it again") from None
    for name, tensor in _tensors(folder, card).items():
        setattr(estimator, name, tensor.clone())  # aligned: products of a mapped file differ in their last bit
    return estimator


def _tensors(folder: Path, card: Card) -> dict[str, Any]:
    expected = learned_names(KINDS[card.kind])
    if not expected:
        return {}
    path = folder / TENSORS
    if not path.is_file() or file_hash(path) != card.tensors:
        raise ProbeError(f"{path}: missing, broken, or of another fit than {CARD}; fit it again")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ProbeError(f"{path}: broken ({error}); fit it again") from None
    if set(tensors) != set(expected) or not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ProbeError(f"{path}: expected finite tensors {', '.join(expected)}; fit it again")
    return tensors
