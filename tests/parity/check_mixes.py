"""The dtypes that llama-quantize picks for every tensor: check_mixes.py LLAMA_QUANTIZE [--write]

Writes GGUF files of the shapes below (headers and holes, no weights), asks `llama-quantize --dry-run` for each kind of file and compares its
answers with tests/data/mixes.txt, to which tests/unit/test_quantize.c holds core/quantize.c; --write makes that file. Needs the Python package gguf.

A line of it: the model (layers, heads, kv heads, experts, tied, width, ffn), the mix, then of each part the dtypes from layer to layer as
dtype*count. Exit status 6 where they differ.
"""
import os
import re
import subprocess
import sys
import tempfile

import gguf

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "mixes.txt")
MIXES = "f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q2_k_s q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k iq4_nl iq4_xs".split()
# name, architecture, layers, heads, kv heads, experts, tied, width, ffn, fused qkv
MODELS = [("smollm2", "llama", 30, 9, 3, 0, 1, 576, 1536, 0), ("small", "llama", 24, 16, 4, 0, 0, 1536, 4096, 0),
          ("llama2", "llama", 32, 32, 32, 0, 0, 4096, 11008, 0), ("mistral", "llama", 32, 32, 8, 0, 0, 4096, 14336, 0),
          ("llama70", "llama", 80, 64, 8, 0, 0, 8192, 28672, 0), ("mixtral", "llama", 32, 32, 8, 8, 0, 4096, 14336, 0),
          ("qwen2", "qwen2", 24, 14, 2, 0, 1, 896, 4864, 0), ("qwen3", "qwen3", 28, 16, 8, 0, 1, 1024, 3072, 0),
          ("gemma3", "gemma3", 26, 4, 1, 0, 1, 1152, 6912, 0), ("phi3", "phi3", 32, 32, 32, 0, 0, 3072, 8192, 1), ("odd", "llama", 5, 4, 2, 0, 0, 80, 96, 0)]
PARTS = {"embed": "token_embd", "head": "output", "q": "attn_q", "k": "attn_k", "v": "attn_v", "qkv": "attn_qkv", "o": "attn_output",
         "gate": r"ffn_gate(?:_exps)?", "up": r"ffn_up(?:_exps)?", "down": r"ffn_down(?:_exps)?"}


def write_model(path, arch, layers, heads, kv, experts, tied, width, ffn, fused):
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(layers), w.add_context_length(64), w.add_embedding_length(width), w.add_feed_forward_length(ffn)
    w.add_head_count(heads), w.add_head_count_kv(kv), w.add_layer_norm_rms_eps(1e-5), w.add_vocab_size(64), w.add_file_type(1)
    w.add_rope_dimension_count(width // heads), w.add_tokenizer_model("no_vocab"), w.add_sliding_window(32)
    if experts:
        w.add_expert_count(experts), w.add_expert_used_count(2)

    def add(name, *shape):
        import numpy as np
        n = int(np.prod(shape))
        w.add_tensor_info(name, shape, np.dtype(np.float16) if len(shape) > 1 else np.dtype(np.float32), n * (2 if len(shape) > 1 else 4))
        return n * (2 if len(shape) > 1 else 4)
    sizes = [add("token_embd.weight", 64, width), add("output_norm.weight", width)] + ([] if tied else [add("output.weight", 64, width)])
    dim = width // heads * kv
    for i in range(layers):
        b = f"blk.{i}."
        sizes += [add(b + "attn_norm.weight", width), add(b + "ffn_norm.weight", width), add(b + "attn_output.weight", width, width)]
        sizes += [add(b + "attn_qkv.weight", width + 2 * dim, width)] if fused else [
            add(b + "attn_q.weight", width, width), add(b + "attn_k.weight", dim, width), add(b + "attn_v.weight", dim, width)]
        if experts:
            sizes += [add(b + "ffn_gate_inp.weight", experts, width), add(b + "ffn_gate_exps.weight", experts, ffn, width),
                      add(b + "ffn_up_exps.weight", experts, ffn, width), add(b + "ffn_down_exps.weight", experts, width, ffn)]
        else:
            sizes += [add(b + "ffn_up.weight", ffn * (1 + fused), width), add(b + "ffn_down.weight", width, ffn)]
            sizes += [] if fused else [add(b + "ffn_gate.weight", ffn, width)]
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_ti_data_to_file()
    w.close()
    end = os.path.getsize(path)
    os.truncate(path, -(-end // 32) * 32 + sum(-(-s // 32) * 32 for s in sizes))


def picks(tool, path, mix):
    out = subprocess.run([tool, "--dry-run", path, mix.upper()], capture_output=True, text=True)
    text = out.stdout + out.stderr
    if out.returncode:
        raise SystemExit(f"{path} {mix}: {text[-600:]}")
    found = {}
    for name, before, after in re.findall(r"\] (\S+)\.weight +- \[.*?type = +(\w+), size = .*?MiB(?: -> .*?\((\w+)\))?", text):
        found[name] = (after or before).lower()
    return found


def runs(dtypes):
    parts = []
    for d in dtypes:
        if parts and parts[-1][0] == d:
            parts[-1][1] += 1
        else:
            parts.append([d, 1])
    return ",".join(f"{d}*{n}" for d, n in parts)


def lines(tool):
    for name, arch, *facts in MODELS:
        layers, heads, kv, experts, tied, width, ffn, fused = facts
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, f"{name}.gguf")
            write_model(path, arch, *facts)
            for mix in MIXES:
                got, text = picks(tool, path, mix), []
                for part, pattern in PARTS.items():
                    of = [(int(m[1] or 0), d) for n, d in got.items() if (m := re.fullmatch(rf"(?:blk\.(\d+)\.)?{pattern}", n))]
                    if of:
                        text.append(f"{part}={runs(d for _, d in sorted(of))}")
                yield f"{name} {layers} {heads} {kv} {experts} {tied} {width} {ffn} {mix} " + " ".join(text)


def main():
    new = "\n".join(lines(sys.argv[1])) + "\n"
    if "--write" in sys.argv:
        open(GOLDEN, "w").write(new)
    old = open(GOLDEN).read()
    for a, b in zip(old.splitlines(), new.splitlines()):
        if a != b:
            print(f"here  {a}\nthere {b}")
    print("same" if old == new else "different")
    return 0 if old == new else 6


sys.exit(main())
