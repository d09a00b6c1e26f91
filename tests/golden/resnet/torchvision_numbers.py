#!/usr/bin/env python3
"""Writes torchvision.json: what torchvision's ResNets compute in float64 (forward, gradients, running statistics).

Needs torch and torchvision (written with 2.11 and 0.26). Weights and pixels are those of formula.py.
"""
import json
from pathlib import Path

import torch
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from formula import pixels, summary, values

torch.set_num_threads(1)
CASES = {
    "basic_imagenet": (BasicBlock, "imagenet", [1, 2, 1, 1], 64),
    "bottleneck_imagenet": (Bottleneck, "imagenet", [1, 1, 1, 1], 64),
    "basic_cifar": (BasicBlock, "cifar", [2, 1, 1, 1], 16),
}


def make(block, stem, blocks):
    network = ResNet(block, blocks, num_classes=10).double()
    if stem == "cifar":
        network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False).double()
        network.maxpool = torch.nn.Identity()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(values(name, parameter.shape))
    return network


def compute(block, stem, blocks, size):
    network = make(block, stem, blocks)
    images = pixels(6, 3 * size * size).reshape(6, 3, size, size)
    targets = torch.arange(6) * 3 % 10
    network.train()
    loss = 0.0
    for part in (slice(0, 3), slice(3, 6)):  # two microbatches, one after the other
        scores = network(images[part])
        loss = loss + torch.nn.functional.cross_entropy(scores, targets[part], reduction="sum")
    loss.backward()
    network.eval()
    return {
        "blocks": blocks,
        "block": "basic" if block is BasicBlock else "bottleneck",
        "stem": stem,
        "size": size,
        "loss": loss.item(),
        "last_scores": scores.detach().tolist(),
        "gradients": {name: summary(parameter.grad) for name, parameter in network.named_parameters()},
        "statistics": {name: summary(buffer) for name, buffer in network.named_buffers() if buffer.dim() == 1},
        "scores_in_evaluation": network(images).detach().tolist(),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


numbers = {name: compute(*case) for name, case in CASES.items()}
Path(__file__).with_name("torchvision.json").write_text(json.dumps(numbers, indent=1) + "\n")
