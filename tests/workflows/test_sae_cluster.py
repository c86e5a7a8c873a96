"""``anatomy sae cluster``: clusters that lie with the SAE are those of audits with it."""

import shutil

import pyarrow.parquet as pq
import pytest
from support.planted_run import FLAGS, write_pairs
from support.tiny import save_sae, save_tiny

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.clusters.stored_clusters import StoredClusters
from anatomy.runs.run import Run
from anatomy.runs.stage_facts import ClusterFacts


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sae_cluster")
    model = save_tiny(folder / "model", "llama")
    save_sae(folder / "sae", model)
    write_pairs(folder / "pairs.jsonl")
    flags = ["--model", str(model), "--sae", str(folder / "sae"), "--device", "cpu", "--dtype", "float32"]
    assert main(["harvest", str(folder / "pairs.jsonl"), "--out", str(folder / "corpus"), *flags]) == 0
    return folder


def audit(material, name, *more):
    flags = ["--model", str(material / "model"), "--sae", str(material / "sae"), *FLAGS, *more]
    shutil.copytree(material / "corpus", material / name)  # harvested already
    assert main(["audit", str(material / "pairs.jsonl"), "--out", str(material / name), *flags]) == 0
    return Run.at(material / name)


def groups(run):
    return {tuple(run.cluster_features(name)) for name in run.cluster_ids if name[0] == "R"}


def test_an_audit_takes_the_clusters_of_its_sae_and_says_so(material, capsys):
    stored = material / "sae" / artifacts.RESPONSE_CLUSTERS
    assert main(["sae", "cluster", str(material / "sae"), str(material / "corpus"), "--min-community", "2"]) == 0
    assert "response clusters of" in capsys.readouterr().out
    found = StoredClusters.read(stored)
    assert found.origin.sources == ("pairs.jsonl",)
    dropped = found.model_copy(update={"clusters": found.clusters[:2]})  # so that it is seen where they come from
    dropped.write(stored)
    run = audit(material, "beside")
    assert "from a corpus of 120 prompts (pairs.jsonl)" in capsys.readouterr().err
    assert groups(run) == {tuple(group.features) for group in dropped.clusters}
    assert {run.stability[f"R{n}"] for n in (1, 2)} == {group.stability for group in dropped.clusters}
    assert run.facts("cluster", ClusterFacts).response_origin == dropped.origin
    # The run keeps its copy: a change of other settings, or of the SAE's folder, changes nothing.
    stored.unlink()
    assert main(["cluster", str(run.path), "--data-clusters", "3"]) == 0
    assert groups(Run.at(run.path)) == groups(run)
    assert main(["cluster", str(run.path), "--cluster-on-rows"]) == 0
    assert groups(Run.at(run.path)) == {tuple(group.features) for group in found.clusters}


def test_faults_are_one_line(material, capsys):
    sae, corpus = str(material / "sae"), str(material / "corpus")
    assert main(["sae", "cluster", str(material / "nowhere"), corpus]) == 2
    assert main(["sae", "cluster", sae, str(material)]) == 2
    assert main(["sae", "cluster", sae, corpus, "--resolution", "0"]) == 2
    assert all(line.startswith("anatomy: error:") for line in capsys.readouterr().err.splitlines())
    assert main(["sae", "cluster", sae, corpus, "--min-community", "2"]) == 0
    stored = material / "sae" / artifacts.RESPONSE_CLUSTERS
    StoredClusters.read(stored).model_copy(update={"sae_fingerprint": "another"}).write(stored)
    shutil.copytree(material / "corpus", material / "other")
    flags = ["--model", str(material / "model"), "--sae", sae, *FLAGS]
    assert main(["audit", str(material / "pairs.jsonl"), "--out", str(material / "other"), *flags]) == 2
    assert "response clusters of another SAE" in capsys.readouterr().err
    both = ["--response-clusters", str(stored), "--cluster-on-rows"]
    assert main(["audit", str(material / "pairs.jsonl"), "--out", str(material / "other"), *flags, *both]) == 2
    assert "give one of them" in capsys.readouterr().err
    stored.unlink()


def test_rows_without_co_firing_test_named_concepts_alone_and_say_so(material, capsys):
    flags = ["--model", str(material / "model"), "--sae", str(material / "sae"), *FLAGS, "--min-fires", "121"]
    shutil.copytree(material / "corpus", material / "none")
    assert main(["audit", str(material / "pairs.jsonl"), "--out", str(material / "none"), *flags]) == 0
    assert "no features fire together beyond chance on the 120 prompts" in capsys.readouterr().err
    tested = pq.read_table(material / "none" / artifacts.HYPOTHESES).to_pandas()
    assert "bold" in set(tested.response)
    assert not tested.response.str.fullmatch(r"R\d+").any()
