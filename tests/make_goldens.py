"""Computes what transformers makes of the tiny models in tests/data, and compares it with (or writes it to) tests/data/expected.

usage: make_goldens.py [NAME ...] [--write]          without names: every model of expected.json

A model is a Hugging Face directory tests/data/NAME. Its prompts stand in expected.json; a model that has none there yet gets seeded random ones. Without
--write nothing changes: each stored array and number is recomputed and the largest difference printed; exit status 6 if one exceeds the bound.

expected.json, per model:
  cases.short   ids [48], logits_last, argmax, greedy (16 tokens, EOS ignored), greedy_min_gap, loss, loss_masked (labels before masked_prefix ignored)
  cases.long    ids [300], logits_last, argmax, loss
  train         (float32 models with --train, or that have it) grad_norms by tensor, grad_full, adamw: losses before steps 0..4 and after step 4
  tokenizer     encode: text, ids, ids_special, decoded, by tokenizer.json; chat: a rendered template (kept as it stands)
expected/NAME.safetensors: short.logits [48,V]; short.hidden.0 (input of layer 0), .i (output of layer i), .final (after the last norm); long.positions,
long.logits; grad.TENSOR; adamw.logits_last. What the models store in 16 bits is upcast exactly; all arithmetic is float32 on one thread.

The committed models are random LlamaForCausalLM weights (norms near 1, projections of gain about 1.2), hidden 64, 3 layers, with tokenizers of a few
hundred tokens trained on some lines of text; any other directory of that size serves as well. The committed numbers come from torch 2.15.0,
transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0.
"""
import argparse
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
SHORT, LONG, NEW, MASKED, STEPS = 48, 300, 16, 20, 5
BOUND = 2e-5                # between two builds of torch, relative to the largest value of the array
ADAMW = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}


def digits(x, n):
    if isinstance(x, torch.Tensor):
        x = x.detach().double().tolist()
    return [digits(v, n) for v in x] if isinstance(x, list) else float(f"{x:.{n}g}")


def load(name):
    return AutoModelForCausalLM.from_pretrained(os.path.join(DATA, name), dtype=torch.float32, attn_implementation="eager").eval()


def loss_of(model, ids, masked=0):
    labels = ids.clone()
    labels[:, :masked] = -100
    return model(input_ids=ids, labels=labels, use_cache=False).loss


@torch.no_grad()
def greedy(model, ids):
    """NEW tokens, the whole sequence computed anew for each; and the smallest distance of the two best logits."""
    gap, first = np.inf, ids.shape[1]
    for _ in range(NEW):
        top = model(input_ids=ids, use_cache=False).logits[0, -1].topk(2)
        gap = min(gap, float(top.values[0] - top.values[1]))
        ids = torch.cat([ids, top.indices[None, :1]], 1)
    return ids[0, first:].tolist(), gap


def random_ids(name, n, vocab, low=8):
    return np.random.default_rng([n, *name.encode()]).integers(low, vocab, n).tolist()


@torch.no_grad()
def text_cases(model, old, name, arrays):
    vocab = model.config.vocab_size
    ids = {k: torch.tensor([old.get(k, {}).get("ids") or random_ids(name, n, vocab)]) for k, n in (("short", SHORT), ("long", LONG))}
    out = model(input_ids=ids["short"], use_cache=False, output_hidden_states=True)
    last = model.config.num_hidden_layers
    before_norm = []            # transformers returns the last layer's output only after the norm
    hook = model.model.layers[last - 1].register_forward_hook(lambda m, a, o: before_norm.append(o[0] if isinstance(o, tuple) else o))
    model(input_ids=ids["short"], use_cache=False)
    hook.remove()
    hidden = [h[0] for h in out.hidden_states[:last]] + [before_norm[0].reshape(SHORT, -1)]
    arrays |= {f"short.hidden.{i}": h for i, h in enumerate(hidden)} | {"short.hidden.final": out.hidden_states[last][0], "short.logits": out.logits[0]}
    tokens, gap = greedy(model, ids["short"])
    long = model(input_ids=ids["long"], use_cache=False).logits[0]
    at = torch.tensor([0, 15, 16, 17, 63, 64, 95, 96, 127, 128, 199, 255, LONG - 1])
    arrays |= {"long.positions": at, "long.logits": long[at]}
    logits = out.logits[0]
    return {"short": {"ids": ids["short"][0].tolist(), "logits_last": digits(logits[-1], 6), "argmax": logits.argmax(-1).tolist(), "greedy": tokens,
                      "greedy_min_gap": digits(gap, 6), "loss": digits(loss_of(model, ids["short"]).item(), 6),
                      "loss_masked": digits(loss_of(model, ids["short"], MASKED).item(), 6), "masked_prefix": MASKED},
            "long": {"ids": ids["long"][0].tolist(), "logits_last": digits(long[-1], 6), "argmax": long.argmax(-1).tolist(),
                     "loss": digits(loss_of(model, ids["long"]).item(), 6)}}


