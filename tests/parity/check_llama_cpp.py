#!/usr/bin/env python3
"""Checks that GGUF files which llmws writes are the same model in llama.cpp.

    python3 tests/parity/check_llama_cpp.py ORACLE LLMWS LLAMA_LOGITS [NAME ...] [--completion LLAMA_COMPLETION] [--keep DIR]

ORACLE: the folder with expected.json and models/; LLMWS: the program; LLAMA_LOGITS: a build of llama_logits.c. Each directory becomes a GGUF file (`llmws
convert --type f32`; those that are stored narrower keep their type). Of that file, llama.cpp's logits of the prompt and of the greedy tokens of transformers
after it are compared: every greedy token must be its likeliest too. With llama-completion, the greedy text of a prompt is compared as well, which needs the
same tokenizer. llama.cpp keeps keys and values in f16, so logits differ by some 1e-3.

Some are shown and not judged: llama.cpp knows no windows of mistral, phi3 and qwen2 and no other scale of queries than the released gemmas have, and chooses
longrope's factors by the size of its context.
"""
import argparse
import array
import json
import os
import subprocess
import sys
import tempfile

JUDGED = "llama2 llama3 mistral_nemo phi2 qwen2 qwen3 smollm3 mixtral qwen3_moe gpt2".split()
SHOWN = "mistral phi3 phi3_longrope qwen2_yarn gemma2 gemma3".split()
TEXT = "Hello, world! The quick brown fox"
N_TEXT = 16
SURE = 0.05


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError("%s: %s" % (os.path.basename(argv[0]), done.stderr.decode(errors="replace").strip().splitlines()[-1:]))
    return done.stdout


def likeliest(row):
    return max(range(len(row)), key=row.__getitem__)


def greedy_ids(args, gguf, folder, case):
    """Of the greedy tokens how many are llama.cpp's likeliest too, and the largest difference of the last prompt's logits."""
    ids = case["ids"] + case["greedy"]
    names = [os.path.join(folder, n) for n in ("ids.i32", "logits.f32")]
    with open(names[0], "wb") as f:
        array.array("i", ids).tofile(f)
    first = len(case["ids"]) - 1
    run(args.llama_logits, gguf, names[0], str(len(ids)), str(first), "2", names[1])
    logits = array.array("f", open(names[1], "rb").read())
    rows = len(case["greedy"])
    vocab = len(logits) // rows
    at = [logits[i * vocab:(i + 1) * vocab] for i in range(rows)]
    same = sum(likeliest(at[i]) == case["greedy"][i] for i in range(rows))
    want = case["logits_last"]
    return same, rows, max(abs(a - b) for a, b in zip(at[0], want)) if vocab == len(want) else float("nan")


def texts(args, gguf):
    """What llmws says as far as its likeliest token leads by more than arithmetic in f16 moves logits, and what llama.cpp says; without broken UTF-8."""
    mine = ""
    for line in run(args.llmws, "generate", "-m", gguf, "-p", TEXT, "-n", str(N_TEXT), "--temp", "0", "--raw", "-q", "--repeat-penalty", "1", "--compute", "f32",
                    "--kv-type", "f16", "--json", "--logprobs", "2").decode().splitlines():
        token = json.loads(line)
        if token.get("event") != "token":
            continue
        best, second = (t["logprob"] for t in token["top_logprobs"])
        if best - second < SURE:
            break
        mine += token["text"]
    command = [args.completion, "-m", gguf, "-p", TEXT, "-n", str(N_TEXT), "--temp", "0", "-no-cnv", "--no-warmup", "-t", "2", "--repeat-penalty", "1"]
    mine = mine.replace("\ufffd", "")
    for _ in range(8):  # it often loses the end of its text when it exits
        theirs = run(*command).decode(errors="ignore")
        theirs = theirs[theirs.index(TEXT) + len(TEXT):] if TEXT in theirs else ""
        if theirs.startswith(mine):
            break
    return mine, theirs


def check(args, name, expected, folder):
    gguf = os.path.join(args.keep or folder, name + ".gguf")
    if os.path.exists(gguf):
        os.remove(gguf)
    run(args.llmws, "convert", os.path.join(args.oracle, "models", name), "-o", gguf, "-q")
    same, rows, off = greedy_ids(args, gguf, folder, expected["cases"]["short"])
    line, ok = "%2d of %d greedy tokens, logits differ by %.1e" % (same, rows, off), same == rows
    if args.completion:
        mine, theirs = texts(args, gguf)
        same_text = theirs.startswith(mine)
        ok = ok and same_text
        line += ", text " + (repr(mine) if same_text else "%r is not %r" % (mine, theirs))
    return line, ok


def main():
    p = argparse.ArgumentParser()
    p.add_argument("oracle")
    p.add_argument("llmws")
    p.add_argument("llama_logits")
    p.add_argument("names", nargs="*")
    p.add_argument("--completion")
    p.add_argument("--keep")
    args = p.parse_args()
    expected = json.load(open(os.path.join(args.oracle, "expected.json"), encoding="utf-8"))["models"]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names or JUDGED + SHOWN:
            try:
                line, ok = check(args, name, expected[name], folder)
            except RuntimeError as error:
                line, ok = str(error), False
            judged = name in JUDGED
            failed += judged and not ok
            print("%-14s %-6s %s" % (name, "shown" if not judged else "ok" if ok else "FAILED", line), flush=True)
    print("%d failed" % failed)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
