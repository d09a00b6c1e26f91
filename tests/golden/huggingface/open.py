#!/usr/bin/env python3
"""Opens what `interlock export` wrote, as a user would: open.py FOLDER EXPECTED

Ends with 1 when a tensor is missing or unexpected, anything is warned of, or ids and log-probabilities of masked places
differ from EXPECTED (written by make.py, or made of what `interlock fill` says).
"""
import sys

import transformers

import make_parts as parts

folder, expected_file = sys.argv[1:]
heard = parts.warnings_of("transformers")
model, report = transformers.RobertaForMaskedLM.from_pretrained(folder, output_loading_info=True)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
assert not any(report.values()), report
assert not heard, heard
assert tokenizer.mask_token == "<mask>" and tokenizer.pad_token_id == 1, tokenizer
assert model.config.tie_word_embeddings == (model.lm_head.decoder.weight is model.roberta.embeddings.word_embeddings.weight)
parts.compare_fills(model, tokenizer, expected_file)
print("opened", folder)
