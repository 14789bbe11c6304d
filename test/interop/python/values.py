"""Edge values of every datatype, shared by the clients' checks."""

import numpy as np

INTEGERS = {
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
}


def integers(datatype):
    kind = INTEGERS[datatype]
    limits = np.iinfo(kind)
    values = [limits.min, limits.max, 0, 1, 42]
    if datatype.endswith("64"):
        values += [2**53 + 1, limits.max - 1]
    return np.array(values, dtype=kind)


def finite(datatype):
    """Values that JSON can carry."""
    if datatype in INTEGERS:
        return integers(datatype)
    if datatype == "BOOL":
        return np.array([True, False, True, True, False])
    if datatype == "BYTES":
        return np.array(["", "é", "价格 7.52", "quote \" and \\ and \n", "🌊"], dtype=np.object_)
    kind = {"FP32": np.float32, "FP64": np.float64}[datatype]
    limits = np.finfo(kind)
    return np.array([0.1, -0.0, 1, limits.max, limits.min, limits.tiny, limits.smallest_subnormal, np.pi], dtype=kind)


def any_bits(datatype, bfloat16=None):
    """Values that only binary data can carry, beside the others."""
    if datatype == "BYTES":
        return np.array([b"", b"\x00\xff\xfe", "é".encode(), b"x" * 70000], dtype=np.object_)
    if datatype in ("FP16", "BF16"):
        kind = np.float16 if datatype == "FP16" else bfloat16
        return np.array([0.1, -0.0, np.inf, -np.inf, np.nan, 1.5, 65504], dtype=kind)
    if datatype in ("FP32", "FP64"):
        values = finite(datatype)
        return np.concatenate([values, np.array([np.nan, np.inf, -np.inf], dtype=values.dtype)])
    return finite(datatype)


IN_JSON = ["BOOL", *INTEGERS, "FP32", "FP64", "BYTES"]
ALL = [*IN_JSON, "FP16", "BF16"]
