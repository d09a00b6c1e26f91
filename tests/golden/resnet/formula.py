"""Values by formula, so that no weights need to be stored: tests/models/image_support.h has the same."""
import math

import torch


def values(name, shape):
    """Of a parameter: a wave whose phase follows from the name; norms lie about 1 and 0."""
    count = math.prod(shape)
    phase = sum(name.encode()) % 97
    wave = torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + phase)
    if len(shape) == 1:
        start = 1.0 if name.endswith("weight") else 0.0
        return (start + 0.1 * wave).reshape(shape)
    return (wave * math.sqrt(2.0 / math.prod(shape[1:]))).reshape(shape)


def pixels(count, image):
    """Rows [count, image] in 0 .. 1, divided in float32 as datasets do: pixel i of sample s is (37 i + 101 s + i^2 / 7) mod 256."""
    i = torch.arange(image, dtype=torch.int64)
    rows = [(37 * i + 101 * sample + i * i // 7) % 256 for sample in range(count)]
    return (torch.stack(rows).to(torch.float32) / 255).to(torch.float64)


def summary(tensor):
    """Sum, sum of absolute values, and three entries."""
    flat = tensor.detach().reshape(-1)
    return [flat.sum().item(), flat.abs().sum().item(), flat[0].item(), flat[flat.numel() // 2].item(), flat[-1].item()]
