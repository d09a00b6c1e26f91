#!/usr/bin/env python3
"""What transformers say of RoBERTas that label texts, and whether they open what `interlock export` wrote.

  labels.py golden FOLDER                    writes FOLDER/config.json and FOLDER/expected.json for make.py's tokenizer beside it; weights by make.py's formula
  labels.py random FOLDER SEED CLASSES       a whole model with random weights (1 class: scores), and expected.json
  labels.py open FOLDER INPUT PREDICTIONS    opens an export: no tensor missing or unexpected, no warning, and on the rows of INPUT (.jsonl with
                                             text and, maybe, second) what `interlock predict --json` said in the file PREDICTIONS

Needs a Python with torch, transformers and tokenizers.
"""
import json
import os
import sys

import tokenizers
import torch
import transformers

import make_parts as parts

TEXTS = [("The spring brought rain", "to every valley."), ("It isn't the map\u2019s fault", "Names change: 1815"), ("", "caf\u00e9 na\u00efve \U0001f600"),
         ("Rain.", "The river has its names, and every valley has its river."), ("\u6c34\u306f\u6d41\u308c\u308b\u3002", "x")]


def model_of(classes, vocabulary):
    names = [f"class {i}\"'" for i in range(classes)]
    more = {} if classes == 1 else {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config = transformers.RobertaConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, max_position_embeddings=42,
        type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2, num_labels=classes, attn_implementation="eager",
        problem_type="regression" if classes == 1 else "single_label_classification", **more)
    return transformers.RobertaForSequenceClassification(config).eval()


def said(model, encode, pairs):
    """Log-probabilities, or the score, of every row; all rows together, so that they are padded."""
    rows = [encode(first, second) for first, second in pairs]
    width = max(map(len, rows))
    ids = torch.tensor([row + [1] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits.double()
    return (logits if logits.shape[1] == 1 else torch.log_softmax(logits, -1)).tolist()


def expected(model, tokenizer):
    encode = lambda first, second: tokenizer.encode(first, second).ids if second is not None else tokenizer.encode(first).ids
    return {"made_with": {"torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
            "pairs": TEXTS, "of_pairs": said(model, encode, TEXTS), "of_singles": said(model, encode, [(first, None) for first, _ in TEXTS])}


def write_expected(folder, model, tokenizer):
    with open(os.path.join(folder, "expected.json"), "w") as out:
        json.dump(parts.rounded(expected(model, tokenizer)), out, separators=(",", ":"))
        out.write("\n")


def compare_predictions(model, tokenizer, rows_file, predictions_file):
    """Log-probabilities (or scores) of the rows of a .jsonl file with text and, maybe, second, beside what `interlock predict --json` said of them."""
    with open(rows_file) as file:
        rows = [json.loads(line) for line in file]
    with open(predictions_file) as file:
        predictions = json.load(file)["predictions"]
    encode = lambda first, second: tokenizer(first, second).input_ids if second is not None else tokenizer(first).input_ids
    found = said(model, encode, [(row["text"], row.get("second")) for row in rows])
    assert len(found) == len(predictions) == len(rows)
    for ours, theirs in zip(predictions, found):
        if len(theirs) == 1:
            assert abs(ours["score"] - theirs[0]) < 1e-4, (ours, theirs)
            continue
        names = [model.config.id2label[i] for i in range(len(theirs))]
        assert set(names) == set(ours["probabilities"]), (names, ours)
        assert model.config.label2id == {name: i for i, name in enumerate(names)}
        for name, score in zip(names, theirs):
            assert abs(torch.log(torch.tensor(ours["probabilities"][name])).item() - score) < 1e-4, (name, ours, theirs)


def open_export(folder, rows_file, predictions_file):
    heard = parts.warnings_of("transformers")
    model, report = transformers.RobertaForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert not any(report.values()), report
    assert not heard, heard
    compare_predictions(model.eval(), tokenizer, rows_file, predictions_file)
    print("opened", folder)


def main():
    mode, folder = sys.argv[1], sys.argv[2]
    if mode == "open":
        return open_export(folder, sys.argv[3], sys.argv[4])
    os.makedirs(folder, exist_ok=True)
    if mode == "random":
        tokenizer = parts.make_tokenizer(folder)
        model = model_of(int(sys.argv[4]), tokenizer.get_vocab_size())
        parts.fill_at_random(model, int(sys.argv[3]))
        model.save_pretrained(folder)
        return write_expected(folder, model, tokenizer)
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "..", "tokenizer.json"))
    model = model_of(3, tokenizer.get_vocab_size()).double()
    parts.fill_by_formula(model)
    model.config.architectures = ["RobertaForSequenceClassification"]
    model.config.save_pretrained(folder)
    write_expected(folder, model, tokenizer)


if __name__ == "__main__":
    main()
