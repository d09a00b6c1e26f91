#!/usr/bin/env python3
"""Writes the seeds of the corpora: `make_seeds.py` in this folder. Each is valid, or breaks one rule.

Files named otherwise were found by the fuzzer: kept because they once broke a promise, or reach code that seeds do not.
"""
import json
import struct
from pathlib import Path

corpus = Path(__file__).parent / "corpus"


def write(target, name, data):
    if isinstance(data, str):
        data = data.encode()
    (corpus / target).mkdir(parents=True, exist_ok=True)
    (corpus / target / f"seed-{name}").write_bytes(data)


# --- safetensors -------------------------------------------------------------------------------------------------------

def safetensors(header, data=b"", pad=0, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * pad
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


two = {"__metadata__": {"format": "pt"}, "a": tensor("F32", [2, 2], 0, 16), "b.weight": tensor("BF16", [3], 16, 22)}
write("safetensors", "two", safetensors(two, bytes(22), pad=3))
write("safetensors", "none", safetensors({}))
write("safetensors", "scalar", safetensors({"s": tensor("I64", [], 0, 8)}, bytes(8)))
write("safetensors", "empty-tensor", safetensors({"e": tensor("F64", [0, 7], 0, 0)}))
write("safetensors", "half-bytes", safetensors({"q": tensor("F4", [4], 0, 2)}, bytes(2)))
write("safetensors", "overlap", safetensors({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, bytes(6)))
write("safetensors", "hole", safetensors({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 5, 9)}, bytes(9)))
write("safetensors", "product", safetensors({"a": tensor("F32", [2**32, 2**32], 0, 0)}))
write("safetensors", "large-end", safetensors({"a": tensor("F32", [1], 2**64 - 4, 2**64 - 1)}, bytes(4)))
write("safetensors", "tail", safetensors({"a": tensor("U8", [4], 0, 4)}, bytes(6)))
write("safetensors", "short", safetensors({"a": tensor("U8", [4], 0, 4)}, bytes(3)))
write("safetensors", "shape", safetensors({"a": tensor("F32", [4], 0, 4)}, bytes(4)))
write("safetensors", "falling", safetensors({"a": tensor("U8", [0], 0, 0), "b": tensor("U8", [2**63 - 1], 0, 2)}, bytes(2)))
write("safetensors", "three-offsets",
      safetensors({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, bytes(1)))
write("safetensors", "same-name", safetensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                              b'"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', bytes(2)))
write("safetensors", "twice", safetensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{}}', bytes(1)))
write("safetensors", "long-header", safetensors({}, length=2**63))
write("safetensors", "cut", safetensors(two, bytes(22))[:40])
write("safetensors", "many-dimensions", safetensors({"a": tensor("U8", [1] * 65, 0, 1)}, bytes(1)))

# --- token files -------------------------------------------------------------------------------------------------------

widths = {1: "B", 2: "b", 3: "<h", 4: "<i", 5: "<q", 8: "<H"}


def token_file(documents, code=8, version=1, magic=b"MMIDIDX\0\0", change=lambda index: index, ids=None, fairseq=False):
    """Documents are lists of sequences, sequences lists of ids."""
    sequences = [sequence for document in documents for sequence in document]
    width = struct.calcsize(widths.get(code, "<H"))
    offsets = [width * sum(len(s) for s in sequences[:i]) for i in range(len(sequences))]
    ends = [0]
    for document in documents:
        ends.append(ends[-1] + len(document))
    index = magic + struct.pack("<QBQ", version, code, len(sequences))
    index += b"" if fairseq else struct.pack("<Q", len(ends))
    index += b"".join(struct.pack("<i", len(s)) for s in sequences)
    index += b"".join(struct.pack("<q", o) for o in offsets)
    index += b"" if fairseq else b"".join(struct.pack("<q", e) for e in ends)
    index = change(index)
    if ids is None:
        ids = b"".join(struct.pack(widths.get(code, "<H"), i) for s in sequences for i in s)
    return struct.pack("<I", len(index)) + index + ids


def put(at, layout, value):
    return lambda index: index[:at] + struct.pack(layout, value) + index[at + struct.calcsize(layout):]


some = [[[5, 6, 7]], [], [[8], [9, 10]]]
write("token_index", "uint16", token_file(some))
write("token_index", "int32", token_file(some, 4))
write("token_index", "int64", token_file(some, 5))
write("token_index", "int64-large", token_file([[[1, 2**40]]], 5))
write("token_index", "int8-negative", token_file([[[1, -1]]], 2))
write("token_index", "empty", token_file([]))
write("token_index", "fairseq", token_file(some, fairseq=True))
write("token_index", "modes", token_file(some, change=lambda index: index + bytes(3)))
write("token_index", "backwards", token_file([[[1], [2]]], change=lambda i: put(34 + 8, "<q", 2)(put(34 + 16, "<q", 0)(i))))
pieces = token_file([[[1], [2, 3, 4, 5, 6]], [[7]]],  # the first two change places
                    change=lambda i: put(34 + 12, "<q", 10)(put(34 + 20, "<q", 0)(i)))
write("token_index", "pieces", pieces)
write("token_index", "float", token_file(some, 6))
write("token_index", "version", token_file(some, version=2))
write("token_index", "magic", token_file(some, magic=b"MMIDIDX\0\1"))
write("token_index", "count", token_file(some, change=put(18, "<Q", 2**61)))
write("token_index", "documents", token_file(some, change=put(26, "<Q", 2**61)))
write("token_index", "length", token_file(some, change=put(34, "<i", -3)))
write("token_index", "offset", token_file(some, change=put(34 + 3 * 4 + 8, "<q", 2**62)))
write("token_index", "document-falls", token_file(some, change=put(34 + 3 * 12 + 8, "<q", 3)))
write("token_index", "document-ends", token_file(some, change=put(34 + 3 * 12 + 24, "<q", 2)))
write("token_index", "document-begins", token_file(some, change=put(34 + 3 * 12, "<q", 1)))
write("token_index", "no-documents", token_file([], change=lambda index: put(26, "<Q", 0)(index)[:34]))
write("token_index", "begin", token_file(some, change=put(34 + 3 * 4, "<q", -2)))
write("token_index", "cut", token_file(some, change=lambda index: index[:20], ids=b""))
write("token_index", "odd", token_file(some, ids=bytes(11)))

# --- config ------------------------------------------------------------------------------------------------------------

whole = """# comment
[model]
name = "roberta"
rate = 0.25
tied = true
paths = ["a", 'b\\', "\\u00e9"]
shares = [1, 0.1]
[learning]
rule = "sum"
matrix = [[1, 0.5], [0, 1]]
frozen = [1]
partition = [2, 2]
[[learning.change]]
at_step = 3
rule = "local"
[[learning.change]]
at_step = 7
[run]
steps = 9
seed = -1
weight = 1e300
partition = "balanced"
"""
write("config", "whole", whole)
write("config", "empty", "")
write("config", "overrides", whole + "\0run.steps=3\0learning.rule=global\0learning.change[0].rule='local'\0model.paths=['x']")
write("config", "bad-overrides", "[run]\nsteps = 1\0run.steps\0=3\0run.steps=[[[\0run=1\0run..steps=1\0learning.change[9].rule=a")
write("config", "unknown", "[run]\nstep = 1\n")
write("config", "not-a-table", "run = 3\nlearning = [1]\n")
write("config", "not-toml", "[run\nsteps = = 1\n")
write("config", "types", "[run]\nsteps = 'a'\nseed = 1.5\nrate = 'x'\ntied = 1\npaths = [1]\nfrozen = ['a']\nmatrix = [[1], 2]\n")
write("config", "ranges", "[run]\nsteps = 1001\nrate = nan\nweight = -inf\nseed = 9223372036854775807\n")
write("config", "dotted", "model.name = 'm'\nlearning.change = [{at_step = 2, odd = 1}]\nrun = {steps = 1}\n")
write("config", "deep", "a = " + "[" * 300 + "]" * 300)
write("config", "deep-dotted", ".".join(["a"] * 8000) + " = 1")
write("config", "deep-header", "[" + ".".join(["a"] * 8000) + "]")
write("config", "not-utf8", b"[run]\nname = '\xff'\0model.name='\xc3'")

# --- plan --------------------------------------------------------------------------------------------------------------


def plan(stages, ranks, matrix, lines, microbatches=1, placement="contiguous", tied="no", evaluation="no", extra=""):
    rows = "\n".join(" ".join(str(x) for x in row) for row in matrix)
    return (f"interlock plan 1\nstages {stages}\nranks {ranks}\nreplicas 1\nmicrobatches {microbatches}\n"
            f"placement {placement}\nschedule by hand\nheads needed\nnorm_over_model no\ntied {tied}\n"
            f"evaluation {evaluation}\nrule matrix\n{extra}matrix\n{rows}\n" +
            "".join(f"rank {i}: {line}\n" for i, line in enumerate(lines)))


local = [[1, 0], [0, 1]]
both = [[0, 1], [0, 1]]
write("plan", "one", plan(1, 1, [[1]], ["0F0 0L0 0W0 0U"]))
write("plan", "local", plan(2, 2, local, ["0F0 0SEND_F0 0L0 0W0 0U", "1RECV_F0 1F0 1L0 1W0 1U"]))
write("plan", "global", plan(2, 2, both, ["0F0 0SEND_F0 0RECV_B0@1 0W0 0U", "1RECV_F0 1F0 1L0 1B0@1 1SEND_B0@1 1U"]))
write("plan", "global-one-rank", plan(2, 1, both, ["0F0 1F0 1L0 1B0@1 0W0 0U 1U"]))
write("plan", "sum", plan(3, 3, [[1, 1, 0], [0, 1, 1], [0, 0, 1]],
                          ["0F0 0SEND_F0 0L0 0RECV_B0@1 0W0 0U",
                           "1RECV_F0 1F0 1SEND_F0 1L0 1I0@1 1SEND_B0@1 1RECV_B0@2 1W0 1U",
                           "2RECV_F0 2F0 2L0 2B0@2 2SEND_B0@2 2U"]))
write("plan", "evaluation", plan(2, 2, local, ["0F0 0SEND_F0", "1RECV_F0 1F0 1L0"], evaluation="yes"))
write("plan", "frozen", plan(2, 2, [[0, 0], [0, 1]], ["0F0 0SEND_F0", "1RECV_F0 1F0 1L0 1W0 1U"], extra="frozen 0\n"))
write("plan", "tied", plan(2, 2, both, ["0F0 0SEND_F0 0RECV_B0@1 0W0 0REDUCE_TIED 0U",
                                        "1RECV_F0 1F0 1L0 1B0@1 1SEND_B0@1 1REDUCE_TIED 1U"], tied="yes"))
write("plan", "deadlock", plan(2, 2, both, ["0RECV_B0@1 0W0 0F0 0SEND_F0 0U", "1RECV_F0 1F0 1L0 1B0@1 1SEND_B0@1 1U"]))
write("plan", "by-hand", plan(3, 2, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], placement="0 1 0", lines=[
    "0F0 0SEND_F0 0L0 0W0 0U 2RECV_F0 2F0 2L0 2W0 2U", "1RECV_F0 1F0 1SEND_F0 1L0 1W0 1U"]))
