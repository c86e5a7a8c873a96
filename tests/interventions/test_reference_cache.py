"""Reference log-probabilities: never stale, never misaligned, not computed twice, shared between processes."""

import pytest
import torch
from support.damage import DAMAGES
from support.dpo_runs import make_pairs, ours, token_table
from transformers import AutoTokenizer

from interventions.backends.pair_edits import PairEdit, SideEdit
from interventions.training import reference_cache
from interventions.training.reference_cache import ReferenceCache, fill, sequence_key, with_references


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir):
    return AutoTokenizer.from_pretrained(tiny_model_dir("llama"))


def counting(calls):
    """Stands in for the model: the value of a sequence is a number made from its tokens."""

    def forward(rows):
        calls.append([row["row_id"] for row in rows])
        return tuple(torch.tensor([value(row[name]) for row in rows]) for name in ("chosen", "rejected"))

    return forward


def value(side):
    return -float(sum(side["context"]) % 97 + sum(side["completion"]) / 128 + sum(side["scored"]))


def test_rows_are_found_by_content(tokenizer, tmp_path):
    """A set with rows dropped, swapped and in another order reads the same values and computes nothing."""
    pairs = make_pairs(9)
    cache, calls = ReferenceCache(tmp_path / "cache", {"model": "a"}), []
    table, _ = token_table(pairs, tokenizer, tmp_path)
    fill(cache, table, counting(calls), batch_size=2)
    assert [len(call) for call in calls] == [2, 2, 2, 2, 1]
    changed = {pairs[4].row_id: PairEdit(pairs[4].row_id, dropped="x"),
               pairs[5].row_id: PairEdit(pairs[5].row_id, swapped=True)}  # fmt: skip
    other, _ = token_table(list(reversed(pairs)), tokenizer, tmp_path / "other", changed)
    fill(cache, other, counting(calls), batch_size=4)
    assert len(calls) == 5
    found = with_references(other, cache)
    for row in found:
        assert row["ref_chosen_logps"] == value(row["chosen"])
        assert row["ref_rejected_logps"] == value(row["rejected"])


def test_what_changes_a_value_changes_its_key(tokenizer, tmp_path):
    """Window, masks and prompt are in the key; what only the policy sees is not."""
    pair = make_pairs(1)[0]

    def key(edit=None, max_length=64):
        table, _ = token_table([pair], tokenizer, tmp_path, {pair.row_id: edit} if edit else None, max_length)
        return sequence_key(table[0]["chosen"])

    plain = key()
    policy_only = SideEdit(instruction="Be bold.", steered=(0,))
    assert key(PairEdit(pair.row_id, offset=2.0, chosen=policy_only), 90) == plain
    assert key(PairEdit(pair.row_id, chosen=SideEdit(masked=((0, 4),)))) != plain
    context = token_table([pair], tokenizer, tmp_path)[0][0]["chosen"]["context"]
    assert key(max_length=len(context) + 2) != plain


def test_another_model_has_other_values(tmp_path):
    paths = {
        ReferenceCache(tmp_path, made).path for made in ({"model": "a"}, {"model": "b"}, {"model": "a", "bf16": True})
    }
    assert len(paths) == 3


def test_a_changed_window_gives_no_stale_values(tiny_model_dir, tmp_path):
    """TRL's own cache served values of the old window; the first loss would be off log 2."""
    for max_length in (64, 44):
        found = ours(tiny_model_dir("llama"), make_pairs(8), tmp_path, max_length=max_length, max_steps=1)
        assert found.losses[0] == pytest.approx(0.693147, abs=1e-4)


