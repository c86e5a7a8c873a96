"""Before the first step policy and reference are one model, or training stops; only then are references shared."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from support.dpo_runs import make_pairs, ours

from anatomy.cli.app import main
from anatomy.errors import RunError
from interventions.backends.pair_edits import PairEdit, SideEdit
from interventions.training import dpo_trainer
from interventions.training.reference_cache import ReferenceCache
from interventions.training.start_check import PAIRS, TOLERANCE, StartGap, first_blocks, require_start


def test_the_gap_by_hand():
    """Gaps 0.3 and −0.4 over 9 and 4 tokens: √((0.09 / 9 + 0.16 / 4) / 2) = √0.025 a token's root."""
    gap = StartGap()
    gap.add(torch.tensor([-10.0]), torch.tensor([-10.3]), torch.tensor([9]))
    gap.add(torch.tensor([-20.4]), torch.tensor([-20.0]), torch.tensor([4]))
    assert gap.sums.tolist() == pytest.approx([0.05, 2.0], rel=1e-4)
    with pytest.raises(RunError, match=r"0\.16 nats per √token from its reference, and rounding explains 0\.016"):
        require_start(gap.sums, torch.bfloat16, ())


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_rounding_passes_and_more_does_not(dtype, tmp_path):
    """Rounding was 60 u in float32 and 1.1 u in bfloat16; casting one of the two models gave 10 u in bfloat16."""
    rounding = {torch.float32: 60 * 2.0**-24, torch.bfloat16: 1.1 * 2.0**-9}[dtype]
    fault = {torch.float32: 1e-3, torch.bfloat16: 9.7 * 2.0**-9}[dtype]
    require_start(torch.tensor([rounding**2 * 16, 16.0]), dtype, ())
    for gap in (fault, float("nan"), float("inf")):
        with pytest.raises(RunError, match=r"delete .*kept and run again"):
            require_start(torch.tensor([gap**2 * 16, 16.0]), dtype, [tmp_path / "kept"])


@pytest.mark.parametrize(("size", "world"), [(1, 1), (2, 2), (3, 2), (16, 4)])
def test_each_process_looks_at_other_rows_and_equally_many(size, world):
    dataset = Dataset.from_dict({"row_id": [str(number) for number in range(1000)]})
    ranks = [SimpleNamespace(num_processes=world, process_index=rank) for rank in range(world)]
    seen = [[row["row_id"] for block in first_blocks(dataset, size, rank) for row in block] for rank in ranks]
    assert len({len(rows) for rows in seen}) == 1
    found = sorted(int(row) for rows in seen for row in rows)
    assert found == list(range(len(found)))
    assert PAIRS <= len(found) < PAIRS + size * world


def test_few_rows_are_looked_at_again():
    dataset = Dataset.from_dict({"row_id": ["a", "b", "c"]})
    blocks = list(first_blocks(dataset, 2, SimpleNamespace(num_processes=2, process_index=1)))
    assert [[row["row_id"] for row in block] for block in blocks] == [["c", "a"], ["a", "b"]]


TREATED = {
    "offset": lambda edit: PairEdit(edit, offset=1.0),
    "instruction": lambda edit: PairEdit(edit, chosen=SideEdit(instruction="Be bold.")),
    "mask": lambda edit: PairEdit(edit, rejected=SideEdit(masked=((0, 6),))),
}


@pytest.mark.parametrize("treatment", TREATED)
@pytest.mark.parametrize("precomputed", [True, False])
@pytest.mark.parametrize("peft", [True, False])
def test_every_treated_row_starts_at_the_reference(tiny_model_dir, tmp_path, treatment, precomputed, peft):
    """What a plan does to all rows is no gap: the policy is read as the reference is."""
    pairs = make_pairs(4)
    edits = {pair.row_id: TREATED[treatment](pair.row_id) for pair in pairs}
    found = ours(tiny_model_dir("olmo3"), pairs, tmp_path, edits, peft=peft, max_steps=1,
                 precompute_ref_log_probs=precomputed)  # fmt: skip
    assert len(found.losses) == 1


@pytest.mark.parametrize("precomputed", [True, False])
def test_another_reference_stops_the_training(tiny_model_dir, tmp_path, precomputed, monkeypatch):
    """One weight of the policy is changed after the references were computed, as if another revision was loaded."""
    trainer = ours(tiny_model_dir("llama"), make_pairs(8), tmp_path, run=False,
                   precompute_ref_log_probs=precomputed).trainer  # fmt: skip
    with torch.no_grad():
        trainer.model.lm_head.weight[5] += 0.5
    with pytest.raises(RunError, match="nats per √token from its reference"):
        trainer.train()


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [f'{{"prompt": "Hello {n}", "chosen": "a good dog", "rejected": "dog {n}"}}\n' for n in range(6)]
    path.write_text("".join(lines))
    return path


def command(rows, model, out, *more):
    return ["train", "--rows", str(rows), "--model", str(model), "--out", str(out), "--device", "cpu",
            "--batch-size", "2", "--max-steps", "2", *more]  # fmt: skip


def test_what_a_stopped_training_computed_is_not_shared(rows, tiny_model_dir, tmp_path, capsys, monkeypatch):
    """The command line ends with one line; the shared folder gets values from the training that starts right."""
    shared = tmp_path / "shared"
    arguments = command(rows, tiny_model_dir("llama"), tmp_path / "out", "--references", str(shared))
    ordinary = ReferenceCache.write
    wrong = lambda self, lines: ordinary(self, [(*line[:3], line[3] - 1.0) for line in lines])  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(ReferenceCache, "write", wrong)
        assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("anatomy: error: before the first step the policy is")
    assert str(tmp_path / "out" / "references") in error
    assert not shared.exists()
    assert main(arguments) == 2  # its own values stay wrong until they are deleted, as the error says
    assert main(command(rows, tiny_model_dir("llama"), tmp_path / "other", "--references", str(shared))) == 0
    assert len(list(shared.glob("*/*.parquet"))) == 1
    monkeypatch.setattr(dpo_trainer, "fill", lambda cache, *given: cache.read() or pytest.fail("computed again"))
    assert main(command(rows, tiny_model_dir("llama"), tmp_path / "third", "--references", str(shared))) == 0


def test_a_resumed_training_is_not_compared_with_where_it_started(tiny_model_dir, tmp_path):
    """After steps the policy is another model."""
    found = ours(tiny_model_dir("llama"), make_pairs(8), tmp_path, max_steps=2, save_strategy="steps", save_steps=1)
    again = ours(tiny_model_dir("llama"), make_pairs(8), tmp_path, run=False, max_steps=3).trainer
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert again.state.global_step == 3
    assert found.losses


@pytest.mark.parametrize("sharded", [False, True])
def test_a_sharded_policy_computes_in_the_types_of_its_reference(tiny_model_dir, tmp_path, sharded):
    """Without FSDP accelerate puts autocast into the policy's forward pass; TRL puts it around every reference."""
    trainer = ours(tiny_model_dir("llama"), make_pairs(4), tmp_path, run=False, bf16=True).trainer
    trainer.is_fsdp_enabled = sharded
    with trainer.compute_loss_context_manager():
        assert torch.is_autocast_enabled("cpu") == sharded
