"""Measures what the arithmetic of each quantisation costs, beside llama.cpp: KL divergence from the float32 arithmetic of the same GGUF file.
A development check: it needs Python with numpy and safetensors, llama-perplexity and the files.

usage: check_kld.py --llmws build/llmws --llama-perplexity PROGRAM [--threads N] MODEL.gguf...

text20k.txt in windows of 512, the second half of each scored, as llama-perplexity does. The base is llmws with `--compute f32 --kv-type f32`, which the
other checks hold to transformers. One line a file, PASS or FAIL (ratio above 1.05); exit status 6 if any failed. A file whose arithmetic is exact
on our side (F16 is computed in f32) differs by its f16 keys and values alone.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import safe_open

sys.dont_write_bytecode = True
import kld

HERE = os.path.dirname(os.path.abspath(__file__))
RATIO = 1.05


def run(*cmd):
    return subprocess.run(list(map(str, cmd)), capture_output=True, stdin=subprocess.DEVNULL, check=True).stdout.decode()


def logits(a, model, ids, tmp, *more):
    with open(f"{tmp}/ids", "w") as f:
        f.write(",".join(map(str, ids)))
    run(a.llmws, "inspect", model, "--ids", f"@{tmp}/ids", "--capture", "lm_head", "-o", f"{tmp}/out.safetensors", "-c", kld.WINDOW, "-t", a.threads, *more)
    with safe_open(f"{tmp}/out.safetensors", "np") as f:
        return f.get_tensor("lm_head")[kld.FIRST : -1]


def measure(a, model, tmp):
    tokens = json.loads(run(a.llmws, "inspect", model, "--tokenize", f"@{HERE}/text20k.txt", "--json").splitlines()[-1])
    ids = kld.windows(tokens["ids"])
    ours = []

    def base(i):
        rows = logits(a, model, ids[i].tolist(), tmp, "--compute", "f32", "--kv-type", "f32")
        ours.append(kld.kl_rows(rows, logits(a, model, ids[i].tolist(), tmp)))
        return rows

    kld.write_base(f"{tmp}/base.kld", ids, base)
    out = run(a.llama_perplexity, "-m", model, "-c", kld.WINDOW, "-b", kld.WINDOW, "-t", a.threads, "--kl-divergence", "--kl-divergence-base", f"{tmp}/base.kld")
    return np.concatenate(ours).mean(), float(re.search(r"Mean\s+KLD:\s+([-\d.]+)", out).group(1))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--llmws", required=True)
    ap.add_argument("--llama-perplexity", required=True)
    ap.add_argument("--threads", default=2)
    ap.add_argument("models", nargs="+")
    a = ap.parse_args()
    failed = 0
    for model in a.models:
        with tempfile.TemporaryDirectory() as tmp:
            own, peer = measure(a, model, tmp)
        ok = own <= RATIO * peer
        failed += not ok
        print(f"{'PASS' if ok else 'FAIL'} {os.path.basename(model)}: {own:.6f} nats, llama.cpp {peer:.6f}: ratio {own / peer:.3f} (bound {RATIO})", flush=True)
    sys.exit(6 if failed else 0)


main()
