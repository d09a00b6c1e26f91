#!/usr/bin/env python3
"""Writes rules.json: one step of SGD of the interlocking paper's rules on a small ResNet in four components, in float64.

Written after the rule's definition: component k follows the loss of component min(k + N - 1, K - 1), every auxiliary net its
own loss on detached activations. Plain autograd on the whole graph; needs torch. Weights and pixels are those of formula.py.
"""
import json
from pathlib import Path

import torch
from torch.nn import functional as F

from formula import pixels, summary, values

torch.set_num_threads(1)
WIDTHS, CLASSES, SAMPLES, SIZE = [4, 4, 8, 8], 10, 8, 8
COMPONENTS = len(WIDTHS)
RATE, MOMENTUM, DECAY = 0.1, 0.9, 2e-4  # momentum does not show in a first step


class Weights(dict):
    def take(self, name, *shape):
        if name not in self:
            self[name] = values(name, shape).requires_grad_()
        return self[name]


def norm(weights, name, x):
    channels = x.shape[1]
    return F.batch_norm(x, None, None, weights.take(name + ".weight", channels), weights.take(name + ".bias", channels), True)


def convolution(weights, name, x, outputs, kernel, stride=1, bias=False):
    kernels = weights.take(name + ".weight", outputs, x.shape[1], kernel, kernel)
    return F.conv2d(x, kernels, weights.take(name + ".bias", outputs) if bias else None, stride, kernel // 2)


def linear(weights, name, x):
    return F.linear(x, weights.take(name + ".weight", CLASSES, x.shape[1]), weights.take(name + ".bias", CLASSES))


def component(weights, k, x):
    """Residual block k, below the first the stem."""
    if k == 0:
        x = F.relu(norm(weights, "bn1", convolution(weights, "conv1", x, WIDTHS[0], 3)))
    name, stride, width = f"layer{k + 1}.0", 1 if k == 0 else 2, WIDTHS[k]
    y = F.relu(norm(weights, name + ".bn1", convolution(weights, name + ".conv1", x, width, 3, stride)))
    y = norm(weights, name + ".bn2", convolution(weights, name + ".conv2", y, width, 3))
    if stride != 1 or x.shape[1] != width:
        x = norm(weights, name + ".downsample.1", convolution(weights, name + ".downsample.0", x, width, 1, stride))
    return F.relu(y + x)


def auxiliary(weights, k, x):
    """conv128_bn_conv64_bn_gbpl_fc, numbered as a sequence."""
    name = f"heads.{k + 1}."
    for conv, channels in ((0, 128), (3, 64)):
        x = convolution(weights, f"{name}{conv}", x, channels, 3, bias=True)
        x = F.relu(norm(weights, f"{name}{conv + 1}", x))
    return linear(weights, name + "8", x.mean((2, 3)))


def step(horizon):
    images = pixels(SAMPLES, SIZE * SIZE).reshape(SAMPLES, 1, SIZE, SIZE)
    targets = torch.arange(SAMPLES) * 3 % CLASSES
    bodies, heads = [Weights() for _ in WIDTHS], [Weights() for _ in WIDTHS]
    x, losses, own = images, [], []
    for k in range(COMPONENTS):
        x = component(bodies[k], k, x)
        last = k == COMPONENTS - 1

        def read(hidden):
            return linear(heads[k], "fc", hidden.mean((2, 3))) if last else auxiliary(heads[k], k, hidden)

        losses.append(F.cross_entropy(read(x), targets))
        own.append(F.cross_entropy(read(x.detach()), targets))
    gradients = {}
    for k in range(COMPONENTS):
        follows = losses[min(k + horizon - 1, COMPONENTS - 1)]
        for weights, loss in ((bodies[k], follows), (heads[k], own[k])):
            found = torch.autograd.grad(loss, list(weights.values()), retain_graph=True)
            gradients.update(zip(weights, found))
    after = {}
    for weights in bodies + heads:
        for name, value in weights.items():
            after[name] = summary(value - RATE * (gradients[name] + DECAY * value))
    return {"losses": [loss.item() for loss in losses], "parameters": after}


rules = {"local": 1, "furthest2": 2, "furthest3": 3, "global": COMPONENTS}
numbers = {name: step(horizon) for name, horizon in rules.items()}
Path(__file__).with_name("rules.json").write_text(json.dumps(numbers, indent=1) + "\n")
