"""Writes reference.safetensors with the reference implementation (Python packages safetensors 0.8.0 and torch 2.11).

The test reads it, checks every value, and writes the same tensors again: the two files must be equal byte by byte.
"""
import torch
from safetensors.torch import save_file

t = torch.tensor
save_file(
    {
        "b.weight": t([[0.0, -1.5, 2.25], [3.0, 1e-38, 3.0e38]]),
        "a.weight": t([1.0, -2.0]),
        "half": t([1.0, -0.333251953125, 65504.0, 5.960464477539063e-08, float("inf")], dtype=torch.float16),
        "brain": t([1.0, -3.140625, 9.183549615799121e-41], dtype=torch.bfloat16),
        "double": t([[0.1]], dtype=torch.float64),
        "steps": t([-(2**63), 2**63 - 1]),
        "big": t([2**64 - 1], dtype=torch.uint64),
        "scalar": t(-7, dtype=torch.int32),
        "empty": torch.empty(0, 4),
        "bytes": t([0, 128, 255], dtype=torch.uint8),
        "small": t([-128, 127], dtype=torch.int8),
        "flags": t([True, False, True]),
        'na\u00efve "name"\\': t([-2], dtype=torch.int16),
    },
    "reference.safetensors",
    metadata={"format": "pt"},
)
