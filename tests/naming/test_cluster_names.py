"""Names: planted tokens, n-grams and correlates are found, nulls are not, and the drawing of exemplars is as said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from scipy import sparse, stats

from anatomy.clusters.assignments import Clusters
from anatomy.naming.cluster_names import Rows, label_clusters, sampled_rows
from anatomy.naming.describe import top_tokens
from anatomy.naming.exemplars import Hits, Spans, by_feature, choose, gather
from anatomy.text.ngrams import contrast_ngrams, contrast_z, count_ngrams
from anatomy.text.visible import excerpt, visible
from anatomy.types import SPANS

FILLER = ["river", "stone", "cloud", "paper", "green", "seven", "window", "table", "morning", "quiet", "road", "letter"]
N_ROWS, N_FEATURES, SHARD_ROWS = 240, 12, 64
CONCEPTS = {"bold": lambda text: float(text.count("**")), "question": lambda text: float(text.count("?"))}


class FakeShard:
    """Rows ``start`` to ``stop`` of dense [N, F] matrices by span and statistic."""

    def __init__(self, dense: dict[tuple[str, str], np.ndarray], start: int, stop: int) -> None:
        self.dense, self.start, self.stop = dense, start, stop

    def matrix(self, span: str, statistic: str) -> sparse.csr_array:
        return sparse.csr_array(self.dense[span, statistic][self.start : self.stop])


class World:
    """Texts whose tokens decide which feature fires: feature 1 on ``**``, 2 on ``physics``, 0 on ``river``.

    Cluster 1 = features 0 and 3 (fires on ``river``), 2 = feature 1 (bold), prompt cluster 1 = feature 2 (physics);
    features 5–8 (cluster 3) fire at random. The first half of the rows have prompts about physics: data cluster 1.
    """

    def __init__(self, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.tokens: dict[tuple[int, str], list[str]] = {}
        names = [
            (span, statistic)
            for span in ("prompt", "chosen", "rejected")
            for statistic in ("freq", "max", "at", "fires")
        ]
        self.dense = {name: np.zeros((N_ROWS, N_FEATURES), np.float32) for name in names}
        for row in range(N_ROWS):
            for span in SPANS:
                words = list(generator.choice(FILLER, size=int(generator.integers(20, 40))))
                if span == "prompt" and row < N_ROWS // 2:
                    words[3] = "physics"
                if span != "prompt" and generator.random() < 0.4:
                    words[1:4] = ["**", "note", "**"]
                self._add(row, span, [f" {word}" for word in words], generator)
        self.prompt_ids = [f"prompt{row // 2}" for row in range(N_ROWS)]

    def _add(self, row: int, span: str, tokens: list[str], generator: np.random.Generator) -> None:
        self.tokens[row, span] = tokens
        fires = {0: "river", 1: "**", 2: "physics", 3: "river"}
        at = {feature: [i for i, token in enumerate(tokens) if token == f" {word}"] for feature, word in fires.items()}
        at |= {feature: [int(generator.integers(len(tokens)))] for feature in range(5, 9) if generator.random() < 0.5}
        for feature, positions in at.items():
            if positions:
                self.dense[span, "freq"][row, feature] = len(positions) / len(tokens) if feature < 5 else 0.04
                self.dense[span, "fires"][row, feature] = 1
                self.dense[span, "max"][row, feature] = 1 + feature
                self.dense[span, "at"][row, feature] = positions[0] + 1

    def shards(self) -> Iterator[FakeShard]:
        return (FakeShard(self.dense, start, min(start + SHARD_ROWS, N_ROWS)) for start in range(0, N_ROWS, SHARD_ROWS))

    def rows(self) -> Rows:
        return Rows(
            row_ids=[f"row{row}" for row in range(N_ROWS)],
            indices=range(1000, 1000 + N_ROWS),
            prompt_ids=self.prompt_ids,
            text_of=lambda row, span: "".join(self.tokens[row, span]),
            tokens_of=lambda row, span: self.tokens[row, span],
        )

    def clusters(self) -> Clusters:
        response_F = np.array([1, 2, 0, 1, 0, 3, 3, 3, 3, 0, 0, 0])
        prompt_F = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        data_N = np.where(np.arange(N_ROWS) < N_ROWS // 2, 1, 2)
        data_N[-5:] = 0
        cosine_N = np.linspace(1, 0.1, N_ROWS)
        return Clusters(response_F, prompt_F, prompt_F, data_N, cosine_N)

    def labels(self, seed: int = 0) -> dict:
        return label_clusters(self.shards, self.rows(), self.clusters(), CONCEPTS, seed)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def labels(world: World) -> dict:
    return world.labels()


def test_every_cluster_has_a_name(labels: dict) -> None:
    assert list(labels) == ["response", "data", "prompt"]
    assert set(labels["response"]) == {"R1", "R2", "R3", "S1"}
    assert set(labels["data"]) == {"D0", "D1", "D2"}
    assert set(labels["prompt"]) == {"P1"}
    everyone = [label for kind in labels.values() for label in kind.values()]
    assert all(label["label"] and isinstance(label["label"], str) for label in everyone)


def test_planted_tokens_lead(labels: dict) -> None:
    river, stars = labels["response"]["R1"], labels["response"]["R2"]
    assert [river["top_tokens"][0][key] for key in ("token", "weight")] == ["river", 1.0]
    assert [item["token"] for item in stars["top_tokens"]] == ["**"]
    assert [item["token"] for item in labels["prompt"]["P1"]["top_tokens"]] == ["physics"]
    assert "«river»" in river["label"]


def test_parts_of_a_character_name_nothing() -> None:
    """A cluster that fires on a character of two tokens, on one token of another, and on spaces."""
    tokens = [["\ufffd", "\ufffd ", "é", " ", "\ufffdx", "word", "and", "more"]] * 200
    span, position = (axis.ravel() for axis in np.mgrid[:200, :5])
    hits = Hits(span, np.ones_like(span), position, np.ones(span.size))
    spans = Spans(np.arange(200), ["chosen"] * 200, np.ones((200, 2)), hits)
    assert [item["token"] for item in top_tokens(spans, tokens)[1]] == ["é", visible(" "), "\ufffdx"]


def test_features_at_random_tokens_get_no_token_and_no_correlate(labels: dict) -> None:
    assert labels["response"]["R3"]["top_tokens"] == []
    assert labels["response"]["R3"]["correlates"] == []
    assert "bold" not in labels["response"]["R3"]["label"]


def test_trivial_concept_names_its_cluster_only(world: World, labels: dict) -> None:
    found = {name: [item["concept"] for item in label["correlates"]] for name, label in labels["response"].items()}
    assert found["R2"][0] == "bold"
    assert labels["response"]["R2"]["label"].startswith("bold (")
    assert not labels["response"]["R1"]["label"].startswith("bold")
    assert "question" not in {concept for concepts in found.values() for concept in concepts}
    rate = [world.tokens[row, side].count(" **") / len(world.tokens[row, side])
            for side in ("chosen", "rejected") for row in range(N_ROWS)]  # fmt: skip
    activity = np.concatenate([world.dense[side, "freq"][:, 1] for side in ("chosen", "rejected")])
    expected = stats.spearmanr(rate, activity).statistic
    assert labels["response"]["R2"]["correlates"][0]["r"] == pytest.approx(expected, abs=1e-3)


def test_data_cluster_is_named_by_its_prompts(labels: dict) -> None:
    inside, outside = labels["data"]["D1"], labels["data"]["D2"]
    assert inside["label"].startswith("«physics»")
    assert inside["ngrams"][0]["ngram"] == "physics"
    assert "physics" not in outside["label"]
    assert {exemplar["side"] for exemplar in inside["exemplars"]} == {"prompt"}
    assert all(exemplar["tokens"][0] == " physics" for exemplar in inside["exemplars"])
    assert labels["data"]["D0"]["n_rows"] == 5
    assert labels["data"]["D0"]["exemplars"] == []
    assert inside["n_rows"] == N_ROWS // 2


def test_exemplars_point_at_the_tokens_that_fired(world: World, labels: dict) -> None:
    for exemplar in labels["response"]["R1"]["exemplars"]:
        row = int(exemplar["row_id"].removeprefix("row"))
        assert exemplar["index"] == 1000 + row
        tokens = world.tokens[row, exemplar["side"]]
        assert [tokens[position] for position in exemplar["positions"]] == [" river"]
        assert " river" in exemplar["text"]
        assert exemplar["text"].strip("…") in "".join(tokens)
        assert len(exemplar["text"]) <= 300


def test_exemplars_are_thirty_nearest_and_twenty_others_at_most_two_a_prompt(world: World, labels: dict) -> None:
    for kind, name in (("response", "R1"), ("response", "R3"), ("data", "D1")):
        exemplars = labels[kind][name]["exemplars"]
        assert Counter(exemplar["kind"] for exemplar in exemplars) == {"nearest": 30, "random": 20}
        assert len({(exemplar["row_id"], exemplar["side"]) for exemplar in exemplars}) == 50
        prompts = Counter(world.prompt_ids[exemplar["index"] - 1000] for exemplar in exemplars)
        assert max(prompts.values()) <= 2


def test_nearest_are_the_most_active(world: World, labels: dict) -> None:
    activity = {
        (row, side): world.dense[side, "freq"][row, [0, 3]].sum()
        for row in range(N_ROWS)
        for side in ("chosen", "rejected")
    }
    shown = [activity[exemplar["index"] - 1000, exemplar["side"]] for exemplar in labels["response"]["R1"]["exemplars"]]
    assert shown[:30] == sorted(shown[:30], reverse=True)
    assert shown[0] == max(activity.values())
    assert min(shown[:30]) >= max(shown[30:]) - 0.05
    assert labels["response"]["R1"]["n_spans"] == sum(value > 0 for value in activity.values())


def test_same_seed_same_labels_other_seed_other_exemplars(world: World, labels: dict) -> None:
    assert world.labels() == labels
    assert world.labels(seed=1)["response"]["R1"]["exemplars"] != labels["response"]["R1"]["exemplars"]


def test_only_announced_rows_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anatomy.naming.cluster_names.SAMPLE_ROWS", 50)
    clusters, rows = world.clusters(), world.rows()
    announced = set(sampled_rows(world.prompt_ids, clusters, 3).tolist())
    asked: set[int] = set()

    def tokens_of(row: int, span: str) -> Sequence[str]:
        asked.add(row)
        return world.tokens[row, span]

    label_clusters(
        world.shards, Rows(rows.row_ids, rows.indices, rows.prompt_ids, rows.text_of, tokens_of), clusters, CONCEPTS, 3
    )
    assert asked == announced
    assert len(announced) < N_ROWS


def test_gather_equals_brute_force(world: World) -> None:
    labels_F = world.clusters().response_F
    rows = np.array([0, 5, 63, 64, 200, 239])
    spans = gather(world.shards, rows, ("chosen", "rejected"), by_feature(labels_F), 3)
    assert spans.row_S.tolist() == rows.tolist() * 2
    for position, (row, side) in enumerate(zip(spans.row_S, spans.side_S, strict=True)):
        frequency = world.dense[side, "freq"][row]
        for cluster in range(4):
            assert spans.activity_SM[position, cluster] == pytest.approx(frequency[labels_F == cluster].sum(), abs=1e-6)
        mass: Counter = Counter()
        for feature in np.flatnonzero((labels_F == 3) & (frequency > 0)):
            mass[int(world.dense[side, "at"][row, feature]) - 1] += float(world.dense[side, "max"][row, feature])
        expected = sorted(mass, key=lambda place: (-mass[place], place))[:3]
        mine = (spans.hits.span == position) & (spans.hits.cluster == 3)
        assert spans.hits.position[mine].tolist() == expected
        assert spans.hits.value[mine].tolist() == [mass[place] for place in expected]


def test_choose_by_hand() -> None:
    """Scores 5, 4, 3, 2, 0 with prompts a a a b b: two nearest are 0 and 1, then prompt a is full; 4 never fires."""
    scores, prompts = np.array([5.0, 4, 3, 2, 0]), list("aaabb")
    best, others = choose(scores, prompts, 3, 5, np.random.default_rng(0))
    assert best == [0, 1, 3]
    assert others == []


def test_contrast_z_equals_scipy() -> None:
    generator = np.random.default_rng(0)
    inside, outside = generator.poisson(3, 40).astype(float), generator.poisson(9, 40).astype(float)
    outside[:5], inside[5:8] = 0, 0
    z = contrast_z(inside, outside)
    for item in np.flatnonzero(inside + outside):
        table = [[inside[item], inside.sum() - inside[item]], [outside[item], outside.sum() - outside[item]]]
        g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        more = inside[item] / inside.sum() > outside[item] / outside.sum()
        assert z[item] == pytest.approx(np.sqrt(g) * (1 if more else -1), abs=1e-6)
    assert not contrast_z(np.zeros(2), np.ones(2)).any()
    assert contrast_z(np.array([0.0, 4.0]), np.array([0.0, 9.0]))[0] == 0


def test_contrast_z_of_a_null_split_is_standard_normal() -> None:
    generator = np.random.default_rng(0)
    inside, outside = generator.poisson(20, 4000), generator.poisson(60, 4000)
    z = contrast_z(inside.astype(float), outside.astype(float))
    assert abs(z.mean()) < 0.1
    assert 0.95 < z.std() < 1.05


def test_a_word_found_only_inside_leads_one_that_is_frequent_everywhere() -> None:
    """17 of 17 texts against 16 of 24; rare accidents (2 of 2) come after both."""
    z = contrast_z(np.array([17.0, 16, 2, 1600]), np.array([0.0, 8, 0, 19400]))
    assert z[0] > z[1] > z[2] > z[3]


def test_one_repeated_text_does_not_name_a_group() -> None:
    generator = np.random.default_rng(1)
    texts = [" ".join(generator.choice(FILLER, 30)) for _ in range(80)] + ["buy zorp now zorp zorp"] * 20
    inside = np.zeros((100, 1), bool)
    inside[:30], inside[80:] = True, True
    texts[:30] = [f"{text} quasar pulsar" for text in texts[:30]]
    found = [item.ngram for item in contrast_ngrams(count_ngrams(texts), inside)[0]]
    assert found[0] in ("quasar pulsar", "quasar", "pulsar")
    assert not any("zorp" in ngram for ngram in found)


def test_contrast_of_nothing_is_empty() -> None:
    assert contrast_ngrams(count_ngrams([]), np.zeros((0, 2), bool)) == [[], []]
    assert contrast_ngrams(count_ngrams(["same words"] * 4), np.ones((4, 1), bool)) == [[]]


def test_no_ngram_is_part_of_another() -> None:
    texts = [f"as an ai model {word}" for word in FILLER] + [f"well then my friend {word}" for word in FILLER]
    inside = np.arange(len(texts))[:, None] < len(FILLER)
    found = [item.ngram for item in contrast_ngrams(count_ngrams(texts), inside)[0]]
    assert found
    assert not any(f" {a} " in f" {b} " for a in found for b in found if a != b)


def test_no_rows_and_no_clusters() -> None:
    nothing = np.zeros(0, np.int64)
    none_F = np.zeros(4, np.int64)
    rows = Rows([], [], [], lambda row, span: "", lambda row, span: [])
    empty = Clusters(none_F, none_F, none_F, nothing, nothing.astype(float))
    assert label_clusters(lambda: iter(()), rows, empty, CONCEPTS, 0) == {"response": {}, "data": {}, "prompt": {}}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [("\n\n", "↵↵"), ("a\tb", "a⇥b"), ("  ", "␣␣"), ("\x1b[31mred", "\\u001b[31mred"), ("\u202egnp", "\\u202egnp"),
     ("\ud800", "\\ud800"), ("👩\u200d🔬", "👩\u200d🔬"), (" word", " word"), ("\x9b1m", "\\u009b1m")],
)  # fmt: skip
def test_visible(raw: str, shown: str) -> None:
    assert visible(raw) == shown


def test_excerpt_holds_the_position_and_survives_utf8() -> None:
    pieces = ["word "] * 500 + ["HERE ", "bad\ud800 "] + ["tail "] * 500
    text = excerpt(pieces, 500)
    assert len(text) == 300
    assert "HERE" in text
    assert text.startswith("…")
    assert text.endswith("…")
    assert text.encode("utf-8")
    assert excerpt(["a", "b"], 1) == "ab"
    assert excerpt([], 0) == ""
