#!/usr/bin/env python3
"""Training speed beside PyTorch eager: the same shapes, the same run, alternating, the same number of threads.

    check_train_speed.py [--llmws build/llmws] [--threads 2] [--rounds 2] [--updates 3]
                         [--shape 135m] [--precision bf16] [--json]

The models are the two Llama shapes of check_train_memory.py, written to a temporary folder with random weights: that of
SmolLM2-135M with 2 rows of 256 tokens, and one of 7M parameters with 16 rows of 256. An update is forward, backward, clipping and AdamW; bf16 is torch.autocast
there and --precision bf16 here. Every measurement is a process of its own, whose first update is not timed. PyTorch's
fastest update counts, and of llmws the mean of those of a process, the best of all rounds. Exit status 1 where llmws
is slower. Resident memory is printed beside it. Needs torch and transformers.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from check_train_memory import SHAPES, make_model

PRECISIONS = ("fp32", "bf16")


def torch_updates(folder, rows, length, precision, threads, updates):
    """The child: prints the tokens per second of each update after the first."""
    import torch
    from transformers import LlamaForCausalLM

    torch.set_num_threads(threads)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(0, model.config.vocab_size, (rows, length))
    rates = []
    for _ in range(updates + 1):
        begin = time.monotonic()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        rates.append(rows * length / (time.monotonic() - begin))
    print(json.dumps({"rates": rates[1:]}))


def run(command):
    """stdout and the largest resident set of a command, in bytes."""
    env = dict(os.environ, HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    out = child.stdout.read()
    err = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)}: status {child.returncode}: {err.strip()[-2000:]}")
    return out, usage.ru_maxrss * 1024


def measure(args, folder, shape, precision):
    rows, length = SHAPES[shape][-2:]
    ours = [args.llmws, "bench", "--train", "-m", folder, "--batch", rows, "--prompt", length, "--precision", precision,
            "--repeat", args.updates, "-t", args.threads, "--json"]
    theirs = [sys.executable, __file__, "--torch", folder, rows, length, precision, args.threads, args.updates]
    best = {"shape": shape, "precision": precision, "tok_s": 0.0, "torch_tok_s": 0.0, "roof_share": 0.0}
    for _ in range(args.rounds):
        out, best["torch_bytes"] = run([str(x) for x in theirs])
        best["torch_tok_s"] = max(best["torch_tok_s"], *json.loads(out)["rates"])
        out, best["bytes"] = run([str(x) for x in ours])
        result = json.loads(out)
        best["tok_s"] = max(best["tok_s"], result["tok_s"])
        best["roof_share"] = max(best["roof_share"], result.get("roof_share", 0))
    best["ratio"] = best["tok_s"] / best["torch_tok_s"]
    best["memory_ratio"] = best["bytes"] / best["torch_bytes"]
    return best


def main():
    if len(sys.argv) == 8 and sys.argv[1] == "--torch":
        folder, rows, length, precision, threads, updates = sys.argv[2:]
        return torch_updates(folder, int(rows), int(length), precision, int(threads), int(updates))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--llmws", default=os.path.join(root, "build", "llmws"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--updates", type=int, default=3)
    p.add_argument("--shape", choices=sorted(SHAPES))
    p.add_argument("--precision", choices=PRECISIONS)
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for shape in [args.shape] if args.shape else SHAPES:
            where = os.path.join(folder, shape)
            make_model(shape, where)
            for precision in [args.precision] if args.precision else PRECISIONS:
                r = measure(args, where, shape, precision)
                ok = r["ratio"] >= 1
                worst = worst or not ok
                if args.json:
                    print(json.dumps(r), flush=True)
                    continue
                print(f"{shape:5} {precision}: {r['tok_s']:7.0f} tok/s, PyTorch {r['torch_tok_s']:7.0f}: {r['ratio']:.2f} x;"
                      f" memory {r['bytes'] / 2**20:5.0f} MiB, PyTorch {r['torch_bytes'] / 2**20:5.0f}: {r['memory_ratio']:.2f} x"
                      f"{'' if ok else '   MISSED'}", flush=True)
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
