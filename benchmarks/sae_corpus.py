"""Time to write an SAE's corpus of blocks against the number of documents in a block: the ratio says how it grows.

Documents are made up, so that tokenising them costs nothing; one block holds all of them. Ratio of CPU seconds for
four times as many documents: 4 where each document is counted once, 16 where its block is counted again each time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from anatomy.sae import corpus
from anatomy.sae.corpus import Document
from anatomy.settings import SAETrainSettings

TOKENS = 200


def seconds(documents: int) -> float:
    """CPU seconds to write ``documents`` of 200 tokens into one block."""
    settings = SAETrainSettings.model_validate({"model": "unused", "layer": 0, "corpus": "unused"})
    ids, counts = np.arange(TOKENS, dtype=np.int32), np.ones(TOKENS, dtype=bool)
    corpus.mixed = lambda *_: ((0, Document(ids, counts, str(number))) for number in range(documents))
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        corpus.build_corpus(settings, None, Path(folder), documents * TOKENS)  # type: ignore[arg-type]
        return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    documents = parser.parse_args().documents
    few, many = seconds(documents), seconds(4 * documents)
    print(f"{documents:,} documents: {few:.2f} CPU s; {4 * documents:,}: {many:.2f} CPU s; ratio {many / few:.1f}")


if __name__ == "__main__":
    main()