def test_processes_share_the_work_and_run_equally_often(tokenizer, tmp_path):
    table, _ = token_table(make_pairs(9), tokenizer, tmp_path)
    cache = ReferenceCache(tmp_path / "cache", {"model": "a"})
    calls = [[], []]
    alone = ReferenceCache(tmp_path / "alone", {"model": "a"})
    fill(alone, table, counting([]), batch_size=2)
    for rank in (0, 1):  # five blocks: the second process repeats one, so that sharded models do not wait for it
        other = ReferenceCache(tmp_path / f"rank{rank}", {"model": "a"})
        fill(other, table, counting(calls[rank]), batch_size=2, rank=rank, world=2)
        for part in other.path.iterdir():
            cache.path.mkdir(parents=True, exist_ok=True)
            part.rename(cache.path / part.name)
    assert len(calls[0]) == len(calls[1]) == 3
    assert cache.read() == alone.read()


def test_a_killed_computation_goes_on(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("interventions.training.reference_cache.BLOCKS_PER_PART", 1)
    table, _ = token_table(make_pairs(9), tokenizer, tmp_path)
    cache, calls = ReferenceCache(tmp_path / "cache", {"model": "a"}), []

    def dying(rows):
        if len(calls) == 3:
            raise KeyboardInterrupt
        return counting(calls)(rows)

    with pytest.raises(KeyboardInterrupt):
        fill(cache, table, dying, batch_size=2)
    fill(cache, table, counting(calls), batch_size=2)
    assert len(calls) == 5
    assert len(with_references(table, cache)) == 9


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_part_is_computed_again_alone(tokenizer, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(reference_cache, "BLOCKS_PER_PART", 1)
    cache, calls = ReferenceCache(tmp_path / "cache", {"model": "a"}), []
    table, _ = token_table(make_pairs(6), tokenizer, tmp_path)
    fill(cache, table, counting(calls), batch_size=2)
    before = {path.name: path.read_bytes() for path in cache.path.iterdir()}
    assert len(before) == len(calls) == 3
    damage(cache.path / sorted(before)[1])
    fill(cache, table, counting(calls), batch_size=2)
    assert len(calls) == 4
    assert {path.name: path.read_bytes() for path in cache.path.iterdir()} == before


def test_all_processes_take_the_list_of_the_first(tokenizer, tmp_path):
    """Another training may have shared its values before this process read them: it computes its part all the same."""
    table, _ = token_table(make_pairs(9), tokenizer, tmp_path)
    cache, calls = ReferenceCache(tmp_path / "cache", {"model": "a"}), []
    fill(cache, table, counting([]), batch_size=2)
    fill(cache, table, counting(calls), batch_size=2, rank=1, world=2, agree=lambda missing: [*missing, 0, 2, 4, 6, 8])
    assert [len(call) for call in calls] == [2, 2, 1]


def test_a_trainer_asks_the_first_process_what_is_missing(tiny_model_dir, tmp_path, monkeypatch):
    from interventions.training import dpo_trainer

    seen = []
    monkeypatch.setattr(dpo_trainer, "broadcast_object_list", lambda boxed: seen.append(list(boxed)) or boxed)
    ours(tiny_model_dir("llama"), make_pairs(7), tmp_path, run=False)
    assert seen == [[[0, 2, 4, 6]]]


def test_values_are_shared_by_content(tmp_path):
    """What is shared is read before what is kept here, and is written once."""
    shared = tmp_path / "shared"
    first = ReferenceCache(tmp_path / "first", {"model": "a"}, shared)
    first.write([("row", "chosen", "k1", -1.0)])
    assert ReferenceCache(tmp_path / "second", {"model": "a"}, shared).read() == {}
    first.share()
    before = {path: path.stat().st_mtime_ns for path in shared.rglob("*.parquet")}
    first.share()
    assert {path: path.stat().st_mtime_ns for path in shared.rglob("*.parquet")} == before
    assert ReferenceCache(tmp_path / "second", {"model": "a"}, shared).read() == {"k1": -1.0}
    assert ReferenceCache(tmp_path / "third", {"model": "b"}, shared).read() == {}
    ReferenceCache(tmp_path / "fourth", {"model": "a"}).share()
