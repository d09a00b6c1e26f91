#!/usr/bin/env python3
"""Writes gpt.json: logits and gradients of Hugging Face's GPT2LMHeadModel on a small batch.

Run it with a Python that has torch and transformers: python make_gpt_golden.py > gpt.json
Weights are not stored: transformer_weights.py makes them from integers alone, in the order of their file (Conv1D: [inputs, outputs]), and
the C++ test makes the same.
"""
import json
import sys

import torch
import transformers

from transformer_weights import fill

CONFIG = dict(layers=2, width=16, heads=2, feed_forward=24, vocabulary=40, max_length=12)

def main():
    config = transformers.GPT2Config(
        vocab_size=CONFIG["vocabulary"], n_embd=CONFIG["width"], n_layer=CONFIG["layers"], n_head=CONFIG["heads"],
        n_inner=CONFIG["feed_forward"], n_positions=CONFIG["max_length"], bos_token_id=2, eos_token_id=2, tie_word_embeddings=False,
        attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).double().eval()
    for name, parameter in model.named_parameters():
        fill(name, parameter)
    # Three streams of a token more than the model sees at once: inputs, and the same shifted by one.
    streams = torch.tensor([[5 + (7 * row + 3 * i + i * i) % 35 for i in range(CONFIG["max_length"] + 1)] for row in range(3)])
    x, y = streams[:, :-1], streams[:, 1:]
    logits = model(input_ids=x).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1), reduction="sum")
    loss.backward()

    def listed(tensor):
        return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]

    json.dump({
        "made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "transformers": transformers.__version__},
        "config": CONFIG, "tokens": x.tolist(), "targets": y.tolist(), "loss": loss.item(), "logits": listed(logits),
        "gradients": {name: listed(p.grad) for name, p in sorted(model.named_parameters())},
    }, sys.stdout, indent=None, separators=(",", ":"))
    print()


main()
