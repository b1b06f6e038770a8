"""What encoders lose, against llama.cpp's: check_rmse.py QUANTIZE_ROWS PEER_ROWS [--model F16.gguf] [--isa NAME]

Quantises normal, Laplace and real rows of widths 1536 and 4096 by the two programs of quantize_rows.c, decodes both with the Python package gguf, and
prints the ratios of the root mean square errors and of the processor time. Exit status 6 where an error is above 1.01 times llama.cpp's.
"""
import argparse
import subprocess
import sys

import gguf
import numpy as np
from gguf.quants import dequantize

TYPES = "q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4".split()
BOUND = 1.01


def real_rows(path):
    """Rows of 1536 of a model's down projections."""
    rows = [np.asarray(t.data, np.float32) for t in gguf.GGUFReader(path).tensors if "ffn_down" in t.name and t.shape[0] == 1536]
    return np.ascontiguousarray(np.concatenate(rows)[::67])


def blocks(program, dtype, x, isa, t):
    out = subprocess.run([program, dtype, str(x.shape[1]), isa], input=x.tobytes(), capture_output=True, check=True)
    q = np.frombuffer(out.stdout, np.uint8).reshape(len(x), -1)
    off = (dequantize(q, t).reshape(x.shape) - x).astype(np.float64)
    return np.sqrt(np.mean(off ** 2)), float(out.stderr)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ours"), p.add_argument("peer"), p.add_argument("--model"), p.add_argument("--isa", default="")
    a = p.parse_args()
    rng = np.random.default_rng(3)
    sets = {f"{kind}{n}": (draw(size=(98304 // n, n)) * 0.02).astype(np.float32)
            for kind, draw in (("normal", rng.standard_normal), ("laplace", rng.laplace)) for n in (1536, 4096)}
    if a.model:
        sets["real1536"] = real_rows(a.model)
    worst = 0
    print("dtype  ", *(f"{s:>12}" for s in sets), "   time")
    for name in TYPES:
        t = gguf.GGMLQuantizationType[name.upper()]
        ratios, ours, peer = [], 0, 0
        for x in sets.values():
            (mine, seconds), (theirs, its) = blocks(a.ours, name, x, a.isa, t), blocks(a.peer, str(t.value), x, a.isa, t)
            ours, peer = ours + seconds, peer + its
            ratios.append(mine / theirs)
        worst = max([worst, *ratios])
        print(f"{name:7}", *(f"{r:12.4f}" for r in ratios), f"{peer / ours:6.1f}x")
    return 6 if worst > BOUND else 0


sys.exit(main())
