"""Values as JSON that may stand inside a page: arrays as base64, and no ``<`` that could end a script element."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Literal

import numpy as np
from jaxtyping import Num
from typing_extensions import TypedDict

from anatomy.artifacts import finite

Kind = Literal["i8", "u8", "u16", "i32", "u32", "f32"]
KINDS: dict[str, Kind] = {
    "int8": "i8",
    "uint8": "u8",
    "uint16": "u16",
    "int32": "i32",
    "uint32": "u32",
    "float32": "f32",
}
_UNSAFE = re.compile("[<\u2028\u2029\ud800-\udfff]")


class Packed(TypedDict):
    """An array: its type, and its little-endian values in C order as base64."""

    t: Kind
    b: str


class SignedBytes(TypedDict):
    """An array of numbers as bytes: ``scale · v``."""

    scale: float
    v: Packed


def pack(array: Num[np.ndarray, ...]) -> Packed:
    """The array, packed; the page makes it a typed array again.

    Raises:
        KeyError: the type is none of those in ``KINDS``.
    """
    values = np.ascontiguousarray(array)
    return {
        "t": KINDS[values.dtype.name],
        "b": base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode(),
    }


def counts(array: Num[np.ndarray, " N"]) -> Packed:
    """Non-negative integers, packed in the smallest type that holds them."""
    largest = int(array.max(initial=0))
    return pack(array.astype(np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.uint32))


def signed_bytes(values_N: Num[np.ndarray, " N"]) -> SignedBytes:
    """Each value to within half a ``scale``; only 0 becomes 0."""
    scale = float(np.abs(values_N).max(initial=0)) / 127 or 1.0
    rounded_N = np.rint(values_N / scale)
    rounded_N = np.where(rounded_N == 0, np.sign(values_N), rounded_N)
    return {"scale": scale, "v": pack(rounded_N.astype(np.int8))}


def to_json(value: Any) -> str:
    """Compact JSON without ``<``, line separators or lone surrogates: no text in it can end a script or break UTF-8."""
    text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
