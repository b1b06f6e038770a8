#!/usr/bin/env python3
"""Losses and gradients of every tiny model of tests/data, computed by transformers, into tests/data/expected/gradients.json.

    python3 tests/models/make_grad_data.py [NAME ...]        # needs torch and transformers

Of each model, without dropout: the loss of case short; of each tensor's gradient, by our names, its norm and its products with 8 vectors of signs; the
losses before and after each of 5 steps of AdamW on two rows (weight decay on all); and of the weights of attention of each layer, [T,heads,T], what is
said of gradients. Sign i of vector k is bit i % 64 of Philox(key k, block i / 64), as
core/rng.h computes it, so that eight numbers stand for a gradient of any size: the root of their mean square is its norm, give or take a half.
Experts of a layer are one weight here, and weights of Conv1D stand as the linear maps they are.
"""
import json
import os
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
PATH = os.path.join(DATA, "expected", "gradients.json")
VECTORS = 8


def philox(key, blocks):
    """Low and high words of Philox4x32-10 of counters (block, 0, 0, 0)."""
    mask = np.uint64(0xFFFFFFFF)
    c = [np.arange(blocks, dtype=np.uint64)] + [np.zeros(blocks, dtype=np.uint64) for _ in range(3)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & mask, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return (c[1] << np.uint64(32)) | c[0]


def summary(g):
    x = g.double().reshape(-1).numpy()
    out = [float(np.linalg.norm(x))]
    for k in range(VECTORS):
        words = philox(k, -(-x.size // 64))
        bits = (words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
        out.append(float(np.dot(1.0 - 2.0 * bits.reshape(-1)[: x.size].astype(np.float64), x)))
    return [float("%.9g" % v) for v in out]


def ours(model, name):
    """(our name, gradient) of all parameters."""
    turned = {id(m.weight) for m in model.modules() if isinstance(m, Conv1D)}
    experts = {"mixtral": ("w1", "w3", "w2")}.get(model.config.model_type, ("gate_proj", "up_proj", "down_proj"))
    for n, p in model.named_parameters():
        g = p.grad
        if model.config.model_type == "mixtral":
            n = n.replace(".mlp.", ".block_sparse_moe.")
        if n.endswith("experts.gate_up_proj"):
            half = g.shape[1] // 2
            yield n.replace("gate_up_proj", experts[0] + ".weight"), g[:, :half]
            yield n.replace("gate_up_proj", experts[1] + ".weight"), g[:, half:]
        elif n.endswith("experts.down_proj"):
            yield n.replace("down_proj", experts[2] + ".weight"), g
        else:
            yield n, g.t() if id(p) in turned else g


def compute(name, cases):
    model = AutoModelForCausalLM.from_pretrained(os.path.join(DATA, name), dtype=torch.float32, attn_implementation="eager").eval()
    short = cases["short"]["ids"]
    rows = [cases["long"]["ids"][:48], cases["long"]["ids"][100:148]]

    def loss_of(ids):
        x = torch.tensor(ids)
        return model(input_ids=x, labels=x, use_cache=False).loss

    with torch.no_grad():
        seen = model(torch.tensor([short]), use_cache=False, output_attentions=True).attentions
    loss = loss_of([short])
    loss.backward()
    out = {"loss": float("%.9g" % loss.item()), "probs": [summary(a[0].transpose(0, 1)) for a in seen], "gradients": {n: summary(g) for n, g in ours(model, name)}, "rows": rows, "adamw": []}
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    for _ in range(6):
        opt.zero_grad()
        loss = loss_of(rows)
        out["adamw"].append(float("%.9g" % loss.item()))
        loss.backward()
        opt.step()
    return out


def main():
    torch.set_num_threads(1)
    expected = json.load(open(os.path.join(DATA, "expected", "expected.json"), encoding="utf-8"))
    mine = json.load(open(PATH, encoding="utf-8")) if sys.argv[1:] else {}
    for name in sys.argv[1:] or expected:
        mine[name] = compute(name, expected[name]["cases"])
    with open(PATH, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join('"%s": %s' % (k, json.dumps(v)) for k, v in mine.items()) + "\n}\n")


if __name__ == "__main__":
    main()