def train_case(model, ids, old, arrays):
    """Gradients of the short prompt's loss, then AdamW on a fixed batch of two; decay on every parameter, no dropout."""
    loss_of(model, ids).backward()
    norms = {n: digits(p.grad.norm().item(), 6) for n, p in model.named_parameters()}
    full = ["model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight"]
    arrays |= {f"grad.{n}": p.grad.clone() for n, p in model.named_parameters() if n in full}
    batch = torch.tensor(old.get("adamw", {}).get("batch_ids") or [ids[0].tolist(), random_ids("batch", SHORT, model.config.vocab_size)])
    opt, losses = torch.optim.AdamW(model.parameters(), **ADAMW), []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = loss_of(model, batch)
        losses.append(loss.item())
        loss.backward()
        opt.step()
    with torch.no_grad():
        losses.append(loss_of(model, batch).item())
        last = model(input_ids=ids, use_cache=False).logits[0, -1]
    arrays["adamw.logits_last"] = last
    return {"grad_norms": norms, "grad_full": full,
            "adamw": ADAMW | {"decay_on": "all parameters", "batch_ids": batch.tolist(), "losses": digits(losses, 8), "logits_last": digits(last, 6)}}


def tokenizer_case(name, old):
    tok = Tokenizer.from_file(os.path.join(DATA, name, "tokenizer.json"))
    texts = [x["text"] for x in old.get("encode", [])] or ["Hello, world!", " leading space ", "1024 + 2048", "crème brûlée", "", "日本語 🙂", "a\n\n  b"]
    both = [(t, tok.encode(t, add_special_tokens=False).ids, tok.encode(t).ids) for t in texts]
    return old | {"encode": [{"text": t, "ids": i, "ids_special": s, "decoded": tok.decode(i)} for t, i, s in both]}


def compute(name, old, train):
    torch.manual_seed(0)
    model, arrays = load(name), {}
    new = dict(old) or {"arch": model.config.architectures[0], "model_type": model.config.model_type}
    new["cases"] = text_cases(model, old.get("cases", {}), name, arrays)
    if train or "train" in old:
        new["train"] = train_case(model, torch.tensor([new["cases"]["short"]["ids"]]), old.get("train", {}), arrays)
    new["tokenizer"] = tokenizer_case(name, old.get("tokenizer", {}))
    return new, {k: v.detach().contiguous() for k, v in arrays.items()}


def differences(path, a, b):
    """(path, difference relative to the largest value) for each number or list of numbers; 1 for anything else that differs."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for k in a:
            yield from differences(f"{path}.{k}", a[k], b[k])
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and a and not all(isinstance(x, (int, float)) for x in a + b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from differences(f"{path}[{i}]", x, y)
    elif isinstance(a, (float, list)) and isinstance(b, (float, list)) and np.shape(a) == np.shape(b):
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        yield path, float(np.abs(x - y).max(initial=0) / max(np.abs(x).max(initial=0), 1e-30))
    else:
        yield path, float(a != b)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("names", nargs="*")
    ap.add_argument("--write", action="store_true")
    ap.add_argument("--train", action="store_true", help="gradients and AdamW steps for models that have none yet")
    a = ap.parse_args()
    torch.set_num_threads(1)
    path = os.path.join(DATA, "expected", "expected.json")
    expected, failed = json.load(open(path, encoding="utf-8")), 0
    for name in a.names or list(expected):
        old = expected.get(name, {})
        new, arrays = compute(name, old, a.train)
        file = os.path.join(DATA, "expected", f"{name}.safetensors")
        stored = load_file(file) if os.path.exists(file) else {}
        if a.write:
            expected[name] = new
            save_file({k: v for k, v in stored.items() if k.startswith("lora.")} | arrays, file)
            continue
        rows = list(differences(name, old, new))
        rows += [x for k, v in arrays.items() for x in differences(f"{name}:{k}", stored[k].tolist() if k in stored else None, v.tolist())]
        bad = [r for r in rows if r[1] > BOUND]
        failed += len(bad)
        print("\n".join(f"FAIL {p}: differs by {d:.1e}" for p, d in bad) or f"PASS {name}: {len(rows)} values, largest difference {max(d for _, d in rows):.1e}")
    if a.write:
        with open(path, "w", encoding="utf-8") as f:
            json.dump(expected, f, ensure_ascii=False)
    sys.exit(6 if failed else 0)


if __name__ == "__main__":
    main()
