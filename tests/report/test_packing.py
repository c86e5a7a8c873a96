"""The page gets what was computed: arrays survive, no text can end its script, places repeat."""

import base64
import json

import numpy as np
import pytest
from scipy import stats

from anatomy.report.packing import counts, pack, signed_bytes, to_json
from anatomy.report.positions import map_positions

DTYPES = {"i8": "<i1", "u8": "<u1", "u16": "<u2", "i32": "<i4", "u32": "<u4", "f32": "<f4"}


def unpack(packed):
    return np.frombuffer(base64.b64decode(packed["b"]), DTYPES[packed["t"]])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "int32", "uint32", "float32"])
def test_arrays_survive(dtype):
    values = np.array([0, 1, 7, 100], dtype)
    assert np.array_equal(unpack(pack(values)), values)
    assert np.array_equal(unpack(pack(values[::2])), values[::2])


@pytest.mark.parametrize(("largest", "kind"), [(0, "u8"), (255, "u8"), (256, "u16"), (65_535, "u16"), (65_536, "u32")])
def test_counts_take_the_smallest_type(largest, kind):
    packed = counts(np.array([0, largest]))
    assert packed["t"] == kind
    assert unpack(packed).tolist() == [0, largest]


def test_an_empty_array_is_packed():
    assert unpack(counts(np.zeros(0, np.int64))).size == 0


def test_signals_keep_their_sign_and_half_a_step():
    values = np.concatenate([np.random.default_rng(0).normal(size=500), [0, 1e-9, -1e-9]])
    packed = signed_bytes(values)
    back = unpack(packed["v"]) * packed["scale"]
    assert np.array_equal(np.sign(back), np.sign(values))
    assert np.abs(back - values).max() <= packed["scale"]
    assert np.abs((back - values)[np.abs(values) > packed["scale"]]).max() <= packed["scale"] / 2 + 1e-12
    assert unpack(signed_bytes(np.zeros(3))["v"]).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "<!--", "\u2028\u2029", "\ud800 lone", 'quote " \\ \x00 \x1b', "😀"]
)
def test_no_text_ends_its_script(text):
    packed = to_json({text: [text, float("nan"), np.float32(1.5)]})
    assert not set("<\u2028\u2029") & set(packed)
    packed.encode("utf-8")
    assert json.loads(packed) == {text: [text, None, 1.5]}


def test_clusters_that_move_together_lie_together():
    """Three planted groups of ten: within a group places are nearer than between groups; the same twice."""
    generator = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 10)
    signal = generator.normal(size=(400, 3))[:, group] + 0.7 * generator.normal(size=(400, 30))
    places = map_positions(signal, seed=0)
    assert np.array_equal(places, map_positions(signal, seed=0))
    assert places.min() >= 0
    assert places.max() <= 1
    distance = np.linalg.norm(places[:, None] - places, axis=2)
    same, upper = group[:, None] == group, np.triu(np.ones((30, 30), bool), 1)
    assert stats.mannwhitneyu(distance[same & upper], distance[~same & upper], alternative="less").pvalue < 1e-6


@pytest.mark.parametrize("n_clusters", [1, 2, 3])
def test_few_clusters_have_places(n_clusters):
    places = map_positions(np.random.default_rng(0).normal(size=(20, n_clusters)), seed=0)
    assert places.shape == (n_clusters, 2)
    assert np.isfinite(places).all()
