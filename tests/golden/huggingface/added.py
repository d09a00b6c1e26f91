#!/usr/bin/env python3
"""What AdapterHub's library (`adapters`) and PEFT (`peft`) say of what was added to a RoBERTa.

  added.py random LIBRARY FOLDER SEED CONFIG     writes FOLDER/base, a random RoBERTa; FOLDER/adapter, what the options CONFIG (JSON) of the library
                                                 add to it, with random numbers; and expected.json of both together
  added.py open LIBRARY BASE ADAPTER EXPECTED    opens what `interlock export` wrote: no warning, and the log-probabilities of EXPECTED
  added.py label LIBRARY BASE ADAPTER INPUT PREDICTIONS   the same of a model with classes: on the rows of INPUT what `interlock predict --json` said

LIBRARY is adapters or peft. Needs a Python with torch, transformers, tokenizers and that library.
"""
import json
import os
import sys
import warnings

import transformers

import labels
import make
import make_parts as parts


class AdapterHub:
    """Loads and saves by `adapters`."""

    def add(self, model, config):
        import adapters

        adapters.init(model)
        model.add_adapter("theirs", config=adapters.BnConfig(**config))
        model.set_active_adapters("theirs")
        return model

    def save(self, model, folder):
        model.save_adapter(folder, "theirs", with_head=False, use_safetensors=True)  # RobertaForMaskedLM shares a bias, which safetensors refuse

    def open(self, model, folder):
        import adapters

        adapters.init(model)
        model.load_adapter(folder, set_active=True, use_safetensors=True)
        return model


class Peft:
    """Loads and saves by `peft`."""

    def add(self, model, config):
        import peft

        return peft.get_peft_model(model, peft.LoraConfig(**config))

    def save(self, model, folder):
        model.save_pretrained(folder)

    def open(self, model, folder):
        import peft

        return peft.PeftModel.from_pretrained(model, folder)


LIBRARIES = {"adapters": AdapterHub, "peft": Peft}


def make_random(library, folder, seed, config):
    base = os.path.join(folder, "base")
    os.makedirs(base)
    tokenizer = parts.make_tokenizer(base)
    model = make.make_model(1, tokenizer.get_vocab_size(), tied=False)
    parts.fill_at_random(model, seed)
    model.save_pretrained(base)
    model = library.add(model, config)
    parts.fill_at_random(model, seed + 1, of_names_with=("adapters.", "lora_", "modules_to_save."))
    library.save(model, os.path.join(folder, "adapter"))
    make.write_expected(folder, model.eval(), tokenizer)


def opened(library, kind, base, adapter):
    """The model and its tokenizer; fails where the library warns, as of a tensor that is missing or a key that it does not know."""
    model = kind.from_pretrained(base)
    heard = parts.warnings_of("adapters", "peft")
    of_its_own = "There are adapters available but none are activated"  # what `adapters` says while it makes its places
    warnings.simplefilter("ignore", FutureWarning)  # of one library about another
    # PEFT's advice for whoever merges: a readout that is saved whole holds the matrix that the base ties.
    warnings.filterwarnings("ignore", message=".*ensure_weight_tying")
    model = library.open(model, adapter).eval()
    heard = [one for one in heard if not one.startswith(of_its_own)]
    assert not heard, heard
    print("opened", adapter)
    return model, transformers.AutoTokenizer.from_pretrained(base)


def main():
    mode, library, *rest = sys.argv[1:]
    library = LIBRARIES[library]()
    if mode == "random":
        folder, seed, config = rest
        return make_random(library, folder, int(seed), json.loads(config))
    base, adapter, *expected = rest
    if mode == "open":
        return parts.compare_fills(*opened(library, transformers.AutoModelForMaskedLM, base, adapter), *expected)
    labels.compare_predictions(*opened(library, transformers.AutoModelForSequenceClassification, base, adapter), *expected)


main()