write("plan", "nothing", plan(2, 2, local, ["", ""]))
write("plan", "twice", plan(1, 1, [[1]], ["0F0 0F0 0L0 0L0 0W0 0W0 0U 0U"]))
write("plan", "many-microbatches", plan(1, 1, [[1]], ["0F0 0L0 0W0 0U"], microbatches=2147483647))
write("plan", "most-microbatches", plan(1, 1, [[1]], ["0F0 0L0 0W0 0U"], microbatches=2**26))
write("plan", "many-stages", plan(2147483647, 1, [[1]], ["0F0"]))
write("plan", "words", plan(1, 1, [[1]], ["0F 0X0 -1F0 F0 0F0@ 0B0@0 99999999999F0"]))
write("plan", "lower-triangle", plan(2, 2, [[1, 0], [1, 1]], ["", ""]))

# --- manifest ----------------------------------------------------------------------------------------------------------

zeros = "0" * 64
good = {"format": "interlock checkpoint", "version": 1, "step": 100, "config": "[run]\nsteps = 9\n",
        "state": {"samples": "800", "rule": "local"},
        "files": [{"name": "optimizer-00000.safetensors", "bytes": 8, "sha256": zeros},
                  {"name": "weights-00000.safetensors", "bytes": 16, "sha256": zeros}]}


