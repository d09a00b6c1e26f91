"""Tokenizer, weights, numbers and comparisons that the scripts beside it share."""
import json
import logging
import os
import warnings

import tokenizers
import torch

MASK32 = 0xFFFFFFFF
CORPUS = ["The spring brought rain to every valley.\n", "Every valley has its river, and the river has its names.\n",
          "Names change: 1815, 1848, 1871 \u2013 and maps with them.\n", "It isn't the map\u2019s fault, they'll say.\n",
          "\u6c34\u306f\u6d41\u308c\u308b\u3002 \u0648\u0627\u0644\u0646\u0647\u0631 \u064a\u062c\u0631\u064a.\n", "caf\u00e9 na\u00efve \U0001f600\n"] * 8


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


def fill_by_formula(model):
    for name, parameter in model.named_parameters():
        source = "lm_head.bias" if name == "lm_head.decoder.bias" else name
        offset = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0  # around 1 for the weights of norms
        numbers = [offset + one for one in values(source, parameter.numel())]
        parameter.data.copy_(torch.tensor(numbers, dtype=torch.float64).reshape(parameter.shape))


def fill_at_random(model, seed, of_names_with=("",)):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if not any(part in name for part in of_names_with):
            continue
        offset = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
        parameter.data.copy_(offset + 0.1 * torch.randn(parameter.shape, generator=generator))


def rounded(data):
    if isinstance(data, float):
        return float(f"{data:.9g}")
    if isinstance(data, list):
        return [rounded(x) for x in data]
    return {k: rounded(v) for k, v in data.items()} if isinstance(data, dict) else data


def warnings_of(*libraries):
    """A list that gets what they warn of from now on; Python's own warnings are errors."""
    heard = []

    class Listener(logging.Handler):
        def emit(self, record):
            if record.levelno >= logging.WARNING:
                heard.append(record.getMessage())

    for library in libraries:
        logging.getLogger(library).addHandler(Listener())
    warnings.simplefilter("error")
    return heard


def compare_fills(model, tokenizer, expected_file):
    """Ids and log-probabilities of masked places beside those of the file: make.py's, or made of what `interlock fill` says."""
    with open(expected_file) as file:
        expected = json.load(file)
    for fill in expected["fills"]:
        ids = tokenizer(fill["text"], return_tensors="pt").input_ids
        assert ids[0].tolist() == fill.get("ids", ids[0].tolist()), (fill["text"], ids, fill["ids"])
        with torch.no_grad():
            scores = torch.log_softmax(model(input_ids=ids).logits.double(), -1)[0][ids[0] == tokenizer.mask_token_id]
        difference = (scores - torch.tensor(fill["log_probabilities"])).abs().max().item()
        assert difference < 1e-4, difference
        assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == fill["text"].replace(" <mask>", "").replace("<mask>", "").strip()
