#!/usr/bin/env python3
"""What transformers say of RoBERTas that our commands import: probabilities of masked places, and masked losses.

  make.py golden FOLDER            writes tokenizer.json and, into a folder for each of GOLDEN, config.json and expected.json;
                                   the weights are not stored: values(name, count) makes them from integers alone, and the
                                   C++ test makes the same.
  make.py random FOLDER SEED SIZE  writes a whole model with random weights of size 0, 1 or 2, tied when SEED is even,
                                   and expected.json.

Needs a Python with torch, transformers and tokenizers.
"""
import json
import os
import sys

import tokenizers
import torch
import transformers

from make_parts import fill_at_random, fill_by_formula, make_tokenizer, rounded

SIZES = [dict(layers=2, width=32, heads=2, feed_forward=48, length=24), dict(layers=3, width=64, heads=4, feed_forward=256, length=40),
         dict(layers=6, width=96, heads=3, feed_forward=128, length=64), dict(layers=8, width=192, heads=12, feed_forward=768, length=128)]
# By name: size, tied, of which ids the log-probabilities are stored (every so many; each depends on all scores), and what else differs:
# an epsilon that shows in the numbers, as 1e-12 beside 1e-5 would not, and the two types of token that RobertaConfig has by default.
GOLDEN = {"small": (0, False, 1, {}), "tied": (1, True, 13, {}), "larger": (3, False, 13, {}),
          "epsilon": (0, False, 13, {"layer_norm_eps": 0.05, "type_vocab_size": 2})}
FILLS = ["The <mask> brought rain", "Every valley has its<mask>, and the <mask> has", "<mask>", "1815, 1848,<mask>1871 <mask><mask>"]
# Documents shorter than any model's length: each is one sample, padded beside longer ones.
DOCUMENTS = ["It isn't the map.", "Rain.", "The river has its names, and"]


def make_model(size, vocabulary, tied, others={}):
    shape = SIZES[size]
    details = {"type_vocab_size": 1, "layer_norm_eps": 1e-5, **others}
    config = transformers.RobertaConfig(
        vocab_size=vocabulary, hidden_size=shape["width"], num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
        intermediate_size=shape["feed_forward"], max_position_embeddings=shape["length"] + 2, **details,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, tie_word_embeddings=tied, attn_implementation="eager")
    return transformers.RobertaForMaskedLM(config).eval()


def expected(model, tokenizer, every=1):
    mask = tokenizer.token_to_id("<mask>")
    fills = []
    with torch.no_grad():
        for text in FILLS:
            ids = torch.tensor([tokenizer.encode(text).ids])
            scores = torch.log_softmax(model(input_ids=ids).logits.double(), -1)[0]
            fills.append({"text": text, "ids": ids[0].tolist(), "log_probabilities": scores[ids[0] == mask][:, ::every].tolist()})
        rows = [tokenizer.encode(text).ids for text in DOCUMENTS]
        width = max(map(len, rows))
        labels = torch.tensor([[-100] + r[1:-1] + [-100] * (width - len(r) + 1) for r in rows])
        attention = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
        inputs = torch.tensor([[0] + [mask] * (len(r) - 2) + [2] + [1] * (width - len(r)) for r in rows])
        logits = model(input_ids=inputs, attention_mask=attention).logits.double()
        chosen, truth = logits[labels != -100], labels[labels != -100]
        loss = torch.nn.functional.cross_entropy(chosen, truth).item()
        right = (chosen.argmax(-1) == truth).double().mean().item()
    return {"made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "transformers": transformers.__version__,
                          "tokenizers": tokenizers.__version__},
            "every": every, "fills": fills, "documents": DOCUMENTS, "loss": loss, "accuracy": right, "targets": int((labels != -100).sum()),
            "tokens": int(attention.sum())}


def write_expected(folder, model, tokenizer, every=1):
    with open(os.path.join(folder, "expected.json"), "w") as out:
        json.dump(rounded(expected(model, tokenizer, every)), out, separators=(",", ":"))
        out.write("\n")


def main():
    mode, folder = sys.argv[1], sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    tokenizer = make_tokenizer(folder)
    if mode == "random":
        seed, size = int(sys.argv[3]), int(sys.argv[4])
        model = make_model(size, tokenizer.get_vocab_size(), tied=seed % 2 == 0)
        fill_at_random(model, seed)
        model.save_pretrained(folder)
        write_expected(folder, model, tokenizer)
        return
    for name, (size, tied, every, others) in GOLDEN.items():
        place = os.path.join(folder, name)
        os.makedirs(place, exist_ok=True)
        model = make_model(size, tokenizer.get_vocab_size(), tied, others).double()
        fill_by_formula(model)
        model.config.save_pretrained(place)
        write_expected(place, model, tokenizer, every)


if __name__ == "__main__":
    main()
