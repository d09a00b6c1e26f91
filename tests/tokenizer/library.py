#!/usr/bin/env python3
"""The Hugging Face libraries' side of library_test.cpp.

  library.py versions                             prints what is installed, or fails
  library.py encode TOKENIZER FILE...             FILE -> FILE.ids (int32), bytes that are not UTF-8 replaced. TOKENIZER: a tokenizer.json, or
                                                  VOCABULARY,MERGES with <|endoftext|> as a special token
  library.py train CORPUS VOCABULARY OUT          merges, one a line
  library.py pretrained FOLDER FILE               the same as encode by transformers' RobertaTokenizerFast.from_pretrained, and FILE.whole.ids with
                                                  the tokens around a text
"""
import array
import json
import os
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import tokenizers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def text_of(path):
    with open(path, "rb") as file:
        return file.read().decode("utf-8", errors="replace")


def write_ids(path, ids):
    with open(path, "wb") as file:
        array.array("i", ids).tofile(file)


def open_tokenizer(name):
    if "," not in name:
        return Tokenizer.from_file(name)
    tokenizer = Tokenizer(models.BPE.from_file(*name.split(",")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return tokenizer


def encode(name, *files):
    tokenizer = open_tokenizer(name)
    for path in files:
        write_ids(path + ".ids", tokenizer.encode(text_of(path), add_special_tokens=False).ids)


def train(corpus, vocabulary, out):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text_of(corpus)], trainers.BpeTrainer(
        vocab_size=int(vocabulary), min_frequency=2, show_progress=False, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    with open(out, "w", encoding="utf-8") as file:
        file.writelines(" ".join(pair) + "\n" for pair in merges)


def pretrained(folder, path):
    import transformers
    tokenizer = transformers.RobertaTokenizerFast.from_pretrained(folder)
    text = text_of(path)
    write_ids(path + ".ids", tokenizer(text, add_special_tokens=False)["input_ids"])
    write_ids(path + ".whole.ids", tokenizer(text)["input_ids"])
    write_ids(path + ".special.ids", [getattr(tokenizer, f"{role}_token_id") for role in ["bos", "pad", "eos", "unk", "mask"]])


def versions():
    print("tokenizers", tokenizers.__version__)


if __name__ == "__main__":
    {"versions": versions, "encode": encode, "train": train, "pretrained": pretrained}[sys.argv[1]](*sys.argv[2:])
