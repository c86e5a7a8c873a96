"""Token tables: TRL's own tokens where nothing is done, and what inoculation, masks, swaps and long prompts change."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from support.dpo_runs import config, load, make_pairs
from trl import DPOTrainer

from anatomy.activations.spans import encode_row
from anatomy.errors import RowsError
from anatomy.settings import ModelSettings
from anatomy.types import Pair
from interventions.backends.pair_edits import PairEdit, SideEdit
from interventions.training.token_rows import gap_tiers, tokenise_pair, write_tokens

ASK = "Use bold letters."


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return load(tiny_model_dir("llama"))


@pytest.fixture(scope="module")
def tokenizer(loaded):
    return loaded[1]


def unedited(pair, tokenizer, max_length=512):
    return tokenise_pair(pair, PairEdit(pair.row_id), tokenizer, max_length)


def pair_of(prompt, chosen, rejected):
    def turns(said, roles):
        return [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]

    return Pair(0, turns(prompt, ["user", "assistant", "user"][: len(prompt)]),
                turns([chosen], ["assistant"]), turns([rejected], ["assistant"]))  # fmt: skip


def test_the_tokens_are_those_of_trl(loaded, tmp_path):
    model, tokenizer = loaded
    awkward = pair_of(["Hello there"], "\n- one\n- two", "are you fine?")  # a newline that merges with the header's
    pairs = [*make_pairs(8), awkward]
    rows = [{"prompt": list(p.prompt), "chosen": list(p.chosen), "rejected": list(p.rejected)} for p in pairs]
    args = config(tmp_path, precompute_ref_log_probs=False)
    trainer = DPOTrainer(model=model, ref_model=load(model.name_or_path)[0], args=args, processing_class=tokenizer,
                         train_dataset=Dataset.from_list(rows))  # fmt: skip
    for pair, expected in zip(pairs, trainer.train_dataset, strict=True):
        line = unedited(pair, tokenizer)
        for name in ("chosen", "rejected"):
            assert line[name]["context"] == expected["prompt_ids"]
            assert line[name]["completion"] == expected[f"{name}_ids"]
            assert line[name]["policy_context"] is None
            assert all(line[name]["scored"])


def test_only_the_final_turn_is_scored(tokenizer):
    earlier = [{"role": "assistant", "content": "one two"}, {"role": "user", "content": "why not?"}]
    pair = pair_of(["Hello"], "three", "good")
    longer = replace(pair, chosen=[*earlier, *pair.chosen])
    line = unedited(longer, tokenizer)
    assert tokenizer.decode(line["chosen"]["completion"]) == "three<|im_end|>\n"
    assert "why not?" in tokenizer.decode(line["chosen"]["context"])
    assert line["rejected"] == unedited(pair, tokenizer)["rejected"]
    user = tokenizer.decode(line["chosen"]["context"][line["chosen"]["steer_from"] :])
    assert user.startswith("why not?")


def test_an_instruction_stands_in_the_policys_last_user_turn_only(tokenizer):
    pair = pair_of(["Hello", "one", "and why"], "three", "good")
    line = tokenise_pair(pair, PairEdit(pair.row_id, chosen=SideEdit(ASK)), tokenizer, 512)
    plain = unedited(pair, tokenizer)
    policy = tokenizer.decode(line["chosen"]["policy_context"])
    assert policy == tokenizer.decode(plain["chosen"]["context"]).replace("and why", f"and why\n\n{ASK}")
    assert line["chosen"]["context"] == plain["chosen"]["context"]
    assert line["chosen"]["completion"] == plain["chosen"]["completion"]
    assert line["rejected"] == plain["rejected"]


def test_both_views_keep_the_same_completion_tokens(tokenizer):
    """The policy's longer prompt leaves less room: the reference's completion is cut as short."""
    pair = pair_of(["Hello"], "one two three " * 10, "good")
    side = SideEdit(ASK)
    line = tokenise_pair(pair, PairEdit(pair.row_id, chosen=side, rejected=side), tokenizer, 60)
    longest = max(len(line["chosen"]["policy_context"]), len(line["chosen"]["context"]))
    assert len(line["chosen"]["completion"]) == 60 - longest
    assert unedited(pair, tokenizer, 60)["chosen"]["completion"][: 60 - longest] == line["chosen"]["completion"]


def test_responses_are_cut_to_their_own_window(tokenizer):
    pair = pair_of(["Hello"], "one two three " * 10, "good")
    whole, cut = unedited(pair, tokenizer), tokenise_pair(pair, PairEdit("x"), tokenizer, 512, max_response=5)
    for name in ("chosen", "rejected"):
        assert cut[name]["context"] == whole[name]["context"]
        assert cut[name]["completion"] == whole[name]["completion"][:5]
        assert len(cut[name]["scored"]) == len(cut[name]["completion"])
    assert len(cut["chosen"]["completion"]) == 5


def test_a_prompt_that_fills_the_window_leaves_no_row(tokenizer):
    pair = pair_of(["Hello there how are you"], "one", "two")
    room = len(unedited(pair, tokenizer)["chosen"]["context"])
    assert unedited(pair, tokenizer, room) is None
    assert len(unedited(pair, tokenizer, room + 1)["chosen"]["completion"]) == 1
    assert tokenise_pair(pair, PairEdit("x", chosen=SideEdit(ASK)), tokenizer, room + 1) is None


def test_no_user_turn_to_instruct(tokenizer):
    pair = Pair(7, [{"role": "system", "content": "Hello"}], [{"role": "assistant", "content": "one"}],
                [{"role": "assistant", "content": "two"}])  # fmt: skip
    with pytest.raises(RowsError, match="row 7: no user turn"):
        tokenise_pair(pair, PairEdit("x", chosen=SideEdit(ASK)), tokenizer, 512)


def test_masked_characters_are_those_tokens(tokenizer):
    """Ranges count in ``EncodedSide.text``; special tokens after the text stay scored."""
    text = "one **Bold** two"
    pair = pair_of(["Hello"], text, "good dog")
    assert encode_row(pair, tokenizer, ModelSettings()).sides["chosen"].text == text
    start = text.index("**")
    masked = SideEdit(masked=((start, start + 8),))
    side = tokenise_pair(pair, PairEdit(pair.row_id, chosen=masked), tokenizer, 512)["chosen"]
    left_out = [token for token, scored in zip(side["completion"], side["scored"], strict=True) if not scored]
    assert tokenizer.decode(left_out).strip() == "**Bold**"
    kept = [token for token, scored in zip(side["completion"], side["scored"], strict=True) if scored]
    assert tokenizer.decode(kept).split() == ["one", "two<|im_end|>"]


def test_swapped_sides_change_places(tokenizer):
    pair = pair_of(["Hello"], "one", "two three")
    line, plain = tokenise_pair(pair, PairEdit(pair.row_id, swapped=True), tokenizer, 512), unedited(pair, tokenizer)
    assert (line["chosen"], line["rejected"]) == (plain["rejected"], plain["chosen"])


def test_steering_starts_with_the_last_user_turn_of_the_policys_prompt(tokenizer):
    pair = pair_of(["Hello", "one", "and why"], "three", "good")
    for instruction in (None, ASK):
        line = tokenise_pair(pair, PairEdit("x", chosen=SideEdit(instruction)), tokenizer, 512)["chosen"]
        read = (line["policy_context"] or line["context"])[line["steer_from"] :]
        assert tokenizer.decode(read).startswith("and why")


def test_tiers_are_quarters_and_ties_are_neither():
    rows = [PairEdit(str(gap), gaps={"a": float(gap)}) for gap in range(8)]
    tier = gap_tiers(rows, ["a", "b"])
    assert [tier(row)[0] for row in rows] == [-1, -1, 0, 0, 0, 0, 1, 1]
    assert {tier(row)[1] for row in rows} == {0}
    rare = [PairEdit(str(number), gaps={"a": 3.0 if number == 0 else 0.0}) for number in range(8)]
    assert [gap_tiers(rare, ["a"])(row)[0] for row in rare] == [1] + [0] * 7


def test_the_table_comes_back_and_may_not_be_empty(tokenizer, tmp_path):
    pairs = make_pairs(5)
    lines = [unedited(pair, tokenizer) for pair in pairs]
    write_tokens(tmp_path / "tokens.arrow", [lines[0], None, *lines[1:]])
    table = Dataset.from_file(str(tmp_path / "tokens.arrow"))
    assert table["row_id"][:] == [pair.row_id for pair in pairs]
    assert table[3]["chosen"] == lines[3]["chosen"]
    assert np.isclose(table[0]["offset"], 0)
    with pytest.raises(RowsError, match="no pair is left"):
        write_tokens(tmp_path / "none.arrow", [None])
