#!/usr/bin/env python3
"""Copies tiny models of the oracle, and what transformers makes of them, into tests/data.

    python3 tests/models/make_oracle_data.py ORACLE NAME ...        # needs the PyPI package safetensors

ORACLE: the folder with expected.json, expected/ and models/. Of each model the configuration and weights, without a tokenizer (tests/data/tokenizer
has those); of what is expected what test_models.c and test_train.c read: ids, greedy tokens, logits and hidden states, norms of gradients.
With --adapters instead of names: every adapter, the greedy tokens with it after the short prompt (tests/data/adapters/greedy.txt), and for
test_lora.c its logits, loss, norms of gradients and losses of AdamW.
"""
import glob
import json
import os
import shutil
import sys

from safetensors.numpy import load_file, save_file

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")


def write_expected(path, mine):
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join('"%s": %s' % (k, json.dumps(v)) for k, v in mine.items()) + "\n}\n")


def adapters(oracle):
    expected = json.load(open(os.path.join(oracle, "expected.json"), encoding="utf-8"))["models"]
    path = os.path.join(DATA, "expected", "expected.json")
    mine = json.load(open(path, encoding="utf-8"))
    lines = []
    for name in sorted(os.listdir(os.path.join(oracle, "adapters"))):
        to = os.path.join(DATA, "adapters", name)
        os.makedirs(to, exist_ok=True)
        for f in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(os.path.join(oracle, "adapters", name, f), os.path.join(to, f))
        lists = expected[name]["cases"]["short"]["ids"], expected[name]["lora"]["greedy"]
        lines.append(" ".join([name] + [",".join(map(str, x)) for x in lists]) + "\n")
        mine[name]["lora"] = {k: expected[name]["lora"][k] for k in ("greedy", "loss", "grad_norms", "adamw_losses")}
        arrays = load_file(os.path.join(DATA, "expected", name + ".safetensors"))
        arrays["lora.logits"] = load_file(os.path.join(oracle, "expected", name + ".safetensors"))["lora.logits"]
        save_file(arrays, os.path.join(DATA, "expected", name + ".safetensors"))
    write_expected(path, mine)
    with open(os.path.join(DATA, "adapters", "greedy.txt"), "w", encoding="ascii") as f:
        f.writelines(lines)


def main():
    oracle = sys.argv[1]
    if sys.argv[2:] == ["--adapters"]:
        return adapters(oracle)
    path = os.path.join(DATA, "expected", "expected.json")
    mine = json.load(open(path, encoding="utf-8"))
    all_models = json.load(open(os.path.join(oracle, "expected.json"), encoding="utf-8"))["models"]
    for name in sys.argv[2:]:
        to = os.path.join(DATA, name)
        os.makedirs(to, exist_ok=True)
        for pattern in ("config.json", "*.safetensors", "*.index.json"):
            for f in glob.glob(os.path.join(oracle, "models", name, pattern)):
                shutil.copyfile(f, os.path.join(to, os.path.basename(f)))
        cases = all_models[name]["cases"]
        mine[name] = {"cases": {"short": {k: cases["short"][k] for k in ("ids", "greedy")}, "long": {"ids": cases["long"]["ids"]}}}
        train = all_models[name].get("train")
        if train:
            mine[name]["cases"]["short"]["loss"] = cases["short"]["loss"]
            mine[name]["train"] = {"grad_norms": train["grad_norms"]}
        arrays = load_file(os.path.join(oracle, "expected", name + ".safetensors"))
        save_file({k: v for k, v in arrays.items() if k.startswith(("short.", "long."))}, os.path.join(DATA, "expected", name + ".safetensors"))
    write_expected(path, mine)


if __name__ == "__main__":
    main()
