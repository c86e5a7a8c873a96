"""A test that writes into the checkout fails; what tools keep for themselves is none of its business."""

import pytest
from support import checkout


def test_new_files_are_seen_at_any_depth_hidden_ones_included(tmp_path):
    (tmp_path / "runs").mkdir()
    before = checkout.files(tmp_path)
    for name in ("detectors/bold/.anatomy.lock", "plan.yaml", "runs/demo/manifest.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert checkout.files(tmp_path) - before == {str(path)}
        before.add(str(path))


def test_files_of_tools_are_left_out(tmp_path):
    for name in (".git/index", ".pytest_cache/a", "a/__pycache__/a.pyc", "x.egg-info/a", ".coverage", "node_modules/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert checkout.files(tmp_path) == set()


def test_each_new_file_fails_one_test(tmp_path):
    known = checkout.files(tmp_path)
    checkout.require_untouched(known, tmp_path)
    (tmp_path / "plan.yaml").touch()
    with pytest.raises(AssertionError, match=r"written into the checkout: .*plan\.yaml"):
        checkout.require_untouched(known, tmp_path)
    checkout.require_untouched(known, tmp_path)


def test_every_test_is_watched(request):
    assert "checkout_untouched" in request.fixturenames
