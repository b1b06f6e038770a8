#!/usr/bin/env python3
"""What torch's optimisers make of matrices and of a tiny model, into tests/data/expected.

    python3 tests/models/make_optim_data.py        # needs torch and transformers; tests/data/llama3 must be there

optim.safetensors: of a square, a tall and a wide matrix their values, the gradients of STEPS updates, and the values after these by each of CASES, with
the same by muon in float64, which says how far bf16 is from what it stands for. expected.json, optim: the losses of the tiny model before each of
LOSSES updates and after the last, on the batch of train.adamw; decay is on all weights.
"""
import json
import os

import torch
import torch.optim._muon as torch_muon
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
EXPECTED = os.path.join(DATA, "expected", "expected.json")
SHAPES = {"square": (32, 32), "tall": (40, 16), "wide": (24, 64)}
STEPS, LOSSES = 3, 8
LR, DECAY = 0.02, 0.1
CASES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=LR, weight_decay=DECAY),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=LR, weight_decay=DECAY, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=DECAY),
    "muon": lambda p: torch.optim.Muon(p, lr=LR, weight_decay=DECAY),
    "muon_match": lambda p: torch.optim.Muon(p, lr=LR, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"),
}


def newton_schulz_f64(grad, coefficients, steps, eps):
    a, b, c = coefficients
    x = grad.double()
    x = x / x.norm().clamp(min=eps)
    if grad.size(0) > grad.size(1):
        x = x.T
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if grad.size(0) > grad.size(1) else x


def updated(make, w0, grads):
    w = torch.nn.Parameter(w0.clone())
    optimizer = make([w])
    for g in grads:
        w.grad = g.clone()
        optimizer.step()
    return w.detach()


def matrices():
    torch.manual_seed(11)
    out = {}
    for shape, ne in SHAPES.items():
        w0 = torch.randn(ne)
        # singular values over two orders of magnitude, as those of gradients are
        grads = torch.stack([torch.randn(ne) @ torch.diag(torch.logspace(0, -2, ne[1])) for _ in range(STEPS)])
        out[shape + ".weight"], out[shape + ".grads"] = w0, grads
        for name, make in CASES.items():
            out["%s.%s" % (shape, name)] = updated(make, w0, grads)
        ours, torch_muon._zeropower_via_newtonschulz = torch_muon._zeropower_via_newtonschulz, newton_schulz_f64
        out[shape + ".muon.f64"] = updated(CASES["muon"], w0.double(), grads.double()).float()
        torch_muon._zeropower_via_newtonschulz = ours
    return out


def losses(batch, make):
    model = AutoModelForCausalLM.from_pretrained(os.path.join(DATA, "llama3"), dtype=torch.float32)
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    others = [p for p in model.parameters() if all(p is not h for h in hidden)]
    optimizers, out = make(hidden, others), []
    for i in range(LOSSES + 1):
        model.zero_grad()
        loss = model(batch, labels=batch).loss
        out.append(float("%.8g" % loss.item()))
        loss.backward()
        for o in optimizers if i < LOSSES else []:
            o.step()
    return out


def main():
    torch.set_num_threads(1)
    save_file(matrices(), os.path.join(DATA, "expected", "optim.safetensors"))
    expected = json.load(open(EXPECTED, encoding="utf-8"))
    batch = torch.tensor(expected["llama3"]["train"]["adamw"]["batch_ids"])
    sgd = lambda momentum: lambda h, o: [torch.optim.SGD(h + o, lr=0.05, momentum=momentum, weight_decay=0.01)]
    expected["llama3"]["optim"] = {
        "sgd": losses(batch, sgd(0)),
        "sgd_momentum": losses(batch, sgd(0.9)),
        "muon": losses(batch, lambda h, o: [torch.optim.Muon(h, lr=0.02, weight_decay=0.01), torch.optim.AdamW(o, lr=1e-3, weight_decay=0.01)]),
    }
    with open(EXPECTED, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join('"%s": %s' % (k, json.dumps(v)) for k, v in expected.items()) + "\n}\n")


if __name__ == "__main__":
    main()
