"""`anatomy name` against a local endpoint: one that finds a rule, one that guesses, one that is silent."""

import json
import random
import re
import shutil

import httpx
import pytest
from support.chat_server import PATIENCE_S, Act, completion
from support.run_flags import flags_for

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.features.feature_store import FeatureStore
from anatomy.judge.endpoint import Endpoint
from anatomy.naming.held_out import cases
from anatomy.report.terminal import render
from anatomy.runs.run import Run
from anatomy.runs.saved_names import read_names
from anatomy.workflows import cluster as cluster_workflow
from anatomy.workflows.report import report

KINDS = {"R", "S", "D", "P"}


@pytest.fixture
def run(audited, tmp_path):
    shutil.copytree(audited, tmp_path / "run")
    return tmp_path / "run"


def asked(run, server, *more):
    options = ["--judge-url", server.url, "--judge-model", "m", "--retries", "0", "--timeout", str(PATIENCE_S)]
    return main(["name", str(run), *flags_for(run, "model"), *options, *more])


def texts_in(request):
    """Name of each fenced text → the text, as a model would read it."""
    user = request["messages"][1]["content"]
    return {name: text for name, fence, text in re.findall(r"(?s)\[([^\]]+) (\w{32})\]\n(.*?)\n\[end of \1 \2\]", user)}


def words(text):
    text = text.split("\n(strongest at")[0]
    return {*text.split(), *(piece for piece in ("**", "Tell", "number") if piece in text)}


def competent(request, _):
    """Names the word that sets the texts apart best, and tells by it which texts fit."""
    texts = texts_in(request)
    if "description" not in texts:
        sorts = [
            [words(text) for name, text in texts.items() if name.startswith(sort + " ")] for sort in ("with", "without")
        ]
        known = sorted(set().union(*sorts[0]))
        share = {word: [sum(word in found for found in sort) / len(sort) for sort in sorts] for word in known}
        best = max(known, key=lambda word: share[word][0] - share[word][1])
        return Act(completion(json.dumps({"title": best, "description": f"The text has the word {best}"})))
    word = texts.pop("description").split(": ")[0]
    fits = [int(name.split()[1]) for name, text in texts.items() if word in words(text)]
    return Act(completion(json.dumps({"fits": fits, "unsure": []})))


def guessing(request, _):
    texts = texts_in(request)
    if "description" not in texts:
        return Act(completion(json.dumps({"title": "Something", "description": "The text is a text."})))
    coin = random.Random(json.dumps(request))
    return Act(completion(json.dumps({"fits": [n for n in range(1, len(texts)) if coin.random() < 0.5], "unsure": []})))


def record(run):
    return json.loads((run / artifacts.NAMES).read_text())["names"]


def test_names_and_tests_share_no_prompt(audited):
    store = FeatureStore(audited / artifacts.FEATURES)
    clusters = Run.at(audited).clusters
    found = cases(store, clusters, ["R1", "S1", "P1", "D1"], 12, 20, 0)
    for case in found.values():
        naming, testing = ([store.prompt_ids[place.row] for part in sorts for place in part] for sorts in case)
        assert len(naming) >= 10
        assert not set(naming) & set(testing)
        for half in (naming, testing):
            assert len(set(half)) == len(half)


def test_strong_texts_are_more_active_than_quiet_ones(audited):
    """Against activity added up from the feature store."""
    store = FeatureStore(audited / artifacts.FEATURES)
    clusters = Run.at(audited).clusters
    activity = {side: store.matrix(side, "freq")[:, clusters.response_F == 1].sum(1) for side in ("chosen", "rejected")}
    for sorts in cases(store, clusters, ["R1"], 12, 20, 0)["R1"]:
        strong, quiet = ([float(activity[place.span][place.row]) for place in part] for part in sorts)
        assert len(strong) == len(quiet) > 5
        assert min(strong) > max(quiet)


def test_a_namer_that_finds_a_rule_scores_high_and_its_names_are_shown(run, server, capsys):
    server.act = competent
    assert asked(run, server) == 0
    names = record(run)
    assert {name[0] for name in names} == KINDS
    scores = {name: entry["score"] for name, entry in names.items() if entry["score"] is not None}
    best = max(scores, key=scores.get)
    assert scores[best] > 0.85
    assert names[best]["verified"]
    assert any(not entry["verified"] for entry in names.values())
    text = capsys.readouterr()
    assert f"{sum(entry['verified'] for entry in names.values())} of the names verified" in text.out
    named = sum(bool(entry["title"]) for entry in names.values())
    assert f"to name: judge: {named} requests (0 answers in the cache)" in text.err
    shown = render(run, cluster=best)
    assert f"named: {names[best]['title']}" in shown
    assert "verified:" in shown
    report(run)
    page = (run / artifacts.REPORT / artifacts.REPORT_PAGE).read_text()
    main_part = json.loads(page.split('id="part-main">')[1].split("</script>")[0])
    assert main_part["clusters"][best]["name"]["title"] == names[best]["title"]
    assert main_part["clusters"][best]["label"]
    requests = len(server.requests)
    assert asked(run, server) == 0  # every answer is kept
    assert len(server.requests) == requests


