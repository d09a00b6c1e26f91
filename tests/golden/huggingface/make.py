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

MASK32 = 0xFFFFFFFF
SIZES = [dict(layers=2, width=32, heads=2, feed_forward=48, length=24), dict(layers=3, width=64, heads=4, feed_forward=256, length=40),
         dict(layers=6, width=96, heads=3, feed_forward=128, length=64), dict(layers=8, width=192, heads=12, feed_forward=768, length=128)]
# By name: size, tied, and of which ids the log-probabilities are stored (every so many; each depends on all scores).
GOLDEN = {"small": (0, False, 1), "tied": (1, True, 13), "larger": (3, False, 13)}
CORPUS = ["The spring brought rain to every valley.\n", "Every valley has its river, and the river has its names.\n",
          "Names change: 1815, 1848, 1871 \u2013 and maps with them.\n", "It isn't the map\u2019s fault, they'll say.\n",
          "\u6c34\u306f\u6d41\u308c\u308b\u3002 \u0648\u0627\u0644\u0646\u0647\u0631 \u064a\u062c\u0631\u064a.\n", "caf\u00e9 na\u00efve \U0001f600\n"] * 8
FILLS = ["The <mask> brought rain", "Every valley has its<mask>, and the <mask> has", "<mask>", "1815, 1848,<mask>1871 <mask><mask>"]
# Documents shorter than any model's length: each is one sample, padded beside longer ones.
DOCUMENTS = ["It isn't the map.", "Rain.", "The river has its names, and"]


def values(name, count):
    """FNV-1a of the name, a Weyl step per element, murmur3's finalizer; then 24 bits to [-0.25, 0.25)."""
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & MASK32
    for i in range(count):
        x = (h + i * 0x9E3779B9) & MASK32
        x = ((x ^ (x >> 16)) * 0x85EBCA6B) & MASK32
        x = ((x ^ (x >> 13)) * 0xC2B2AE35) & MASK32
        x ^= x >> 16
        yield ((x >> 8) / 2**24 - 0.5) * 0.5


def make_tokenizer(folder):
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", tokenizers.AddedToken("<mask>", lstrip=True, special=True)]
    tokenizer.train_from_iterator(CORPUS, vocab_size=330, min_frequency=2, special_tokens=special, show_progress=False)
    tokenizer._tokenizer.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    return tokenizer


def make_model(size, vocabulary, tied):
    shape = SIZES[size]
    config = transformers.RobertaConfig(
        vocab_size=vocabulary, hidden_size=shape["width"], num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
        intermediate_size=shape["feed_forward"], max_position_embeddings=shape["length"] + 2, type_vocab_size=1, layer_norm_eps=1e-5,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, tie_word_embeddings=tied, attn_implementation="eager")
    return transformers.RobertaForMaskedLM(config).eval()


def fill_by_formula(model):
    for name, parameter in model.named_parameters():
        source = "lm_head.bias" if name == "lm_head.decoder.bias" else name
        offset = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0  # around 1 for the weights of norms
        numbers = [offset + one for one in values(source, parameter.numel())]
        parameter.data.copy_(torch.tensor(numbers, dtype=torch.float64).reshape(parameter.shape))


def fill_at_random(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        offset = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
        parameter.data.copy_(offset + 0.1 * torch.randn(parameter.shape, generator=generator))


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


def rounded(data):
    if isinstance(data, float):
        return float(f"{data:.9g}")
    if isinstance(data, list):
        return [rounded(x) for x in data]
    return {k: rounded(v) for k, v in data.items()} if isinstance(data, dict) else data


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
    for name, (size, tied, every) in GOLDEN.items():
        place = os.path.join(folder, name)
        os.makedirs(place, exist_ok=True)
        model = make_model(size, tokenizer.get_vocab_size(), tied).double()
        fill_by_formula(model)
        model.config.save_pretrained(place)
        write_expected(place, model, tokenizer, every)


main()
