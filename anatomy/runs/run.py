"""The run directory: which stages are complete, what made them, and what must be made again.

Every stage has a fingerprint over the settings it reads and the content of its inputs. A stage whose fingerprint and
outputs are unchanged is not run again; one whose inputs changed is never reused. The manifest is written last.
"""

from __future__ import annotations

import resource
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

import anatomy
from anatomy import artifacts
from anatomy.clusters.assignments import CLUSTER_COLUMNS, DATA_CLUSTER_COLUMNS, Clusters
from anatomy.concepts.scores import Scores, read_scores
from anatomy.data.groups import groups_of
from anatomy.data.health import RowHealth
from anatomy.data.row_health import source_and_models
from anatomy.data.rows_table import StoredPair, read_rows
from anatomy.errors import RunError
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.contexts import GROUP, group_contexts
from anatomy.hypotheses.run_signals import CONTEXT_COLUMNS, Identities, Signals, read_signals
from anatomy.hypotheses.views import HYPOTHESIS_COLUMNS, Responses
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.progress import logger
from anatomy.runs.manifest import Manifest, ModelIdentity, SAEIdentity, ScoredConcept, StageFacts, StageRecord
from anatomy.runs.out_folder import claimed, shared
from anatomy.runs.stage_facts import RowsFacts, ScoresFacts
from anatomy.settings import PLACES, AuditSettings
from anatomy.types import SIDES, Response, content_hash

if TYPE_CHECKING:
    import pyarrow as pa

IdentityT = TypeVar("IdentityT", ModelIdentity, SAEIdentity)
FactsT = TypeVar("FactsT", bound=StageFacts)

LIBRARIES = ("torch", "transformers", "transformer-lens", "sae-lens", "numpy", "scipy", "scikit-learn", "pyarrow")

READ_FROM = {
    "features": {artifacts.FEATURES},
    "clusters": {artifacts.FEATURES, artifacts.CLUSTERS, artifacts.DATA_CLUSTERS},
    "signals": {artifacts.FEATURES, artifacts.CLUSTERS, artifacts.DATA_CLUSTERS, artifacts.SCORES},
    "findings": {artifacts.HYPOTHESES},
    "contexts": {artifacts.CONTEXTS},
}
"""What :class:`Run` keeps in memory → the artifacts that it was read from."""


