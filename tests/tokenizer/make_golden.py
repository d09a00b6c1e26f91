#!/usr/bin/env python3
"""Writes golden/: a small tokenizer trained by the `tokenizers` library, and the ids that library gives to texts of ours.

  python3 tests/tokenizer/make_golden.py      (needs `tokenizers`; the versions used are written into the files)

The texts are invented here: no licence hangs on them. The training text is written out too, so that our own trainer can be held against the
merges of the library's.
"""
import json
import pathlib
import platform
import random
import unicodedata

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).resolve().parent / "golden"
VOCABULARY = 640

SENTENCES = [
    "The ferry leaves at 7:45, and it won't wait; we've told them so.",
    "I'd rather they're late than we'll be lost, she said: it's only rain!",
    "Nobody's map showed the 1,204 steps between the harbour and the old lighthouse.",
    "    for (int stage = 0; stage < stages; ++stage) { gradients[stage] += weight * loss; }",
    "#include <vector>\n#include \"pipeline.h\"\n\n// A stage learns from its own loss.\ntemplate <class T>\nvoid forward(T&& batch);",
    "Größe, naïveté, crème brûlée: cafés in Århus serve them all.",
    "Поезд уходит в полночь, и билетов больше нет.",
    "東京の朝は静かです。電車が走っています。",
    "قطار الليل يغادر المحطة عند الساعة 12.",
    "learning, learned, learner, relearning; interlocking, locking, unlocked",
]


def corpus():
    """Sentences often enough, in a keyed order, that pairs of all sorts are merged."""
    draw = random.Random(20)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    lines = []
    for _ in range(220):
        lines.append(draw.choice(SENTENCES) if draw.random() < 0.4 else " ".join(draw.choices(words, k=draw.randint(1, 12))))
    return "\n".join(lines) + "\n"


def texts():
    """Name -> text: what byte-level tokenizers have been wrong about."""
    draw = random.Random(21)
    everything = "".join(chr(code) for code in range(0x21, 0x3000, 31) if unicodedata.category(chr(code)) not in ("Cs", "Cn"))
    tricky = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2028", "\u3000", "\u180e", "\u0085", "'s", "'S", "'ll", "'", "''", "a", "Z", "é", "e\u0301",
              "1", "²", "٣", "Ⅷ", "中", "の", "ب", "א", "🙂", "👩‍👩‍👧", "🇩🇰", "\u200b", "\ufeff", "\x00", "\x1f", "\x7f", "!", "...", "_", "<", "<mask>",
              "<s>", "</s>", "<pad>", "<unk>", "<|endoftext|>", "\u0378", "\U00011f02", "\U0001e4f1", "\U000323af", "\U0010fffd", "loss", " stage"]
    cases = {
        "empty": "",
        "sentences": " ".join(SENTENCES),
        "one letter": "a",
        "contractions": "I'm you're he's we'd they'll I've can't 's 't'd ''s O'Neil's I'M WE'LL 'tis rock'n'roll l'été x'lle'l",
        "numbers": "3.14 1,000,000 0x1F 12e-5 ²³ ½ ٣٤٥ Ⅷ ① 七 1st 2nd",
        "emoji": "🙂🙂 👩‍👩‍👧‍👦 🇩🇰🇯🇵 👍🏽 ❤️ #️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "combining marks": "e\u0301 a\u0308\u0323 n\u0303o Z̴̗͐a̶l̷g̸o̵ क्षि ก็ ‍\u0301 \u0301start",
        "cjk": "東京の朝は静かです。電車が走っています。「はい」、と彼は言った。한국어도 있어요! 中文，没有空格。㐀𠀀𪚥",
        "right to left": "שלום עולם! قطار الليل ١٢٣ \u202eback\u202c \u200fmark",
        "controls": "\x00\x01\x1b[31mred\x1b[0m \x7f \x85next\x9f bell\x07",
        "nul inside": "ab\x00cd \x00 ef",
        "spaces": "a b  c   d    e     f \t g\t\th \n i\n\nj \n\n k\n \nl   ",
        "only spaces": " " * 37,
        "spaces at both ends": "   middle   ",
        "tabs and line feeds": "\t\t\tif (x)\n\t\t\t\treturn;\n\n\n\t}\n",
        "crlf": "one\r\ntwo\r\n\r\nthree\r four\n\r",
        "other spaces": "a\u00a0b\u2003c\u3000d\u1680e\u2028f\u2029g\u0085h\u180ei\u200bj\u202fk\u205fl \u00a0 m",
        "long word": "pneumono" * 100,
        "long number": "31415926535" * 60,
        "long punctuation": "=-" * 200 + "!" * 101,
        "same letter": "a" * 1001 + " " + "b" * 64 + " " + "c" * 65 + " " + "learning" * 9,
        "special tokens": "<s>Hello <mask> world</s><pad><pad> and <unk>?",
        "mask and spaces": "a <mask> b  <mask>c<mask> <mask>\n<mask>\u00a0<mask>d \t<mask><mask> <mask>",
        "nearly special": "< s> <S> <mas k> <mask <mask<mask>> <</s>>",
        "byte order mark": "\ufeffstart \ufeff middle",
        "newer letters": "\U00011f02\U00011f04 \U0001e4d0\U0001e4f1 \U000323af\u1c89 \U000116d0x",
        "unassigned": "\u0378\u0379 \U0010fffd \ue000x \ufdd0",
        "everything": everything,
        "backslashes": "C:\\new\\table \\n \\u0041 \"quoted\" {\"json\": [1, null]}",
    }
    for number in range(12):
        cases[f"mixture {number}"] = "".join(draw.choices(tricky, k=draw.randint(20, 160)))
    return cases


