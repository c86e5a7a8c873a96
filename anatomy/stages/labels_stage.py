"""Labels: clusters and concepts get words, without a language model."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.concepts.concept import load_library
from anatomy.hypotheses.contexts import GROUP
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.naming.cluster_names import group_label, label_clusters, named_after, sampled_rows
from anatomy.naming.concept_labels import concept_label, highest
from anatomy.progress import progress_bar
from anatomy.stages.stage import Audit, Stage
from anatomy.stages.text_rows import text_rows
from anatomy.text.text_counts import TEXT_COUNTS


def _work(audit: Audit) -> None:
    run, seed = audit.run, audit.settings.seed
    store, clusters, concepts = run.features, run.clusters, run.concepts
    places = {name: highest(run.scores(name)) for name in concepts}
    needed = set(sampled_rows(store.prompt_ids, clusters, seed).tolist())
    rows = text_rows(run, audit.bundle, needed | {row for found in places.values() for row, _, _ in found})
    with progress_bar("labels", "cluster"):
        labels = label_clusters(store.shards, rows, clusters, TEXT_COUNTS, seed)
    names = {concept.id: concept.name for concept in load_library(audit.settings.concepts_file).values()}
    for name, concept in run.signals.concept_of.items():
        if name in labels["response"]:  # a cluster, not the concept itself
            labels["response"][name] = named_after(names.get(concept, concept), labels["response"][name])
    contexts = run.signals.row_contexts
    labels["data"] |= {name: group_label(name.removeprefix(GROUP), len(contexts.rows(name)))
                       for name in contexts.ids if name.startswith(GROUP)}  # fmt: skip
    for name, facts in concepts.items():
        title = f"concept ({facts.detector})"
        labels["response"][name] = concept_label(title, facts.model_dump(), places[name], rows)
    ClusterLabels.model_validate(artifacts.finite(labels)).write(run.file(artifacts.LABELS))


LABELS_STAGE = Stage(
    name="labels",
    work=_work,
    outputs=(artifacts.LABELS,),
    inputs=(artifacts.ROWS, artifacts.FEATURES, artifacts.SCORES, artifacts.CLUSTERS, artifacts.DATA_CLUSTERS),
    settings=frozenset({"seed", "group_by"}),
)