def manifest(**changes):
    return json.dumps({**good, **changes})


write("manifest", "good", manifest())
write("manifest", "indented", json.dumps(good, indent=2))
write("manifest", "empty", manifest(step=0, config="", state={}, files=[]))
write("manifest", "path", manifest(files=[{"name": "../x.safetensors", "bytes": 1, "sha256": zeros}]))
write("manifest", "path-inside", manifest(files=[{"name": "a/../../x.safetensors", "bytes": 1, "sha256": zeros}]))
write("manifest", "twice", manifest(files=[good["files"][0]] * 2))
write("manifest", "order", manifest(files=good["files"][::-1]))
write("manifest", "negative", manifest(step=-1))
write("manifest", "large", manifest(step=2**63))
write("manifest", "version", manifest(version=2))
write("manifest", "unknown", manifest(more=1))
write("manifest", "types", manifest(state=[], files={}))
write("manifest", "unicode", manifest(config="\u00e9\u0001\U0001f642", state={"\u0000": "\u0000"}))
write("manifest", "zero", manifest() + "\0{}")
write("manifest", "deep-config", manifest(config=".".join(["a"] * 7000) + " = 1"))
write("manifest", "deep", '{"state": ' + '{"a":' * 200 + "1" + "}" * 201)

# --- tokenizer ---------------------------------------------------------------------------------------------------------


