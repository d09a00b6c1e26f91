#!/usr/bin/env python3
"""Opens what `interlock export` wrote, as a user would: open.py FOLDER EXPECTED

Ends with 1 when a tensor is missing or unexpected, anything is warned of, or ids and log-probabilities of masked places
differ from EXPECTED (written by make.py, or made of what `interlock fill` says).
"""
import json
import logging
import sys
import warnings

import torch
import transformers

folder, expected_file = sys.argv[1:]
heard = []


class Listener(logging.Handler):
    def emit(self, record):
        if record.levelno >= logging.WARNING:
            heard.append(record.getMessage())


transformers.utils.logging.get_logger("transformers").addHandler(Listener())
warnings.simplefilter("error")
model, report = transformers.RobertaForMaskedLM.from_pretrained(folder, output_loading_info=True)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
assert not any(report.values()), report
assert not heard, heard
assert tokenizer.mask_token == "<mask>" and tokenizer.pad_token_id == 1, tokenizer
assert model.config.tie_word_embeddings == (model.lm_head.decoder.weight is model.roberta.embeddings.word_embeddings.weight)
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
print("opened", folder)
