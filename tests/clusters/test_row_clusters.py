"""Silent bucket and spherical k-means (method.md §5)."""

import numpy as np

from anatomy.clusters.label_ids import by_size, sizes
from anatomy.clusters.row_clusters import silent_rows, spherical_kmeans


def test_silent_bucket_is_the_quietest_share_and_every_row_without_activity() -> None:
    s = np.arange(1, 101, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    assert set(np.flatnonzero(silent_rows(s, 0.05))) == {0, 1, 2, 3, 4}
    s[40:60] = 0
    assert silent_rows(s, 0.05).sum() == 20


def planted_rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows along four directions, with norms over two orders of magnitude that carry no information."""
    generator = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2, 3], [200, 120, 60, 20])
    s = np.abs(np.eye(4)[truth] @ generator.random((4, 12)) ** 4 + 0.03 * generator.standard_normal((400, 12)))
    return s * 10 ** generator.uniform(-1, 1, (400, 1)), truth


def test_directions_are_found_whatever_the_norms() -> None:
    s, truth = planted_rows(0)
    labels = spherical_kmeans(s, 4, seed=0)
    for group in range(4):
        assert set(labels[truth == group]) == {group + 1}  # groups are planted in order of size


def test_each_row_is_nearest_to_the_mean_direction_of_its_own_cluster() -> None:
    generator = np.random.default_rng(1)
    s = generator.random((500, 6))
    labels = spherical_kmeans(s, 7, seed=1, gain=0.0)
    unit = s / np.linalg.norm(s, axis=1, keepdims=True)
    centroids = np.stack([unit[labels == k].mean(axis=0) for k in range(1, 8)])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    np.testing.assert_array_equal((unit @ centroids.T).argmax(axis=1) + 1, labels)


def test_silent_rows_get_label_zero_and_seeds_repeat() -> None:
    s, _ = planted_rows(2)
    silent = silent_rows(s, 0.05)
    labels = spherical_kmeans(s, 4, 3, silent)
    np.testing.assert_array_equal(labels == 0, silent)
    np.testing.assert_array_equal(labels, spherical_kmeans(s, 4, 3, silent))


def test_more_clusters_than_rows_or_than_distinct_rows() -> None:
    assert sorted(spherical_kmeans(np.eye(3), 10, 0)) == [1, 2, 3]
    same = spherical_kmeans(np.ones((6, 2)), 3, 0)
    assert set(same) == {1, 2, 3}  # no cluster is left empty
    np.testing.assert_array_equal(spherical_kmeans(np.zeros((4, 2)), 2, 0), np.zeros(4))


def test_labels_by_size() -> None:
    np.testing.assert_array_equal(by_size(np.array([5, 2, 2, -1, 2, 5, 9]), min_size=2), [2, 1, 1, 0, 1, 2, 0])
    np.testing.assert_array_equal(sizes(np.array([2, 1, 1, 0, 1, 2, 0])), [3, 2])
