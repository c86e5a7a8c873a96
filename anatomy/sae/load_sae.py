"""Load an SAE through sae-lens and refuse one that does not belong to the subject model.

BatchTopK SAEs run as JumpReLU with their learned threshold (that is how sae-lens stores them), never as per-token
top-k. Everything after a wrong scale is wrong, so input normalisation must be folded into the weights or be one that
sae-lens applies itself.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from anatomy.errors import SAEError
from anatomy.settings import SAESettings, expanded
from anatomy.text.visible import visible

if TYPE_CHECKING:
    from sae_lens import SAE

    from anatomy.activations.model import Subject

LAPTOP_SAE = Path(__file__).parent / "laptop"


@dataclass(frozen=True)
class LoadedSAE:
    """An SAE on its device in float32. ``layer``: it reads the residual stream after this block, counted from 0.

    ``claimed`` holds ``l0`` and ``variance_explained`` where the SAE's card states them; ``fingerprint`` is a hash of
    the weights.
    """

    module: SAE[Any]
    name: str
    layer: int
    hook_name: str
    claimed: dict[str, float]
    fingerprint: str

    @property
    def n_features(self) -> int:
        return int(self.module.cfg.d_sae)

    @property
    def width(self) -> int:
        return int(self.module.cfg.d_in)

    @property
    def decoder_FD(self) -> Float[Tensor, "F D"]:
        """What each feature adds to the reconstruction when it fires by 1, up to the scale of the SAE's inputs."""
        w_FD: Tensor = self.module.W_dec
        return w_FD

    @torch.inference_mode()
    def encode(self, x_BD: Float[Tensor, "B D"]) -> Float[Tensor, "B F"]:
        """Activations after the sparsifying non-linearity, ``>= 0``. Dense: give at most some thousand tokens."""
        a_BF: Tensor = self.module.encode(x_BD.to(self.module.device, torch.float32))
        return a_BF

    @torch.inference_mode()
    def decode(self, a_BF: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        """Reconstruction of the batch that was encoded last (some normalisations remember its scale)."""
        decoded_BD: Tensor = self.module.decode(a_BF)
        return decoded_BD


def load_sae(settings: SAESettings, subject: Subject) -> LoadedSAE:
    """Load the SAE that ``settings`` names, by default the laptop model's, and check that it fits ``subject``.

    Raises:
        SAEError: not found, not readable, not on the residual stream, not normalised, of another width or layer
            count, or (unless ``settings.force``) trained on another model.
    """
    name = settings.sae or str(LAPTOP_SAE)
    folder = expanded(name)
    if settings.sae is None and not (folder / "cfg.json").is_file():
        raise SAEError(f"{folder}: the laptop SAE is missing from this installation; install the package again")
    if (folder / "cfg.json").is_file():
        module, claimed = _from_folder(folder)
    elif folder.is_dir():
        raise SAEError(f"{folder}: no cfg.json; give a folder saved by sae-lens, or `release/id`")
    else:
        module, claimed = _from_release(name)
    return _fit(name if settings.sae else "laptop", module, claimed, subject, settings.force)


def sae_folder(settings: SAESettings) -> Path:
    """The folder of an SAE; for one from the Hub there is none of this name."""
    return LAPTOP_SAE if settings.sae is None else expanded(settings.sae)


def layer_of(hook_name: str | None) -> int:
    """Block after which a hook reads the residual stream; ``hook_resid_pre`` of block l is the stream after l - 1.

    Raises:
        SAEError: the hook is not on the residual stream between blocks.
    """
    patterns = {r"blocks\.(\d+)\.hook_resid_post": 0, r"blocks\.(\d+)\.hook_resid_pre": -1, r"model\.layers\.(\d+)": 0}
    for pattern, offset in patterns.items():
        found = re.fullmatch(pattern, hook_name or "")
        if found and int(found[1]) + offset >= 0:
            return int(found[1]) + offset
    raise SAEError(
        f"hook point {hook_name!r} is not the residual stream after a block; use an SAE on `blocks.L.hook_resid_post`"
    )


def _from_folder(folder: Path) -> tuple[SAE[Any], dict[str, float]]:
    from sae_lens import SAE

    try:
        module = SAE.load_from_disk(folder, dtype="float32")
    except Exception as error:  # sae-lens raises whatever its parsers raise; all of it means a broken folder
        raise SAEError(f"{folder}: not a readable sae-lens folder ({_short(error)})") from None
    details = module.cfg.metadata.get("training_architecture_details") or {}
    claims = {
        "l0": module.cfg.metadata.get("l0") or details.get("k"),
        "variance_explained": module.cfg.metadata.get("variance_explained"),
    }
    return module, {key: float(value) for key, value in claims.items() if value is not None}


def _from_release(name: str) -> tuple[SAE[Any], dict[str, float]]:
    from sae_lens import SAE
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    releases = get_pretrained_saes_directory()
    release, _, identifier = name.partition("/")
    entry = releases.get(release)
    if entry is None:
        raise SAEError(f"--sae {name}: neither a folder nor a sae-lens release; give `release/id` or a local folder")
    if identifier not in entry.saes_map:
        known = ", ".join(list(entry.saes_map)[:6])
        raise SAEError(f"--sae {name}: release {release} has no id {identifier!r}; it has {known} ...")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = SAE.from_pretrained(release, identifier)
    except Exception as error:  # hub, network and conversion errors have no common base
        raise SAEError(f"--sae {name}: cannot be loaded ({_short(error)}); check the network") from None
    claims = {"l0": entry.expected_l0.get(identifier), "variance_explained": entry.expected_var_explained[identifier]}
    unstated = {"l0": 0.0, "variance_explained": 1.0}  # sae-lens's defaults where the card says nothing
    return module, {key: float(value) for key, value in claims.items() if value and value != unstated[key]}


def _fit(name: str, module: SAE[Any], claimed: dict[str, float], subject: Subject, force: bool) -> LoadedSAE:
    metadata = module.cfg.metadata
    layer = layer_of(metadata.get("hook_name"))
    if module.cfg.d_in != subject.width:
        raise SAEError(
            f"SAE {name}: width {module.cfg.d_in}, but {subject.name} has {subject.width}; choose another --sae"
        )
    if layer >= subject.n_layers:
        raise SAEError(f"SAE {name}: reads block {layer}, but {subject.name} has blocks 0 to {subject.n_layers - 1}")
    if module.cfg.normalize_activations == "expected_average_only_in":
        raise SAEError(
            f"SAE {name}: expects inputs scaled by an average norm that it does not state; "
            "fold that scale into its weights with sae-lens"
        )
    if not force and _basename(metadata.get("model_name")) != _basename(subject.name):
        raise SAEError(
            f"SAE {name}: trained on {metadata.get('model_name')}, not on {subject.name}; "
            "--force if one was fine-tuned from the other"
        )
    for key, tensor in module.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise SAEError(
                f"SAE {name}: `{visible(key)[:80]}` holds numbers that are not finite; take another copy, or train it "
                "again"
            )
    module = module.to(device=str(subject.device)).eval().requires_grad_(False)
    return LoadedSAE(module, name, layer, metadata["hook_name"], claimed, _fingerprint(module))


def _basename(model: str | None) -> str:
    return (model or "").rstrip("/").rpartition("/")[2].lower()


def _fingerprint(module: SAE[Any]) -> str:
    digest = hashlib.sha256(module.cfg.architecture().encode())
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(key.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
