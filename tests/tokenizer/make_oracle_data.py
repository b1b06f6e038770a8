#!/usr/bin/env python3
"""The tokenizers of the oracle's 24 tiny models, each kind once, and what is expected of them.

    python3 tests/tokenizer/make_oracle_data.py ORACLE        # needs the PyPI package tokenizers, for the offsets

ORACLE: the folder with expected.json and models/. Writes tests/data/tokenizer/oracle: the distinct tokenizer.json and
tokenizer.model files, and cases.json: {"models": {name: {"json": file, "model": file, "cases": key}}, "cases": {key:
[{"text", "ids", "ids_special", "decoded", "offsets"}]}}.
"""
import json
import os
import shutil
import sys

from tokenizers import Tokenizer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "tests", "data", "tokenizer", "oracle")


def main():
    oracle = sys.argv[1]
    expected = json.load(open(os.path.join(oracle, "expected.json"), encoding="utf-8"))["models"]
    models, cases, files, keys = {}, {}, {}, {}
    os.makedirs(OUT, exist_ok=True)
    for name, m in expected.items():
        row = {}
        for kind in ("json", "model"):
            path = os.path.join(oracle, "models", name, "tokenizer." + kind)
            if not os.path.exists(path):
                continue
            data = open(path, "rb").read()
            if data not in files:
                files[data] = "%s.%s" % (name, kind)
                shutil.copyfile(path, os.path.join(OUT, files[data]))
            row[kind] = files[data]
        t = Tokenizer.from_file(os.path.join(oracle, "models", name, "tokenizer.json"))
        mine = [dict(c, offsets=[x for o in t.encode(c["text"], add_special_tokens=False).offsets for x in o])
                for c in m["tokenizer"]["encode"]]
        text = json.dumps(mine)
        row["cases"] = keys.setdefault(text, name)
        cases.setdefault(row["cases"], mine)
        models[name] = row
    with open(os.path.join(OUT, "cases.json"), "w", encoding="ascii") as f:
        f.write('{"models": {\n' + ",\n".join('"%s": %s' % (k, json.dumps(v)) for k, v in models.items()) + '},\n"cases": {\n')
        f.write(",\n".join('"%s": [\n%s]' % (k, ",\n".join(json.dumps(c, separators=(",", ":")) for c in v)) for k, v in cases.items()))
        f.write("}}\n")


if __name__ == "__main__":
    main()
