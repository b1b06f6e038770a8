"""Holds llmws to transformers (and to llama.cpp) on a real model. A development check: it needs Python, the GGUF file and the reference that
smollm2_reference.py built; nothing in ctest depends on it.

usage: check_smollm2.py --llmws build/llmws --ref DIR --gguf MODEL.gguf [--only tokens,prompts,kld,long] [--locate]
                         [--llama-perplexity PROGRAM] [--llama-logits PROGRAM]

Each check prints one line that begins with PASS or FAIL; exit status 0 if all passed, 6 if not.
  tokens   the program's own tokenizer gives the reference's ids for all prompts and the text.
  prompts  20 prompts x 64 greedy tokens (going on where an answer ends) from the float32 directory DIR in f32 arithmetic: the same, except where the
           reference's two best logits are nearer than 2e-3; then the choice must be the second best, and the rest is checked from the reference's on.
  long     8,000 tokens prefilled and 128 decoded in f32: every logit after the prompt and after each decoded token within 2e-3 (decode_logits.c,
           which is built against libllmws beside the program); and the program's 128 greedy tokens, judged as in prompts.
  kld      the GGUF file with int8 products over text20k.txt in windows of 512: KL divergence from the reference at most 1.05 times that of
           llama.cpp on the same file. And the instrument itself: noise on the logits must be refused, the reference against itself must give 0.
--locate shows where the hidden states of one prompt part from the reference, layer by layer.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import safe_open

sys.dont_write_bytecode = True
import kld

HERE = os.path.dirname(os.path.abspath(__file__))
GAP, TOLERANCE, RATIO = 2e-3, 2e-3, 1.05
LONG_PROMPT = 8000
# Mean divergence of llama.cpp (llama-cpp-python 0.3.36, AVX-512 VNNI, f16 KV) on this file and text, in nats: as llama-perplexity prints it against
# reference_text.kld, and from its float32 logits (llama_logits.c) by kl_rows. Used where --llama-perplexity, --llama-logits are not given.
LLAMA_CPP_KLD = 0.002669
LLAMA_CPP_KLD_EXACT = 0.0026697


class Check:
    def __init__(self, a, tmp):
        self.a, self.failed, self.tmp = a, 0, tmp
        self.f32 = ["--compute", "f32", "--kv-type", "f32"]
        self.eos = json.load(open(os.path.join(a.ref, "config.json")))["eos_token_id"]

    def verdict(self, ok, text):
        print(("PASS " if ok else "FAIL ") + text, flush=True)
        self.failed += not ok

    def run(self, *args):
        cmd = [self.a.llmws, *map(str, args)] + (["-t", str(self.a.threads)] if self.a.threads else [])
        r = subprocess.run(cmd, capture_output=True, stdin=subprocess.DEVNULL)
        if r.returncode:
            shown = [c if len(c) < 200 else c[:60] + "..." for c in cmd]
            sys.exit(f"{' '.join(shown)}: exit {r.returncode}: {r.stderr.decode(errors='replace')[-500:]}")
        return r.stdout.decode()

    def path(self, name):
        return os.path.join(self.tmp, name)

    def ids_file(self, ids):
        with open(self.path("ids.txt"), "w") as f:
            f.write(",".join(map(str, ids)))
        return "@" + self.path("ids.txt")

    def generate(self, model, ids, n, *more):
        """Up to n greedy tokens after ids; the token that ends an answer, where one came, is the last."""
        out = self.run("generate", "-m", model, "--ids", self.ids_file(ids), "-n", n, "--temp", "0", "--json", *more)
        done = json.loads(out.strip().splitlines()[-1])
        assert done["event"] == "done" and done["stop_reason"] in ("eos", "length"), done
        got = done["ids"] + [self.eos] * (done["stop_reason"] == "eos")
        assert got and (done["stop_reason"] == "eos" or len(got) == n), done
        return got

    def capture(self, model, ids, pattern, *more):
        """One forward pass; the captured arrays. The file is removed as soon as it was read."""
        out = self.path("capture.safetensors")
        self.run("inspect", model, "--ids", self.ids_file(ids), "--capture", pattern, "-o", out, *more)
        with safe_open(out, "np") as f:
            t = {k: f.get_tensor(k) for k in f.keys()}
        os.remove(out)
        return t


def load(ref, name):
    return safe_open(os.path.join(ref, f"reference_{name}.safetensors"), "np")


def prompt_names(r):
    return [k.removesuffix(".greedy") for k in r.keys() if k.endswith(".greedy")]


# -- greedy tokens --


def follow(c, ids, want, gap, second):
    """[(step, gap, got, reference, excused)] where the program's greedy tokens after ids depart from the reference's, which do not stop at the end of
    an answer; after a departure, and after such an end, it is asked to go on from the reference's tokens."""
    departures, at = [], 0
    while at < len(want):
        got = c.generate(c.a.ref, ids + want[:at], len(want) - at, *c.f32)
        step = next((at + i for i, g in enumerate(got) if g != want[at + i]), None)
        if step is None:
            at += len(got)
        else:
            departures.append((step, gap[step], got[step - at], want[step], gap[step] < GAP and got[step - at] == second[step]))
            at = step + 1
    return departures


