"""The run directory: which stages are complete, what made them, and what must be made again.

Every stage has a fingerprint over the settings it reads and the content of its inputs. A stage whose fingerprint and
outputs are unchanged is not run again; one whose inputs changed is never reused. The manifest is written last.
"""

from __future__ import annotations

import fcntl
import resource
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import anatomy
from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.progress import logger
from anatomy.types import content_hash, file_hash

LIBRARIES = ("torch", "transformers", "transformer-lens", "sae-lens", "numpy", "scipy", "scikit-learn", "pyarrow")

STAGES = (
    "rows", "harvest", "scores", "own", "cluster", "hypotheses", "labels", "summary", "tokens", "scored_tokens",
    "report",
)  # fmt: skip


@contextmanager
def locked(path: Path, name: str = ".lock", shared: bool = False) -> Iterator[None]:
    """Make the directory and keep other processes from working there until the block ends.

    ``shared`` keeps out those that write, and lets in others that read as well.

    Raises:
        RunError: the path is a file, cannot be written, or another process works there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / name).open("w")
    except OSError as error:
        raise RunError(f"{path}: not usable as a run directory ({error.strerror}); choose another --out") from None
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"{path}: another anatomy process is working there; wait for it, or use --out") from None
        yield


class Run:
    """A run directory and its manifest.

    Use as ``with Run.open(path) as run:``, and a second process that opens the same directory is refused; or as ``with
    Run.read(path) as run:``, and only those that would write there are.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Run]:
        """Create or reopen the run at ``path``, locked against other processes until the block ends.

        Raises:
            RunError: the path is a file, cannot be written, or another process works there.
        """
        with locked(path):
            for left in path.rglob(".*.part"):  # of a killed process
                left.unlink()
            yield cls(path, load_manifest(path) if (path / artifacts.MANIFEST).exists() else {"stages": {}})

    @classmethod
    @contextmanager
    def read(cls, path: Path) -> Iterator[Run]:
        """The run at ``path``, to read it only: others may read it at the same time, none may write.

        Raises:
            RunError: there is none, or another process writes there.
        """
        load_manifest(path)
        with locked(path, shared=True):
            yield cls(path, load_manifest(path))

    def file(self, name: str) -> Path:
        """Path of an artifact."""
        return self.path / name

    def save(self, **entries: Any) -> None:
        """Update top-level entries and write the manifest."""
        self.manifest.update(entries)
        self.manifest.update(
            {
                "anatomy": anatomy.__version__,
                "versions": {name: _version(name) for name in LIBRARIES} | {"python": sys.version.split()[0]},
            }
        )
        artifacts.write_json(self.file(artifacts.MANIFEST), self.manifest)

    def stage(
        self,
        name: str,
        depends: Mapping[str, Any],
        outputs: Sequence[str],
        work: Callable[[], Mapping[str, Any] | None],
    ) -> dict[str, Any]:
        """Run ``work`` unless this stage is complete with the same fingerprint and all its outputs exist.

        Args:
            depends: everything that can change the outputs: settings read and hashes of inputs (JSON-able).
            outputs: artifact names that ``work`` writes (files, or folders that hold their own completeness check).
            work: does the stage; may return small facts (resolved settings, counts) kept in the manifest.

        Returns:
            The manifest record: ``status``, ``fingerprint``, ``outputs`` (file → SHA-256), ``facts``, ``command``,
            ``seconds``, ``peak_memory_mb``.
        """
        fingerprint = content_hash([name, depends])
        record = self.manifest["stages"].get(name)
        if record and record["status"] != "running" and record["fingerprint"] == fingerprint and self._intact(record):
            logger.info(f"{name}: unchanged")
            record["status"] = "complete"
            self.save()
            return dict(record)
        self._mark_stale(name)
        self.manifest["stages"][name] = {"status": "running", "fingerprint": fingerprint}
        command = shlex.join(["anatomy", *sys.argv[1:]])
        self.save(command=command)
        start = time.monotonic()
        facts = dict(work() or {})
        record = {
            "status": "complete",
            "fingerprint": fingerprint,
            "outputs": {output: self._hash(output) for output in outputs},
            "facts": facts,
            "command": command,
            "seconds": round(time.monotonic() - start, 2),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
        self.manifest["stages"][name] = record
        self.save()
        logger.info(f"{name}: {record['seconds']:.1f} s")
        return record

    def _mark_stale(self, name: str) -> None:
        """Later stages must confirm their inputs before anybody reads their outputs again."""
        for later in STAGES[STAGES.index(name) + 1 :]:
            record = self.manifest["stages"].get(later)
            if record and record["status"] == "complete":
                record["status"] = "stale"

    def _hash(self, output: str) -> str | None:
        path = self.file(output)
        return file_hash(path) if path.is_file() else None

    def _intact(self, record: Mapping[str, Any]) -> bool:
        return all(
            self.file(name).exists() and (digest is None or self._hash(name) == digest)
            for name, digest in record["outputs"].items()
        )

    def output_hash(self, stage: str, output: str) -> str:
        """SHA-256 of an output of a complete stage; what depends on it puts this into its own ``depends``."""
        return str(self.require(stage)["outputs"][output])

    def require(self, stage: str) -> dict[str, Any]:
        """The record of a complete stage.

        Raises:
            RunError: the stage has not been run to its end here.
        """
        record = self.manifest["stages"].get(stage)
        if not record or record["status"] != "complete":
            raise RunError(f"{self.path}: stage `{stage}` is not complete; run `anatomy audit` first")
        return dict(record)


def load_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the run at ``path``.

    Raises:
        RunError: there is none, or it is not a manifest.
    """
    if not (path / artifacts.MANIFEST).is_file():
        raise RunError(f"{path}: not a run directory (no {artifacts.MANIFEST}); make one with `anatomy audit`")
    manifest = artifacts.read_json(path / artifacts.MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("stages"), dict):
        raise RunError(f"{path / artifacts.MANIFEST}: not a manifest of this tool; choose another --out")
    return manifest


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
