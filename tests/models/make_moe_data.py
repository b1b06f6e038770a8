#!/usr/bin/env python3
"""Gradients of the tiny models with experts, and one more of them, computed by transformers, into tests/data.

    python3 tests/models/make_moe_data.py        # needs torch and transformers; tests/data/mixtral and qwen3_moe must be there

train.bf16: the same with products in bf16, as torch.autocast has them. qwen3_moe_mixed: experts in some layers alone, by step and by list, whose weights are not normalised. Gradients are those of the loss of case short, by
our names: the experts of a layer are one weight.
"""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
EXPECTED = os.path.join(DATA, "expected", "expected.json")
EXPERTS = {"mixtral": ("w1", "w3", "w2")}


def six(x):
    return float("%.6g" % x)


def make_mixed(path):
    torch.manual_seed(6)
    config = Qwen3MoeConfig(vocab_size=96, hidden_size=32, intermediate_size=48, moe_intermediate_size=24, num_hidden_layers=4, num_attention_heads=2,
                            num_key_value_heads=1, head_dim=16, max_position_embeddings=512, num_experts=8, num_experts_per_tok=3, decoder_sparse_step=2,
                            mlp_only_layers=[3], norm_topk_prob=False, use_sliding_window=False, dtype="float32")
    model = Qwen3MoeForCausalLM(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            w = torch.randn_like(p)
            p.copy_(1 + 0.15 * w if "norm" in name else w * (0.2 if "embed" in name else 1.3 / p.shape[-1] ** 0.5))
    model.save_pretrained(path)
    os.remove(os.path.join(path, "generation_config.json"))


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


def make_cases(model, name):
    torch.manual_seed(7)
    ids = torch.randint(0, model.config.vocab_size, (300,)).tolist()
    short, hidden, hooks = ids[:48], {}, []

    def keep(name, value):  # None: the value stays as it is
        hidden["short.hidden." + name] = value[0].clone()

    for i, layer in enumerate(model.model.layers):
        hooks.append(layer.register_forward_pre_hook(lambda m, x, i=i: keep(str(i), x[0])))
    hooks.append(model.model.norm.register_forward_pre_hook(lambda m, x: keep(str(len(model.model.layers)), x[0])))
    hooks.append(model.model.norm.register_forward_hook(lambda m, x, y: keep("final", y)))
    hidden["short.logits"] = logits_of(model, short)
    for h in hooks:
        h.remove()
    at = torch.arange(0, 300, 13)
    hidden["long.positions"], hidden["long.logits"] = at, logits_of(model, ids)[at].contiguous()
    save_file(hidden, os.path.join(DATA, "expected", name + ".safetensors"))
    greedy = []
    for _ in range(16):
        greedy.append(int(logits_of(model, short + greedy)[-1].argmax()))
    return {"cases": {"short": {"ids": short, "greedy": greedy}, "long": {"ids": ids}}}


def our_grads(model, name):
    """Norms by our names."""
    gate, up, down = EXPERTS.get(name, ("gate_proj", "up_proj", "down_proj"))
    norms = {}
    for n, p in model.named_parameters():
        g = p.grad.double()
        if name in EXPERTS:
            n = n.replace(".mlp.", ".block_sparse_moe.")
        if n.endswith("experts.gate_up_proj"):
            half = g.shape[1] // 2
            norms[n.replace("gate_up_proj", gate + ".weight")] = six(g[:, :half].norm())
            norms[n.replace("gate_up_proj", up + ".weight")] = six(g[:, half:].norm())
        elif n.endswith("experts.down_proj"):
            norms[n.replace("down_proj", down + ".weight")] = six(g.norm())
        else:
            norms[n] = six(g.norm())
    return norms


def main():
    torch.set_num_threads(1)
    mixed = os.path.join(DATA, "qwen3_moe_mixed")
    make_mixed(mixed)
    expected = json.load(open(EXPECTED, encoding="utf-8"))
    for name in ("mixtral", "qwen3_moe", "qwen3_moe_mixed"):
        model = AutoModelForCausalLM.from_pretrained(os.path.join(DATA, name), dtype=torch.float32)
        if name == "qwen3_moe_mixed":
            expected[name] = make_cases(model, name)
        short = expected[name]["cases"]["short"]
        ids = torch.tensor([short["ids"]])
        loss = model(ids, labels=ids).loss
        loss.backward()
        short["loss"] = six(loss.item())
        expected[name]["train"] = {"grad_norms": our_grads(model, name)}
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(ids, labels=ids).loss
        loss.backward()
        expected[name]["train"]["bf16"] = {"loss": six(loss.item()), "grad_norms": our_grads(model, name)}
    with open(EXPECTED, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join('"%s": %s' % (k, json.dumps(v)) for k, v in expected.items()) + "\n}\n")


if __name__ == "__main__":
    main()
