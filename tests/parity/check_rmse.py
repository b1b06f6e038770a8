"""What encoders lose, against llama.cpp's: check_rmse.py LIBGGML LIBLLMWS [--model F16.gguf] [--isa NAME]

Quantises normal, Laplace and real rows of widths 1536 and 4096 through ggml_quantize_chunk of LIBGGML (libggml-base.so of PyPI's llama-cpp-python)
and through `quantize_rows` of LIBLLMWS, decodes both with the Python package gguf, and prints the ratios of the root mean square errors and of the
processor time. Exit status 6 where one is above 1.01. The symbols of libllmws.so are hidden; from a build tree LIBLLMWS is made by

    cc -shared -o libquantize.so build/CMakeFiles/objects.dir/{core/{encode,dtype,base,quant_*},backends/cpu/{encode*,cpuid}}.c.o -lm

with CMAKE_C_VISIBILITY_PRESET unset and -fvisibility=default added to the flags.
"""
import argparse
import ctypes
import sys
import time

import gguf
import numpy as np
from gguf.quants import dequantize

LLMWS = "f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4".split()  # core/dtypes.def
BOUND = 1.01


def real_rows(path):
    """Rows of 1536 of a model's down projections."""
    rows = [np.asarray(t.data, np.float32) for t in gguf.GGUFReader(path).tensors if "ffn_down" in t.name and t.shape[0] == 1536]
    return np.ascontiguousarray(np.concatenate(rows)[::67])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ggml"), p.add_argument("llmws"), p.add_argument("--model"), p.add_argument("--isa")
    a = p.parse_args()
    void, i64 = ctypes.c_void_p, ctypes.c_int64
    peer = ctypes.CDLL(a.ggml).ggml_quantize_chunk
    peer.argtypes, peer.restype = [ctypes.c_int, void, void, i64, i64, i64, void], ctypes.c_size_t
    ours = getattr(ctypes.CDLL(a.llmws), "quantize_rows" + (f"_{a.isa}" if a.isa else ""))
    ours.argtypes, ours.restype = [ctypes.c_int, void, i64, i64, void, void], ctypes.c_bool
    rng = np.random.default_rng(3)
    sets = {f"{kind}{n}": (draw(size=(98304 // n, n)) * 0.02).astype(np.float32)
            for kind, draw in (("normal", rng.standard_normal), ("laplace", rng.laplace)) for n in (1536, 4096)}
    if a.model:
        sets["real1536"] = real_rows(a.model)
    worst = 0
    print("dtype  ", *(f"{s:>12}" for s in sets), "   time")
    for i, name in enumerate(LLMWS[3:], 3):
        t = gguf.GGMLQuantizationType[name.upper()]
        block, size = gguf.GGML_QUANT_SIZES[t]
        ratios, spent = [], np.zeros(2)
        for x in sets.values():
            rows, n = x.shape
            q = np.zeros((2, rows, n // block * size), np.uint8)
            begin = time.process_time()
            assert ours(i, x.ctypes.data, rows, n, None, q[0].ctypes.data)
            middle = time.process_time()
            peer(t.value, x.ctypes.data, q[1].ctypes.data, 0, rows, n, None)
            spent += middle - begin, time.process_time() - middle
            off = [np.sqrt(np.mean((dequantize(b, t).reshape(x.shape) - x).astype(np.float64) ** 2)) for b in q]
            ratios.append(off[0] / off[1] if off[1] else 1)
        worst = max([worst, *ratios])
        print(f"{name:7}", *(f"{r:12.4f}" for r in ratios), f"{spent[1] / spent[0]:6.1f}x")
    return 6 if worst > BOUND else 0


sys.exit(main())