class Run:
    """A run directory: its manifest, and typed access to its artifacts.

    Use as ``with Run.open(path) as run:``, and a second process that opens the same directory is refused; or as ``with
    Run.read(path) as run:``, and only those that would write there are. Artifacts are read once, when first asked for,
    and again after a stage that makes them has run.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    @contextmanager
    def open(cls, path: Path, new: bool = True) -> Iterator[Run]:
        """Create (if ``new``) or reopen the run at ``path``, locked against other processes until the block ends.

        Raises:
            RunError: there is no run and none shall be made, or as :func:`~anatomy.runs.out_folder.claimed`.
        """
        manifest = Manifest()
        if not new or (path / artifacts.MANIFEST).exists():
            manifest = Manifest.of(path)
        with claimed(path):
            yield cls(path, Manifest.of(path) if (path / artifacts.MANIFEST).exists() else manifest)

    @classmethod
    @contextmanager
    def read(cls, path: Path) -> Iterator[Run]:
        """The run at ``path``, to read it only: others may read it at the same time, none may write.

        Raises:
            RunError: there is none, or another process writes there.
        """
        Manifest.of(path)
        with shared(path):
            yield cls.at(path)

    @classmethod
    def at(cls, path: Path) -> Run:
        """The run at ``path``, to look something up in it while others may write.

        Raises:
            RunError: there is none.
        """
        return cls(path, Manifest.of(path))

    def file(self, name: str) -> Path:
        """Path of an artifact.

        Raises:
            RunError: the name leads out of the run.
        """
        return artifacts.inside(self.path, name)

    @property
    def settings(self) -> AuditSettings:
        """How the audit read and tested its rows; whatever the directory names to be loaded is left out.

        Raises:
            RunError: nothing was run here yet.
        """
        made, nothing = self.recorded_settings, AuditSettings(rows="of the run")
        return made.model_copy(update={name: getattr(nothing, name) for name in PLACES})

    @property
    def recorded_settings(self) -> AuditSettings:
        """All settings of the audit, to be shown or recorded: a run directory does not choose what is loaded.

        Raises:
            RunError: nothing was run here yet.
        """
        if self.manifest.settings is None:
            raise RunError(f"{self.path}: no stage was run here; run `anatomy audit` first")
        return self.manifest.settings

    @property
    def model(self) -> ModelIdentity:
        """The model that the rows were read with.

        Raises:
            RunError: the rows were not harvested yet.
        """
        return self._read_with(self.manifest.inputs.model)

    @property
    def sae(self) -> SAEIdentity:
        """The SAE that the rows were read with; raises as :attr:`model`."""
        return self._read_with(self.manifest.inputs.sae)

    def _read_with(self, found: IdentityT | None) -> IdentityT:
        if found is None:
            raise RunError(f"{self.path}: not harvested; run `anatomy audit` first")
        return found

    def rows(self) -> Iterator[StoredPair]:
        """The retained rows, in the order of the features."""
        return read_rows(self.file(artifacts.ROWS))

    @property
    def row_health(self) -> RowHealth:
        """The health of the rows.

        Raises:
            RunError: they were not read to their end here.
        """
        self.require("rows")
        found = self.facts("rows", RowsFacts)
        assert found is not None  # the stage leaves them whenever it is complete
        return found.health

    @cached_property
    def features(self) -> FeatureStore:
        """Pooled features of the rows."""
        return FeatureStore(self.file(artifacts.FEATURES))

    @cached_property
    def clusters(self) -> Clusters:
        """The clusterings of features and rows, as arrays of numbers (0: in no cluster).

        Raises:
            RunError: they are missing, or of other rows than the features.
        """
        features = artifacts.read_table(self.file(artifacts.CLUSTERS), CLUSTER_COLUMNS).to_pydict()
        rows = artifacts.read_table(self.file(artifacts.DATA_CLUSTERS), DATA_CLUSTER_COLUMNS).to_pydict()
        self.require_same_rows(rows["row_id"], "data clusters")
        return Clusters.from_columns(features, rows, self.features.n_features)

    @property
    def cluster_ids(self) -> set[str]:
        """Ids of all clusters: R (response), S (shift), P (prompt) and D (rows; D0 are those in no test)."""
        features = artifacts.read_table(self.file(artifacts.CLUSTERS), CLUSTER_COLUMNS)["cluster"].to_pylist()
        rows = artifacts.read_table(self.file(artifacts.DATA_CLUSTERS), DATA_CLUSTER_COLUMNS)
        coarser = [name for names in rows["coarser"].to_pylist() for name in names]
        return {*features, *rows["cluster"].to_pylist(), *coarser}

    def cluster_features(self, cluster: str) -> list[int]:
        """Features of a response, shift or prompt cluster, ascending.

        Raises:
            RunError: the run has no such cluster.
        """
        table = artifacts.read_table(self.file(artifacts.CLUSTERS), CLUSTER_COLUMNS).to_pydict()
        features = [f for f, name in zip(table["feature"], table["cluster"], strict=True) if name == cluster]
        if not features:
            raise RunError(f"{self.path}: no cluster `{cluster}`; `anatomy show {self.path}` lists them")
        return features

    @property
    def stability(self) -> dict[str, float]:
        """Stability of every cluster of features by its id, 0 to 1."""
        table = artifacts.read_table(self.file(artifacts.CLUSTERS), CLUSTER_COLUMNS).to_pydict()
        return dict(zip(table["cluster"], table["stability"], strict=True))

    @property
    def concepts(self) -> dict[str, ScoredConcept]:
        """The concepts that were scored, and what is known of their detectors."""
        found = self.facts("scores", ScoresFacts)
        return {} if found is None else found.concepts

    def scores(self, concept: str) -> Scores:
        """Scores of the rows' responses by a concept's detector.

        Raises:
            RunError: they are missing, or of other rows than the features.
        """
        scores = read_scores(self.file(f"{artifacts.SCORES}/{concept}"))
        self.require_same_rows(scores.row_ids, f"scores of `{concept}`")
        return scores

    @property
    def own_features(self) -> FeatureStore:
        """Pooled features of the model's own responses.

        Raises:
            RunError: the audit read none.
        """
        self.require("own")
        return FeatureStore(self.file(artifacts.OWN_FEATURES))

    def own_scores(self, concept: str) -> Scores:
        """Scores of the model's own responses by a concept's detector; raises as :attr:`own_features`."""
        self.require("own")
        return read_scores(self.file(f"{artifacts.OWN_SCORES}/{concept}"), Response.sides)

    def own_log_probs(self) -> Float[np.ndarray, "J 1"]:
        """Mean log-probability per token of each of the model's own responses; raises as :attr:`own_features`."""
        from anatomy.rollouts.log_probs import read_log_probs

        self.require("own")
        return read_log_probs(self.file(artifacts.OWN_LOG_PROBS), Response.sides)

    @cached_property
    def signals(self) -> Signals:
        """Signals of every row: those of the clusters, and next to them those of the concepts that were scored.

        Memory is rows × clusters.
        """
        names = list(self.concepts)
        columns = [self.scores(name).standardised_difference() for name in names]
        values_NM = np.stack(columns, axis=1) if columns else np.zeros((self.features.n_rows, 0))
        return read_signals(self.features, self.clusters, self.settings, Responses(values_NM, names), self.identities)

    def identities(self) -> Identities:
        """Lengths, texts and authors of the rows' responses, and groups, from one pass; only hashes of texts stay."""
        row_ids, characters, texts, authors, groups = [], [], [], [], []
        for stored in self.rows():
            chosen, rejected = (str(stored.pair.side(side)[-1]["content"]) for side in SIDES)
            row_ids.append(stored.row_id)
            characters.append((len(chosen), len(rejected)))
            texts.append((content_hash(chosen), content_hash(rejected)))
            authors.append(source_and_models(stored.pair.metadata)[1:])
            groups.append(groups_of(stored.pair.metadata, self.settings))
        self.require_same_rows(row_ids, "rows")
        return Identities.of(characters, texts, authors, group_contexts(groups, self.group_values))

    @property
    def group_ids(self) -> set[str]:
        """Ids of the groups that the user's columns divide the rows into: ``G:column=value``."""
        return {f"{GROUP}{column}={value}" for column, values in self.group_values.items() for value in values}

    @property
    def group_values(self) -> dict[str, list[str]]:
        """Columns that divide the rows into groups, with their values, the most frequent first."""
        found = self.row_health.groups
        return {} if found is None else {column: list(grouped.values) for column, grouped in found.columns.items()}

    @cached_property
    def findings(self) -> pa.Table:
        """Every hypothesis that was tested: ``hypotheses.parquet``."""
        return artifacts.read_table(self.file(artifacts.HYPOTHESES), HYPOTHESIS_COLUMNS)

    @cached_property
    def contexts(self) -> dict[str, list[int]]:
        """Rows of every context: data clusters, groups (``G:column=value``) and prompt contexts (method.md §5–6).

        They are ascending places in the order of the features.
        """
        table = artifacts.read_table(self.file(artifacts.CONTEXTS), CONTEXT_COLUMNS).to_pydict()
        if any(not 0 <= row < self.features.n_rows for rows in table["rows"] for row in rows):
            raise RunError(f"{self.file(artifacts.CONTEXTS)}: contexts of other rows; run the audit again")
        return dict(zip(table["context"], table["rows"], strict=True))

    @property
    def words(self) -> dict[str, str]:
        """Label of every cluster by its id; empty if the run has none of its clusters as they are now."""
        path, stage = self.file(artifacts.LABELS), self.manifest.stages.get("labels")
        current = stage is not None and stage.status == "complete" and path.is_file()
        labels = ClusterLabels.read(path).kinds() if current else {}
        return {name: label["label"] for kind in labels.values() for name, label in kind.items()}

    def require_same_rows(self, row_ids: Sequence[str], what: str) -> None:
        """Refuse ids that are not those of the features' rows, in their order.

        Raises:
            RunError: it says ``what`` is of other rows.
        """
        if list(row_ids) != list(self.features.row_ids):
            raise RunError(f"{self.path}: {what} and features are of different rows; run the audit again")

    def save(self, **entries: Any) -> None:
        """Replace top-level entries of the manifest and write it."""
        versions = {name: _version(name) for name in LIBRARIES} | {"python": sys.version.split()[0]}
        entries |= {"anatomy": anatomy.__version__, "versions": versions}
        self.manifest = self.manifest.model_copy(update=entries)
        if "settings" in entries:
            self.__dict__.pop("signals", None)
        self.manifest.write(self.file(artifacts.MANIFEST))

    def save_inputs(self, **inputs: Any) -> None:
        """Replace some of the manifest's inputs and write it."""
        self.save(inputs=self.manifest.inputs.model_copy(update=inputs))

    def stage(
        self,
        name: str,
        fingerprint: str,
        outputs: Sequence[str],
        work: Callable[[], StageFacts | None],
        later: Collection[str] = (),
    ) -> StageRecord:
        """Run ``work`` unless this stage is complete with the same fingerprint and its outputs are those that it wrote.

        Args:
            fingerprint: hash of everything that can change the outputs: settings read and hashes of inputs.
            outputs: artifact names that ``work`` writes (files, or folders of sealed files, of which it makes again
                what is missing or damaged).
            work: does the stage; may return facts for the manifest.
            later: stages that read its outputs, directly or through others.
        """
        record = self.manifest.stages.get(name)
        if record and record.status != "running" and record.fingerprint == fingerprint and self._intact(record):
            logger.info(f"{name}: unchanged")
            return self._record(name, record.model_copy(update={"status": "complete"}))
        self._mark_stale(later)
        self._forget({*outputs, *(record.outputs if record else ())})
        command = shlex.join(["anatomy", *sys.argv[1:]])
        self._record(name, StageRecord(status="running", fingerprint=fingerprint), command=command)
        start = time.monotonic()
        facts = work()
        record = StageRecord(
            status="complete",
            fingerprint=fingerprint,
            outputs={output: self._hash(output) for output in outputs},
            facts={} if facts is None else facts.model_dump(mode="json"),
            command=command,
            seconds=round(time.monotonic() - start, 2),
            peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        )
        logger.info(f"{name}: {record.seconds:.1f} s")
        return self._record(name, record)

    def _record(self, name: str, record: StageRecord, **entries: Any) -> StageRecord:
        self.save(stages={**self.manifest.stages, name: record}, **entries)
        return record

    def _forget(self, outputs: Collection[str]) -> None:
        """Read again what is kept in memory of outputs, which may lie in a folder that is an artifact."""
        changed = {output.split("/")[0] for output in outputs}
        for accessor, read in READ_FROM.items():
            if changed & read:
                self.__dict__.pop(accessor, None)

    def _mark_stale(self, later: Collection[str]) -> None:
        """Later stages must confirm their inputs before anybody reads their outputs again."""
        stages = {
            other: record.model_copy(update={"status": "stale"})
            if other in later and record.status == "complete"
            else record
            for other, record in self.manifest.stages.items()
        }
        self.manifest = self.manifest.model_copy(update={"stages": stages})

    def _hash(self, output: str) -> str:
        digest = artifacts.output_hash(self.file(output))
        if digest is None:
            raise RunError(f"{self.file(output)}: was just written, and is gone or damaged; check the disk")
        return digest

    def _intact(self, record: StageRecord) -> bool:
        return all(artifacts.output_hash(self.file(name)) == digest for name, digest in record.outputs.items())

    def facts(self, stage: str, kind: type[FactsT]) -> FactsT | None:
        """What a stage left in the manifest; None before it was done, or if it left nothing.

        Raises:
            RunError: the manifest holds something else.
        """
        record = self.manifest.stages.get(stage)
        if record is None or not record.facts:
            return None
        try:
            return kind.model_validate(record.facts)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise RunError(
                f"{self.file(artifacts.MANIFEST)}: facts of stage `{stage}` are not as it writes them ({where}); "
                f"{Manifest.REMEDY}"
            ) from None

    def require(self, stage: str) -> StageRecord:
        """The record of a complete stage.

        Raises:
            RunError: the stage has not been run to its end here.
        """
        record = self.manifest.stages.get(stage)
        if not record or record.status != "complete":
            raise RunError(f"{self.path}: stage `{stage}` is not complete; run `anatomy audit` first")
        return record


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
