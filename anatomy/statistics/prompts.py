"""Rows grouped by prompt, which is the unit of independence, of the split-half check and of the null check."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int, Num


@dataclass(frozen=True)
class Prompts:
    """The prompt of each of N rows, the half of each of G prompts, and a fixed arbitrary order of prompts.

    The parity of a hash of the prompt's id decides its half, so that rows of one prompt are never in both. (The paper
    splits by the parity of the row index, which compares a prompt with itself.)
    """

    code_N: Int[np.ndarray, " N"]
    half_G: Bool[np.ndarray, " G"]
    rank_G: Int[np.ndarray, " G"]

    @classmethod
    def from_ids(cls, prompt_ids: Sequence[str] | np.ndarray) -> Prompts:
        """Group rows by prompt id; rows with the same string share a prompt."""
        ids, code_N = np.unique(np.asarray(prompt_ids, dtype=str), return_inverse=True)
        digests = [hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in ids]
        hash_G = np.frombuffer(b"".join(digests), dtype=">u8")
        rank_G = np.empty(len(ids), dtype=np.int64)
        rank_G[np.argsort(hash_G, kind="stable")] = np.arange(len(ids))
        return cls(code_N.astype(np.int64), (hash_G & 1).astype(bool), rank_G)

    def take(self, rows: Int[np.ndarray, " n"] | Bool[np.ndarray, " N"]) -> Prompts:
        """The grouping of a subset of rows; prompts without a row are dropped."""
        present, code = np.unique(self.code_N[rows], return_inverse=True)
        return Prompts(code, self.half_G[present], self.rank_G[present])

    @property
    def size_G(self) -> Int[np.ndarray, " G"]:
        """Number of rows of each prompt."""
        return np.bincount(self.code_N, minlength=len(self.half_G))

    @property
    def half_N(self) -> Bool[np.ndarray, " N"]:
        """The half of each row: False is A, True is B."""
        return np.asarray(self.half_G[self.code_N])

    @property
    def rank_N(self) -> Int[np.ndarray, " N"]:
        """Rank of each row's prompt by hash, which breaks ties without following the order of the file."""
        return np.asarray(self.rank_G[self.code_N])


def prompt_totals(u_NM: Num[np.ndarray, "N M"], prompts: Prompts) -> Num[np.ndarray, "G M"]:
    """The sum of each prompt's rows."""
    n_rows = len(u_NM)
    shape = (len(prompts.half_G), n_rows)
    return np.asarray(sp.csr_array((np.ones(n_rows), (prompts.code_N, np.arange(n_rows))), shape=shape) @ u_NM)