def judge_tokens(c, what, cases, note=""):
    """cases: [(name, ids, greedy, gap, second best)]."""
    near = wrong = total = 0
    for name, ids, want, gap, second in cases:
        total += len(want)
        for step, g, got, ref, excused in follow(c, ids, want, gap, second):
            near, wrong = near + excused, wrong + (not excused)
            print(f"     {name}: token {step} is {got}, reference {ref}, whose top-2 gap is {g:.2e}" + ("" if excused else ": NOT a near tie"))
    c.verdict(wrong == 0, f"{what}: {total} greedy tokens of {len(cases)} prompts: {total - near - wrong} identical, {near} near ties (gap < {GAP}), {wrong} wrong{note}")


def check_prompts(c):
    r = load(c.a.ref, "prompts")
    get = lambda n, k: r.get_tensor(f"{n}.{k}")
    cases = [(n, get(n, "ids").tolist(), get(n, "greedy").tolist(), get(n, "gap").tolist(), get(n, "top2")[:, 1].tolist()) for n in prompt_names(r)]
    smallest = sorted(min(x[3]) for x in cases)[:4]
    judge_tokens(c, "prompts", cases, "; the reference's smallest gaps " + ", ".join(f"{g:.1e}" for g in smallest))


# -- long context --


def decode_logits(c, ids, prompt):
    """Rows of logits after the prompt and after each further id, through the library that stands beside the program."""
    build, exe = os.path.dirname(os.path.abspath(c.a.llmws)), c.path("decode_logits")
    subprocess.run(["cc", "-O2", os.path.join(HERE, "decode_logits.c"), "-I", os.path.join(HERE, "../../core"), "-L", build, "-lllmws", f"-Wl,-rpath,{build}",
                    "-o", exe], check=True)
    ids.astype("<i4").tofile(c.path("ids.i32"))
    subprocess.run([exe, c.a.ref, c.path("ids.i32"), str(prompt), str(c.a.threads), c.path("rows.f32")], check=True)
    return np.fromfile(c.path("rows.f32"), np.float32).reshape(len(ids) - prompt + 1, -1)


def check_long(c):
    r = load(c.a.ref, "long")
    ids, want = r.get_tensor("long.ids"), r.get_tensor("long.logits")
    got = decode_logits(c, ids, LONG_PROMPT)
    assert got.shape == want.shape, (got.shape, want.shape)
    diff = np.abs(got.astype(np.float64) - want)
    row = diff.max(1)
    c.verdict(diff.max() <= TOLERANCE, f"long: {LONG_PROMPT} tokens prefilled, {len(want) - 1} decoded one by one: logits differ by at most {diff.max():.2e} "
                                       f"(bound {TOLERANCE}), mean {diff.mean():.1e}; after the prompt {row[0]:.1e}, after the last token {row[-1]:.1e}")
    second = np.argsort(want[:-1], 1)[:, -2].tolist()
    judge_tokens(c, "long", [("long", ids[:LONG_PROMPT].tolist(), ids[LONG_PROMPT:].tolist(), r.get_tensor("long.gap").tolist(), second)])


# -- KL divergence --


def llama_perplexity(c):
    """Mean KLD that llama-perplexity prints for the GGUF file against the reference's rows."""
    cmd = [c.a.llama_perplexity, "-m", c.a.gguf, "-c", str(kld.WINDOW), "-b", str(kld.WINDOW), "-t", str(c.a.threads or 2), "--kl-divergence",
           "--kl-divergence-base", os.path.join(c.a.ref, "reference_text.kld")]
    out = subprocess.run(cmd, capture_output=True, stdin=subprocess.DEVNULL, check=True).stdout.decode()
    return float(re.search(r"Mean\s+KLD:\s+([-\d.]+)", out).group(1))


def llama_exact(c, base, rows):
    """Mean of kl_rows of the float32 logits that llama.cpp computes for the GGUF file."""
    base.ids.astype("<i4").tofile(c.path("ids.i32"))
    subprocess.run([c.a.llama_logits, c.a.gguf, c.path("ids.i32"), str(kld.WINDOW), str(kld.FIRST), str(c.a.threads or 2), c.path("llama.f32")], check=True)
    got = np.memmap(c.path("llama.f32"), np.float32, "r").reshape(len(base.ids), kld.SCORED, -1)
    return np.mean([kld.kl_rows(rows[i * kld.SCORED : (i + 1) * kld.SCORED], got[i]).mean() for i in range(len(got))])