def alphabet():
    """GPT-2's printable characters of the 256 bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in shown]
    return {**{byte: chr(byte) for byte in shown}, **{byte: chr(256 + i) for i, byte in enumerate(rest)}}


letters = [alphabet()[byte] for byte in range(256)]
specials = ["<s>", "<pad>", "</s>", "<unk>"]


def tokenizer(tokens, merges, added=(), **changes):
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(added), "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None, "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": {t: i for i, t in enumerate(tokens)},
                      "merges": merges}}
    for key, value in changes.items():
        (file["model"] if key in ("vocab", "dropout", "byte_fallback") else file)[key] = value
    return json.dumps(file, ensure_ascii=False, separators=(",", ":"))


def added(text, number, **flags):
    return {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True, **flags}


space = alphabet()[32]
write("tokenizer", "bytes", tokenizer(letters, []))
write("tokenizer", "merges", tokenizer([*letters, "aa", "aaaa", space + "w", "nn"],
                                       ["a a", ["aa", "aa"], f"{space} w", ["n", "n"]]))
write("tokenizer", "roberta", tokenizer([*specials, *letters, "aa", "<mask>"], ["a a"],
                                        [*(added(t, i) for i, t in enumerate(specials)), added("<mask>", 261, lstrip=True)]))
write("tokenizer", "added-behind", tokenizer(letters, [], [added("It", 256, special=False, normalized=True, single_word=True),
                                                           added("words", 257, rstrip=True, special=False)]))
write("tokenizer", "prefix-space", tokenizer(letters, [], pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}))
write("tokenizer", "missing-byte", tokenizer(letters[:-1], []))
write("tokenizer", "gap", tokenizer(letters, [], vocab={**{t: i for i, t in enumerate(letters)}, "x y": 300}))
write("tokenizer", "same-id", tokenizer(letters, [], vocab={**{t: i for i, t in enumerate(letters)}, "ab": 0}))
write("tokenizer", "no-result", tokenizer(letters, ["a b"]))
write("tokenizer", "merged-twice", tokenizer([*letters, "ab"], ["a b", "a b"]))
write("tokenizer", "odd-token", tokenizer([*letters, "", "\u4e2d", "a b"], []))
write("tokenizer", "wordpiece", '{"model":{"type":"WordPiece"},"pre_tokenizer":{"type":"ByteLevel"}}')
write("tokenizer", "deep", "[" * 40 + "]" * 40)
write("tokenizer", "twice", '{"version":"1.0","version":"1.0"}')
write("tokenizer", "not-json", '{"version": \xff}'.encode("latin-1"))

# --- images --------------------------------------------------------------------------------------------------------------

golden = Path(__file__).parent.parent / "golden" / "images"
for path in sorted(golden.glob("*.[jp][pn]g")):
    write("image", path.name.replace(".", "-"), path.read_bytes())
for name in ("progressive.jpg", "palette.png"):
    whole = (golden / name).read_bytes()
    write("image", "cut-" + name.replace(".", "-"), whole[:len(whole) // 2])
    write("image", "wide-" + name.replace(".", "-"), whole.replace(b"\0\x0c", b"\x7f\x0c", 1))

# --- CIFAR's records: the kind, then the file -----------------------------------------------------------------------------

planes = bytes(i % 256 for i in range(3072))
write("cifar", "ten", b"\0" + b"\x03" + planes + b"\x09" + planes)
write("cifar", "coarse", b"\1" + b"\x13\x63" + planes)
write("cifar", "fine", b"\2" + b"\x13\x63" + planes)
write("cifar", "no-class", b"\0" + b"\x0a" + planes)
write("cifar", "short", b"\0" + b"\x03" + planes[1:])
write("cifar", "empty", b"\0")

# --- table -------------------------------------------------------------------------------------------------------------


def table(format, request, text):
    """format: 0 tabs, 1 commas, 2 objects; request: 0 text and label by name, 1 by number, 2 both with a header, 3 none."""
    return bytes([format + 3 * request]) + (text if isinstance(text, bytes) else text.encode())


names = "text\tlabel\n"
write("table", "tabs", table(0, 0, names + "a b\tyes\nc\tno\n"))
write("table", "crlf", table(0, 0, "\ufefftext\tlabel\r\na\tyes\r\n\r\nb\tno\r\n"))
write("table", "no-last-end", table(0, 1, "a\tb\nc\td"))
write("table", "quotes-in-tabs", table(0, 0, names + '"a\tyes\nb"c\tno\n'))
write("table", "header-and-number", table(0, 2, names + "a\tb\n"))
write("table", "fields", table(0, 0, names + "a\tb\tc\n"))
write("table", "column", table(0, 0, "txt\tlabel\na\tb\n"))
write("table", "column-twice", table(0, 0, "text\ttext\tlabel\na\tb\tc\n"))
write("table", "header-alone", table(0, 0, names))
write("table", "empty", table(0, 0, ""))
write("table", "returns", table(0, 0, "text\tlabel\ra\tb\r"))
write("table", "latin", table(0, 3, b"caf\xe9\n"))
write("table", "zero", table(0, 3, b"a\0b\n"))
write("table", "commas", table(1, 0, 'text,label\n"a, ""b""\nc",yes\nd,"no"\r\n\n'))
write("table", "open-quote", table(1, 0, 'text,label\n"a,yes\n'))
write("table", "after-quote", table(1, 0, 'text,label\n"a"b,yes\n'))
write("table", "return-inside", table(1, 3, "a\rb,c\n"))
write("table", "mark-and-quote", table(1, 0, '\ufeff"text","label"\n"",""\n'))
write("table", "objects", table(2, 0, '{"text": "a\\u00e9\\ud83d\\ude42", "label": 1}\n{"label": true, "text": 0.5, "more": []}\n'))
write("table", "key", table(2, 0, '{"text": "a"}\n'))
write("table", "key-twice", table(2, 0, '{"text": "a", "text": "b", "label": 1}\n'))
write("table", "null", table(2, 0, '{"text": null, "label": 1}\n'))
write("table", "surrogate", table(2, 0, '{"text": "\\ud800", "label": 1}\n'))
write("table", "deep-object", table(2, 0, '{"text": "a", "label": ' + "[" * 200 + "]" * 200 + "}\n"))
write("table", "list", table(2, 0, "[1]\n"))
write("table", "not-json", table(2, 0, '{"text"\n'))
