#!/usr/bin/env python3
"""What transformers say of GPT-2s that our commands import, and whether they open what we export.

  gpt2.py golden FOLDER    writes gpt2/config.json, gpt2/expected.json, gpt2-untied/...: losses of texts and the likeliest continuations;
                           the weights are not stored: make_parts.values(name, count) makes them from integers alone, and the C++ test
                           makes the same. Beside tokenizer.json, which make.py writes.
  gpt2.py open FOLDER      opens a folder that we exported and prints, as JSON, the logits behind the tokens 5, 6, 7, 8.

Needs a Python with torch, transformers and tokenizers.
"""
import json
import os
import sys

import tokenizers
import torch
import transformers

from make_parts import fill_by_formula, rounded

SHAPE = dict(n_layer=2, n_embd=32, n_head=2, n_inner=48, n_positions=24)
DOCUMENTS = ["The spring brought rain to every valley.", "Rain.", "It isn't the map."]
PROMPTS = ["The spring", "Names change: 1815"]
END = 2


def expected(model, tokenizer):
    with torch.no_grad():
        # One stream, an end behind each document; predicted in samples of n_positions from the token before on.
        stream = [END]
        for text in DOCUMENTS:
            stream += tokenizer.encode(text, add_special_tokens=False).ids + [END]
        loss, targets = 0.0, len(stream) - 1
        for begin in range(0, targets, SHAPE["n_positions"]):
            part = stream[begin:begin + SHAPE["n_positions"] + 1]
            logits = model(input_ids=torch.tensor([part[:-1]])).logits.double()
            loss += torch.nn.functional.cross_entropy(logits[0], torch.tensor(part[1:]), reduction="sum").item()
        continued = []
        for prompt in PROMPTS:
            ids = tokenizer.encode(prompt, add_special_tokens=False).ids
            for _ in range(8):
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            continued.append(ids)
    text_bytes = sum(len(text.encode()) for text in DOCUMENTS)
    return {"made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "transformers": transformers.__version__},
            "documents": DOCUMENTS, "loss": loss / targets, "targets": targets,
            "bits_per_byte": loss / torch.log(torch.tensor(2.0, dtype=torch.float64)).item() / text_bytes,
            "prompts": PROMPTS, "continued": continued}


def main():
    mode, folder = sys.argv[1], sys.argv[2]
    if mode == "open":
        model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        with torch.no_grad():
            print(json.dumps(rounded(model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits[0, -1].double().tolist())))
        return
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    for name, tied in (("gpt2", True), ("gpt2-untied", False)):
        place = os.path.join(folder, name)
        os.makedirs(place, exist_ok=True)
        config = transformers.GPT2Config(vocab_size=tokenizer.get_vocab_size(), bos_token_id=END, eos_token_id=END, tie_word_embeddings=tied,
                                         attn_implementation="eager", **SHAPE)
        model = transformers.GPT2LMHeadModel(config).double().eval()
        fill_by_formula(model)
        model.config.save_pretrained(place)
        with open(os.path.join(place, "expected.json"), "w") as out:
            json.dump(rounded(expected(model, tokenizer)), out, separators=(",", ":"))
            out.write("\n")


main()
