#!/usr/bin/env python3
"""Writes golden/side_files.json: folders of a tokenizer with files beside the vocabulary, and the ids that transformers give to a text.

  python3 tests/tokenizer/make_side_files.py      (needs `transformers`; its version is written into the file)

Every folder has the vocab.json and merges.txt of golden/, or its tokenizer.json; <mask> is always described in full, since transformers do not
agree with themselves about a <mask> that no file describes (lstrip up to version 4, none from 5 on).
"""
import json
import pathlib
import shutil
import tempfile

import transformers

HERE = pathlib.Path(__file__).resolve().parent / "golden"
END = 640  # the vocabulary's size: the id of the first token behind it

TEXT = "the stage<new> a <mask> of the<new2>  loss.<new>\nit <mask>, <mask> <new> xnew new newer <|endoftext|> <pad></s>"
MASK = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
ROBERTA = {"tokenizer_class": "RobertaTokenizer", "mask_token": {"__type": "AddedToken", **MASK}}


def listed(content, **flags):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, "special": False, **flags}


DECODER = {"0": listed("<s>", normalized=False, special=True), "1": listed("<pad>", normalized=False, special=True),
           "2": listed("</s>", normalized=False, special=True), "3": listed("<unk>", normalized=False, special=True)}

CASES = {
    "prefix": {"tokenizer_config.json": {**ROBERTA, "add_prefix_space": True}},
    "added tokens": {"tokenizer_config.json": ROBERTA, "added_tokens.json": {"<new2>": END + 1, "<new>": END}},
    "an added token that is special": {"tokenizer_config.json": {**ROBERTA, "additional_special_tokens": ["<new>"]},
                                       "added_tokens.json": {"<new>": END}},
    "a map of special tokens": {"tokenizer_config.json": {"tokenizer_class": "RobertaTokenizerFast"},
                                "special_tokens_map.json": {"mask_token": MASK, "additional_special_tokens": ["<new>", {"__type": "AddedToken", **MASK, "content": "<new2>"}]}},
    "a map over a config": {"tokenizer_config.json": {**ROBERTA, "cls_token": "<new>", "additional_special_tokens": ["<new2>"]},
                            "special_tokens_map.json": {"cls_token": "<s>", "additional_special_tokens": ["<new>"]}},
    "a decoder": {"tokenizer_config.json": {**ROBERTA, "added_tokens_decoder": {
        **DECODER, str(END): listed("<new>", rstrip=True), str(END + 1): listed("new", single_word=True)}},
        "added_tokens.json": {"<new2>": END}, "special_tokens_map.json": {"mask_token": "<new2>"}},
    "a decoder that describes a special token": {"tokenizer_config.json": {**ROBERTA, "mask_token": "<mask>", "added_tokens_decoder": {
        **DECODER, str(END - 1): listed("<mask>", lstrip=True, rstrip=True, normalized=False, special=True)}}},
    "special tokens that the vocabulary lacks": {"tokenizer_config.json": {**ROBERTA, "cls_token": "<new2>", "image_token": "<new>"}},
    "a role without a token": {"tokenizer_config.json": {**ROBERTA, "pad_token": None}},
    "bart": {"tokenizer_config.json": {**ROBERTA, "tokenizer_class": "BartTokenizerFast", "add_prefix_space": False}},
    "gpt2": {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "pad_token": "<new>", "add_prefix_space": True}},
    "tokenizer.json, prefix": {"tokenizer.json": None, "tokenizer_config.json": {**ROBERTA, "add_prefix_space": True}},
    "tokenizer.json, added": {"tokenizer.json": None, "tokenizer_config.json": {**ROBERTA, "additional_special_tokens": ["<new2>"]},
                              "added_tokens.json": {"<new>": END}},
    "tokenizer.json, decoder": {"tokenizer.json": None, "tokenizer_config.json": {**ROBERTA, "added_tokens_decoder": {
        **DECODER, str(END - 1): listed("<mask>", normalized=False, special=True), str(END): listed("<new>", lstrip=True)}}},
}


def ids_of(files):
    with tempfile.TemporaryDirectory() as folder:
        for name in ["tokenizer.json"] if "tokenizer.json" in files else ["vocab.json", "merges.txt"]:
            shutil.copy(HERE / name, folder)
        for name, content in files.items():
            if content is not None:
                (pathlib.Path(folder) / name).write_text(json.dumps(content))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return tokenizer.encode(TEXT, add_special_tokens=False), len(tokenizer)


def main():
    cases = []
    for name, files in CASES.items():
        ids, vocabulary = ids_of(files)
        cases.append({"name": name, "files": files, "ids": ids, "vocabulary": vocabulary})
    golden = {"transformers": transformers.__version__, "text": TEXT, "cases": cases}
    (HERE / "side_files.json").write_text(json.dumps(golden, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