def test_a_namer_that_guesses_scores_a_half(run, server):
    server.act = guessing
    scores, verified = [], 0
    for model in ("m1", "m2", "m3", "m4"):  # other coins
        assert asked(run, server, "--judge-model", model) == 0
        scores += [entry["score"] for entry in record(run).values() if entry["score"] is not None]
        verified += sum(entry["verified"] for entry in record(run).values())
    assert sum(scores) / len(scores) == pytest.approx(0.5, abs=0.04)
    assert verified <= 0.1 * len(scores)
    assert "Something" not in render(run)  # unverified names stand beside the cluster only
    assert "not verified" in render(run, cluster="R1")


def test_a_server_that_times_out_gives_abstentions_with_their_reason(run, server, capsys):
    server.act = lambda request, _: Act(hold=True)
    assert asked(run, server, "--timeout", "0.3", "--clusters", "R1,P1", "--concurrency", "4") == 0
    for entry in record(run).values():
        assert (entry["title"], entry["reason"], entry["verified"]) == ("", "timeout", False)
    assert "no name: 2, timeout" in capsys.readouterr().out
    assert "no name: timeout" in render(run, cluster="R1")


def test_a_test_that_times_out_leaves_an_unverified_name(run, server, monkeypatch):
    server.act = competent
    send = Endpoint._send

    def late(endpoint, content):
        if "description" in texts_in(json.loads(content)):
            raise httpx.ReadTimeout("no answer yet")
        return send(endpoint, content)

    monkeypatch.setattr(Endpoint, "_send", late)
    assert asked(run, server, "--clusters", "R1") == 0
    entry = record(run)["R1"]
    assert entry["title"]
    assert (entry["score"], entry["verified"], entry["reason"]) == (None, False, "timeout")
    assert entry["abstained"] == entry["texts"] > 0


def test_names_count_for_nothing_when_the_clusters_are_others(run, server):
    server.act = competent
    assert asked(run, server, "--clusters", "R1") == 0
    assert read_names(run)
    cluster_workflow.cluster(run, min_community=3)
    assert read_names(run) == {}
    assert "clusters have changed" in render(run, cluster="R1")


FAULTS = {
    "no address": (lambda server: ["--judge-model", "m"], "judge_url"),
    "no cluster": (lambda server: ["--judge-url", server.url, "--judge-model", "m", "--clusters", "R99"],
                   "no cluster R99"),
    "bad address": (lambda server: ["--judge-url", "nowhere", "--judge-model", "m"], "http"),
    "nobody there": (lambda server: ["--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "m", "--retries", "0"],
                     "cannot connect"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mistake_of_the_user_is_one_line_and_nothing_is_written(fault, run, server, capsys):
    options, expected = FAULTS[fault]
    assert main(["name", str(run), *flags_for(run, "model"), *options(server)]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("anatomy: error:")
    assert expected in message
    assert not (run / artifacts.NAMES).exists()


def test_a_dry_run_asks_nothing(run, server, capsys):
    assert asked(run, server, "--dry-run") == 0
    assert server.requests == []
    assert "to test the names" in capsys.readouterr().err
    assert not (run / artifacts.NAMES).exists()


def test_a_name_in_the_page(run, server, browser):
    """A verified title leads, an unverified one is marked, and neither is read as HTML."""
    server.act = competent
    assert asked(run, server, "--clusters", "R1,R2") == 0
    document = json.loads((run / artifacts.NAMES).read_text())
    hostile = "<img src=x onerror='window.hacked = 1'> name"
    document["names"]["R1"] |= {"title": hostile, "verified": True, "score": 0.91, "low": 0.8, "high": 0.99}
    document["names"]["R2"] |= {"title": "weak name", "verified": False, "score": 0.55, "low": 0.3, "high": 0.8}
    artifacts.write_json(run / artifacts.NAMES, artifacts.with_checksum(document))
    report(run)
    context = browser.new_context(offline=True)
    page = context.new_page()
    address = f"file://{run / artifacts.REPORT / artifacts.REPORT_PAGE}"
    for cluster, title, badge in (("R1", hostile, "name verified: 0.91 [0.80, 0.99]"),
                                  ("R2", "weak name", "name not verified: 0.55 [0.30, 0.80]")):  # fmt: skip
        page.goto(f"{address}#view=global&cluster={cluster}&level=1")
        page.wait_for_selector(f".card h2 .id >> text={cluster}")
        assert page.locator(".card .given .badge").first.inner_text() == badge
        assert title in page.locator(".card").inner_text()
        assert "Label without a language model" in page.locator(".card").inner_text()
        assert (title in page.locator(".card h2").inner_text()) == (cluster == "R1")
    assert page.evaluate("window.hacked") is None
    context.close()
