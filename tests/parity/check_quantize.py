#!/usr/bin/env python3
"""Compares what `llmws convert --type T` and llama.cpp's llama-quantize make of one file: perplexity, size, time.

    python3 tests/parity/check_quantize.py LLMWS LLAMA_QUANTIZE F16.gguf TEXT [TYPE ...] [--keep DIR] [--time N]

TEXT: 100 KB or more. Both files are read by llmws, so that only the weights differ; the file of llama-quantize must load and our perplexity may be at most
0.2 % above that of its file. With --time N, both programs are timed N times in turn on 2 threads, the best of each counts.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

TYPES = "q4_k_m q4_0 q8_0 q3_k_m q2_k q6_k q5_k_m q4_1 q5_0 q5_1 iq4_nl iq4_xs q3_k_s q3_k_l q4_k_s q5_k_s".split()
BOUND = 1.002


def run(*argv):
    began = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit("%s: %s" % (" ".join(argv), done.stderr.decode(errors="replace").strip()[-300:]))
    return time.monotonic() - began, done.stdout


def perplexity(args, path):
    _, out = run(args.llmws, "bench", "-m", path, "--ppl", args.text, "-t", "2", "--json")
    return [json.loads(line) for line in out.splitlines() if b'"ppl"' in line][-1]["ppl"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("llmws")
    p.add_argument("quantize")
    p.add_argument("f16")
    p.add_argument("text")
    p.add_argument("types", nargs="*", default=TYPES)
    p.add_argument("--keep")
    p.add_argument("--time", type=int, default=0)
    args = p.parse_args()
    folder = args.keep or tempfile.mkdtemp()
    failed = 0
    for kind in args.types or TYPES:
        ours, theirs = (os.path.join(folder, "%s.%s.gguf" % (kind, who)) for who in ("llmws", "llama"))
        best = [float("inf")] * 2
        for _ in range(max(args.time, 1)):
            best[0] = min(best[0], run(args.llmws, "convert", args.f16, "-o", ours, "--type", kind, "--force", "-t", "2")[0])
            best[1] = min(best[1], run(args.quantize, args.f16, theirs, kind, "2")[0])
        sizes = [os.path.getsize(x) for x in (ours, theirs)]
        ppl = [perplexity(args, x) for x in (ours, theirs)]
        ok = ppl[0] <= BOUND * ppl[1]
        failed += not ok
        timed = "  %.2f s against %.2f s: %.2fx" % (best[0], best[1], best[1] / best[0]) if args.time else ""
        print("%s %-7s perplexity %.4f against %.4f: %+.2f %%, size %.3f%s" % ("PASS" if ok else "FAIL", kind, ppl[0], ppl[1], 100 * (ppl[0] / ppl[1] - 1),
                                                                             sizes[0] / sizes[1], timed), flush=True)
        if not args.keep:
            os.remove(ours)
            os.remove(theirs)
    print("%d of %d failed" % (failed, len(args.types or TYPES)))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