def broken_bytes():
    """Byte strings that are not UTF-8, all kinds of break."""
    draw = random.Random(22)
    fixed = [b"\x80", b"abc\xff", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82x", b"\xf0\x9f\x99", b"\xf0\x9f\x99x", b"\xc0\xaf", b"\xe0\x80\xaf",
             b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf0\x80\x80\x80", b"ok \xe2\x28\xa1 ok", b"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41",
             b"\xf8\x88\x80\x80\x80", b"\xfe\xff", b"caf\xe9 cr\xe8me", "日本".encode("shift_jis"), "Привет".encode("cp1251"),
             b"<mask\xff> <mask>\xc3<mask>"]
    return fixed + [bytes(draw.choices(range(256), k=draw.randint(1, 120))) for _ in range(20)]


def train(text):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [AddedToken(word, special=True, normalized=False, lstrip=word == "<mask>") for word in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]]
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=VOCABULARY, min_frequency=2, show_progress=False, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(tokenizer.to_str())["model"]
    # The trainer puts <mask> fifth; RoBERTa has it last.
    order = [token for token, _ in sorted(model["vocab"].items(), key=lambda entry: entry[1]) if token != "<mask>"] + ["<mask>"]
    vocabulary = {token: number for number, token in enumerate(order)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in model["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    tokenizer.add_special_tokens(specials)
    return tokenizer


def variants(tokenizer):
    """The same model with other added tokens: name -> (keys of tokenizer.json to replace, texts)."""
    def token(number, content, **flags):
        return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}
    usual = json.loads(tokenizer.to_str())["added_tokens"]
    behind = VOCABULARY
    flags = usual + [token(behind, "It", single_word=True), token(behind + 1, "<r>", rstrip=True, special=True), token(behind + 2, " two"),
                     token(behind + 3, "<lr>", lstrip=True, rstrip=True), token(behind + 4, "<r>x"), token(behind + 5, "über", single_word=True, normalized=True),
                     token(behind + 6, "<r", normalized=True), token(behind + 7, "\ufffd\ufffd")]
    texts_of_flags = ["It Item It's bIt It_ (It) éIt It\u0301 It", "a <r>  b<r>\n\u00a0c<r>", "<r> two two  two<r>  two", "x  <lr>  <lr>\t<lr>y", "<r>x <r>y <rx <r",
                      "über übers <mask>über über<mask>", "It", "<r>", " It ", "<lr>", "a \ufffd\ufffd\ufffd b", "<mask> <r> <mask>", "", "<r> ItIt It"]
    prefix = {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}}
    texts_of_prefix = ["hello", " hello", "\nhello", "", "hello<mask>world", "<mask>", "a</s>b </s> c", "  two", "1", "\u00a0x", "é"]
    split = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}}
    return {"flags": ({"added_tokens": flags}, texts_of_flags), "prefix space": (prefix, texts_of_prefix),
            "prefix space and flags": ({"added_tokens": flags, **prefix}, texts_of_flags + texts_of_prefix), "split": (split, SENTENCES)}


def main():
    HERE.mkdir(exist_ok=True)
    text = corpus()
    (HERE / "corpus.txt").write_text(text, encoding="utf-8", newline="")
    tokenizer = train(text)
    whole = json.loads(tokenizer.to_str())
    assert tokenizer.get_vocab_size() == VOCABULARY
    (HERE / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    (HERE / "vocab.json").write_text(json.dumps(whole["model"]["vocab"], ensure_ascii=False), encoding="utf-8")
    (HERE / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in whole["model"]["merges"]), encoding="utf-8")

    def ids(one, words):
        return one.encode(words, add_special_tokens=False).ids
    golden = {"made by": "tests/tokenizer/make_golden.py",
              "versions": {"tokenizers": tokenizers.__version__, "python": platform.python_version(), "unicode of python": unicodedata.unidata_version}}
    golden["texts"] = [{"name": name, "text": words, "ids": ids(tokenizer, words)} for name, words in texts().items()]
    golden["broken"] = []
    for data in broken_bytes():
        words = data.decode("utf-8", errors="replace")
        golden["broken"].append({"hex": data.hex(), "text": words, "ids": ids(tokenizer, words)})
    golden["variants"] = []
    for name, (keys, words) in variants(tokenizer).items():
        one = Tokenizer.from_str(json.dumps({**whole, **keys}))
        golden["variants"].append({"name": name, "keys": keys, "texts": [{"text": word, "ids": ids(one, word)} for word in words]})
    (HERE / "encodings.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")), encoding="utf-8")


if __name__ == "__main__":
    main()
