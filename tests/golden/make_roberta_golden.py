#!/usr/bin/env python3
"""Writes logits and gradients of Hugging Face's RobertaForMaskedLM, or with pre-norm blocks RobertaPreLayerNormForMaskedLM, on a small
padded batch.

Run it with a Python that has torch and transformers: python make_roberta_golden.py > roberta.json
                                                      python make_roberta_golden.py pre > roberta_pre_norm.json
Weights are not stored: transformer_weights.py makes them from integers alone, and the C++ test makes the same.
"""
import json
import sys

import torch
import transformers

from transformer_weights import fill

CONFIG = dict(layers=2, width=16, heads=2, feed_forward=24, vocabulary=40, max_length=12)
LENGTHS = [12, 7, 3]

def main():
    family = "RobertaPreLayerNorm" if "pre" in sys.argv[1:] else "Roberta"
    config = getattr(transformers, family + "Config")(
        vocab_size=CONFIG["vocabulary"], hidden_size=CONFIG["width"], num_hidden_layers=CONFIG["layers"],
        num_attention_heads=CONFIG["heads"], intermediate_size=CONFIG["feed_forward"],
        max_position_embeddings=CONFIG["max_length"] + 2, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, tie_word_embeddings=False, attn_implementation="eager")
    model = getattr(transformers, family + "ForMaskedLM")(config).double().eval()
    # The decoder's bias is one tensor for us: its name is lm_head.bias, and the copy transformers computes with gets its values.
    used = {n: p for n, p in model.named_parameters() if n != "lm_head.bias"}
    used["lm_head.bias"] = used.pop("lm_head.decoder.bias", model.lm_head.decoder.bias)
    for name, parameter in used.items():
        fill(name, parameter)

    tokens, targets = [], []
    for row, length in enumerate(LENGTHS):
        line = [5 + (7 * row + 3 * i) % 35 for i in range(length)]
        line[0], line[-1] = 0, 2
        goal = [-100] * CONFIG["max_length"]
        for i in range(1, length, 3):
            goal[i] = line[i]
            line[i] = 4
        tokens.append(line + [1] * (CONFIG["max_length"] - length))
        targets.append(goal)
    x, y = torch.tensor(tokens), torch.tensor(targets)
    logits = model(input_ids=x, attention_mask=(x != 1).long()).logits
    chosen = logits[y != -100]
    loss = torch.nn.functional.cross_entropy(chosen, y[y != -100], reduction="sum")
    loss.backward()

    def listed(tensor):
        return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]

    json.dump({
        "made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "transformers": transformers.__version__},
        "config": CONFIG, "lengths": LENGTHS, "tokens": tokens, "targets": targets, "loss": loss.item(),
        "logits": listed(chosen), "gradients": {name: listed(p.grad) for name, p in sorted(used.items())},
    }, sys.stdout, indent=None, separators=(",", ":"))
    print()


main()