def check_kld(c):
    r = load(c.a.ref, "text")
    base, rows = kld.BaseFile(os.path.join(c.a.ref, "reference_text.kld")), r.get_slice("text.logits")
    assert (base.ids == kld.windows(r.get_tensor("text.ids"))).all()
    exact, as_file = [], []
    for i, ids in enumerate(base.ids):
        ref = rows[i * kld.SCORED : (i + 1) * kld.SCORED]
        got = c.capture(c.a.gguf, ids.tolist(), "lm_head", "--compute", "int8", "-c", kld.WINDOW)["lm_head"][kld.FIRST : -1]
        exact.append(kld.kl_rows(ref, got))
        as_file.append(kld.kl_file_rows(base.rows(i), got))
        if i == 0:
            own = kld.kl_rows(ref, ref).mean()
            grown = kld.kl_rows(ref, got + 0.05 * np.random.default_rng(7).standard_normal(got.shape)).mean() / exact[0].mean()
    exact, as_file = np.concatenate(exact), np.concatenate(as_file)
    print(f"     {len(exact)} positions of {len(base.ids)} windows; standard error {exact.std() / len(exact) ** 0.5:.6f}, median {np.median(exact):.6f}, "
          f"99 % {np.quantile(exact, 0.99):.4f}, largest {exact.max():.4f}")
    peer = llama_perplexity(c) if c.a.llama_perplexity else LLAMA_CPP_KLD
    peer_exact = llama_exact(c, base, rows) if c.a.llama_logits else LLAMA_CPP_KLD_EXACT
    for how, own_mean, peer_mean, here in (("summed as llama-perplexity does", as_file.mean(), peer, c.a.llama_perplexity),
                                           ("from float32 logits", exact.mean(), peer_exact, c.a.llama_logits)):
        ratio = own_mean / peer_mean
        c.verdict(ratio <= RATIO, f"kld {how}: {own_mean:.6f} nats, llama.cpp {peer_mean:.6f} ({'measured now' if here else 'recorded'}): ratio {ratio:.4f} (bound {RATIO})")
    c.verdict(grown > RATIO and abs(own) < 1e-9, f"kld instrument: noise of 0.05 on the logits of window 0 raises it {grown:.3f} times (refused above {RATIO}); "
                                                 f"the reference against itself {own:.1e}")


# -- tokenizer, and where a difference begins --


def tokenize(c, text):
    with open(c.path("text.txt"), "w", encoding="utf-8", newline="") as f:
        f.write(text)
    out = c.run("inspect", c.a.gguf, "--tokenize", "@" + c.path("text.txt"), "--json")
    return json.loads(out.strip().splitlines()[-1])["ids"]


def check_tokens(c):
    from smollm2_reference import read_prompts, read_text
    r, bad = load(c.a.ref, "prompts"), []
    texts = [(n, t, r.get_tensor(f"{n}.ids").tolist()) for n, t in read_prompts()]
    texts.append(("text20k", read_text(), load(c.a.ref, "text").get_tensor("text.ids").tolist()))
    for name, text, want in texts:
        if tokenize(c, text) != want:
            bad.append(name)
    c.verdict(not bad, f"tokens: {len(texts)} texts, {sum(len(w) for _, _, w in texts)} ids from the GGUF tokenizer" + (f"; different: {', '.join(bad)}" if bad else ""))


def locate(c):
    r = load(c.a.ref, "prompts")
    ids = r.get_tensor("locate.ids").tolist()
    last = max(int(k.rsplit(".", 1)[1]) for k in r.keys() if k.startswith("locate.hidden."))
    for label, model, how in (("float32 directory, f32", c.a.ref, c.f32), ("GGUF, f32", c.a.gguf, c.f32), ("GGUF, int8", c.a.gguf, ["--compute", "int8"])):
        t = c.capture(model, ids, "model.layers.*", *how) | c.capture(model, ids, "lm_head", *how)
        print(f"     {label}: largest difference after each layer, relative to the largest value there")
        for i in range(last):
            got = t.get(f"model.layers.{i}", t.get(f"model.layers.{i}.output"))
            want = r.get_tensor(f"locate.hidden.{i + 1}")
            if i == last - 1:            # transformers gives the last one after the final norm
                got, want = t["lm_head"], r.get_tensor("locate.logits")
            d = np.abs(got - want)
            print(f"       {'lm_head' if i == last - 1 else f'layer {i}':8s} {d.max() / np.abs(want).max():.2e} at token {int(d.max(1).argmax())}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--llmws", required=True)
    ap.add_argument("--ref", required=True)
    ap.add_argument("--gguf", required=True)
    ap.add_argument("--only", default="tokens,prompts,kld,long")
    ap.add_argument("--threads", type=int, default=0)
    ap.add_argument("--llama-perplexity", metavar="PROGRAM", help="measure llama.cpp now")
    ap.add_argument("--llama-logits", metavar="PROGRAM", help="as built from llama_logits.c")
    ap.add_argument("--locate", action="store_true")
    a = ap.parse_args()
    checks = {"tokens": check_tokens, "prompts": check_prompts, "kld": check_kld, "long": check_long}
    with tempfile.TemporaryDirectory(dir=a.ref) as tmp:
        c = Check(a, tmp)
        for check in [locate] if a.locate else [checks[name] for name in a.only.split(",")]:
            check(c)
    sys.exit(6 if c.failed else 0)


if __name__ == "__main__":
    main()
