"""Weights by a formula of their names, from integers alone, so that none need to be stored: tests/models/golden_weights.cpp has the same."""
import torch

MASK32 = 0xFFFFFFFF


def value(name, i):
    """FNV-1a of the name, a Weyl step per element, murmur3's finalizer; then 24 bits to [-0.25, 0.25)."""
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & MASK32
    x = (h + i * 0x9E3779B9) & MASK32
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & MASK32
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & MASK32
    x ^= x >> 16
    return ((x >> 8) / 2**24 - 0.5) * 0.5


def fill(name, parameter):
    offset = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0  # around 1 for the weights of norms
    numbers = [offset + value(name, i) for i in range(parameter.numel())]
    parameter.data.copy_(torch.tensor(numbers, dtype=torch.float64).reshape(parameter.shape))
