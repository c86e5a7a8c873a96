"""Folders from a stranger: nothing that a run, training or adapter names is loaded, and no code or pickle in it."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from support.planted_run import plant_rollouts
from support.run_flags import flags_for
from support.tiny import save_sae, save_tiny

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.errors import AnatomyError, SettingsError
from anatomy.rollouts.trained_model import load_policy
from anatomy.runs.manifest import Manifest
from anatomy.runs.reopened import require_named
from anatomy.runs.run import Run
from anatomy.sae.load_sae import load_sae
from anatomy.settings import PLACES, AuditSettings, ModelSettings, ReaderSettings, SAESettings

JUDGE = ["--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "m", "--retries", "0"]


class Touch:
    """A pickle that leaves a file where it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


@pytest.fixture(scope="module")
def trap(tmp_path_factory, audited):
    """A model folder whose code leaves ``canary``, and a run whose manifest names it everywhere and trusts its code."""
    folder = tmp_path_factory.mktemp("trap")
    model = save_tiny(folder / "model", "llama")
    code = f"from pathlib import Path\nPath({str(folder / 'canary')!r}).touch()\n"
    classes = {
        "config.json": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},
        "tokenizer_config.json": {"AutoTokenizer": ["evil.T", "evil.T"]},
    }
    for name, named in classes.items():
        card = json.loads((model / name).read_text())
        card |= {"auto_map": named, "tokenizer_class": "T"} if "AutoTokenizer" in named else {"auto_map": named}
        card |= {"model_type": "evil"} if name == "config.json" else {}
        (model / name).write_text(json.dumps(card))
    (model / "evil.py").write_text(code)
    run = shutil.copytree(audited, folder / "run")
    plant_rollouts(folder / "before", 0.3, seed=1)
    manifest = Manifest.of(run)
    odd = {"model": str(model), "trust_remote_code": True, "concepts_file": folder / "c.yaml"}
    settings = AuditSettings.model_validate(manifest.settings.model_dump() | odd)
    manifest.model_copy(update={"settings": settings}).write(run / artifacts.MANIFEST)
    adapter = folder / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(model), "auto_mapping": {"parent": "evil"}})
    )
    item = {"cluster": "R1", "direction": "suppress", "backend": "filtering"}
    (folder / "plan.yaml").write_text(yaml.safe_dump({"run": str(run), "interventions": [item]}))
    (folder / "rows.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    return folder


VERBS = {
    "name": ["name", "RUN", *JUDGE],
    "name asking for code": ["name", "RUN", *JUDGE, "--trust-remote-code"],
    "validate": ["validate", "RUN", "--before", "BEFORE", "--after", "BEFORE", "--out", "OUT"],
    "validate base": ["validate", "RUN", "--before", "base", "--after", "BEFORE", "--prompts", "ROWS", "--out", "OUT"],
    "validate adapter": ["validate", "RUN", "--before", "BEFORE", "--after", "ADAPTER", "--prompts", "ROWS",
                         "--out", "OUT"],
    "trace": ["trace", "RUN", "R1"],
    "forecast": ["forecast", "RUN", "bold"],
    "cluster": ["cluster", "RUN", "--resolution", "1.5"],
    "hypotheses": ["hypotheses", "RUN", "--tau", "0.2"],
    "null": ["null", "RUN", "--repetitions", "1"],
    "show": ["show", "RUN", "R1"],
    "report": ["report", "RUN"],
    "compare": ["compare", "RUN", "RUN", "--out", "OUT"],
    "plan": ["plan", "RUN", "--suppress", "R1", "--out", "OUT"],
    "plan check": ["plan", "check", "PLAN"],
    "plan check of rows": ["plan", "check", "PLAN", "--rows", "ROWS"],
    "filter": ["filter", "PLAN", "--out", "OUT"],
    "train": ["train", "--rows", "ROWS", "--plan", "PLAN", "--out", "OUT"],
    "probe fit": ["probe", "fit", "bold", "--detector", "sae", "--run", "RUN", "--cluster", "R1", "--out", "OUT"],
    "rollout adapter": ["rollout", "--model", "ADAPTER", "--prompts", "ROWS", "--out", "OUT"],
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_what_a_folder_names(verb, trap, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(trap / "run", tmp_path / "run")
    places = {"RUN": run, "BEFORE": trap / "before", "OUT": tmp_path / "out", "ADAPTER": trap / "adapter",
              "PLAN": trap / "plan.yaml", "ROWS": trap / "rows.jsonl"}  # fmt: skip
    plan = yaml.safe_load((trap / "plan.yaml").read_text())
    assert main([str(places.get(word, word)) for word in VERBS[verb]]) in (0, 2)
    record = capsys.readouterr()
    assert not (trap / "canary").exists()
    assert plan == yaml.safe_load((trap / "plan.yaml").read_text())
    if verb not in ("trace", "forecast", "cluster", "null", "show", "report", "compare", "plan"):
        assert f"--model {trap / 'model'}" in record.err.splitlines()[-1]
    else:
        assert "error" not in record.err


def test_the_trap_is_one(trap):
    """Who names the folder and allows its code does run it."""
    main(["check", str(trap / "rows.jsonl"), "--model", str(trap / "model"), "--trust-remote-code"])
    assert (trap / "canary").exists()
    (trap / "canary").unlink()
    assert main(["check", str(trap / "rows.jsonl"), "--model", str(trap / "model")]) == 2
    assert not (trap / "canary").exists()


def test_another_model_under_a_flag_is_refused(audited, tiny_model_dir, capsys):
    assert main(["name", str(audited), "--model", str(tiny_model_dir("olmo3")), *JUDGE]) == 2
    assert "tokenizers" not in capsys.readouterr().err  # both tiny models cut text alike; the endpoint is not there
    folder = tiny_model_dir("olmo3")
    rest = ["--sae", flags_for(audited, "sae")[1], "--before", "base", "--after", "base", "--prompts", "demo"]
    assert main(["validate", str(audited), "--model", str(folder), *rest, "--out", str(audited.parent / "v")]) == 2
    assert "the model here is not the one that the run was made with" in capsys.readouterr().err


@pytest.mark.parametrize("name", PLACES)
def test_a_run_says_nothing_of_what_is_loaded(name, audited):
    """Its settings have the default in every place that names something to load, whatever the manifest holds."""
    odd = {name: True if name == "trust_remote_code" else "/elsewhere"}
    run = Run.at(audited)
    recorded = AuditSettings.model_validate(run.recorded_settings.model_dump() | odd)
    run.manifest = run.manifest.model_copy(update={"settings": recorded})
    assert getattr(run.settings, name) == getattr(AuditSettings(rows="of the run"), name)
    if name not in ("trust_remote_code", "config", "split", "revision", "model_revision"):
        with pytest.raises(SettingsError, match="/elsewhere"):
            require_named(run, ReaderSettings(), (name,))


def test_every_setting_that_may_name_a_place_is_listed():
    words = {
        name
        for name, field in AuditSettings.model_fields.items()
        if "str" in str(field.annotation) or "Path" in str(field.annotation) or name == "trust_remote_code"
    }
    columns = {"map", "label", "score", "group_by"}  # a file of `map` is read only where a command line names it
    assert words == set(PLACES) | columns
    assert AuditSettings(rows="x", train_length=99).train_length == 99
    with pytest.raises(ValidationError):  # as one that a manifest holds
        AuditSettings.model_validate({"rows": "x", "train_length": "configs/recipes/laptop.yaml"})
    with pytest.raises(ValidationError):
        AuditSettings.model_validate({"rows": "x", "map": "configs/recipes/laptop.yaml"})


@pytest.mark.parametrize("what", ["model", "adapter", "sae"])
def test_no_pickle_is_read(what, tiny_model_dir, tmp_path):
    canary, model, base = tmp_path / "canary", tmp_path / "model", ModelSettings(device="cpu", dtype="float32")
    shutil.copytree(tiny_model_dir("llama"), model)
    evil, adapter = pickle.dumps(Touch(canary)), None
    base = base.model_copy(update={"model": str(model)})
    subject = load_policy(base)[0]
    sae = save_sae(tmp_path / "sae", model)
    if what == "model":
        (model / "model.safetensors").unlink()
        (model / "pytorch_model.bin").write_bytes(evil)
    elif what == "adapter":
        adapter = tmp_path / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        (adapter / "adapter_model.bin").write_bytes(evil)
    else:
        (sae / "sae_weights.safetensors").unlink()
        for name in ("sae_weights.pt", "sae.pt", "sae_weights.bin"):
            (sae / name).write_bytes(evil)
    with pytest.raises(AnatomyError):
        load_sae(SAESettings(sae=str(sae)), subject) if what == "sae" else load_policy(base, adapter and str(adapter))
    assert not canary.exists()


def test_attention_code_from_elsewhere_is_refused(tiny_model_dir, tmp_path):
    model = shutil.copytree(tiny_model_dir("llama"), tmp_path / "model")
    card = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(card | {"attn_implementation": "someone/kernels"}))
    with pytest.raises(AnatomyError, match="someone/kernels"):
        load_policy(ModelSettings(model=str(model), device="cpu", dtype="float32"))


@pytest.mark.parametrize("odd", [{"megatron_config": {"a": 1}}, {"peft_type": "PROMPT_TUNING"}, {"arrow_config": {}}])
def test_adapters_that_could_do_more_are_refused(odd, tiny_model_dir, tmp_path):
    card = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]} | odd | {"eva_config": {"rho": 2}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(card))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    model = ModelSettings(model=str(tiny_model_dir("llama")), device="cpu", dtype="float32")
    with pytest.raises(AnatomyError, match=r"not supported|only those are merged"):
        load_policy(model, str(tmp_path))
