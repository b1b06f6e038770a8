#!/usr/bin/env python3
"""Text to ids, ids with special tokens, offsets and text again, against the packages that the files come from.

    python3 tests/parity/check_tokenizers.py build/libllmws.so [--mb 5] [--oracle DIR] [PATH...]

PATH: a directory or file of a tokenizer: tokenizer.json is compared with the PyPI package tokenizers, tokenizer.model with
sentencepiece (ids and text), tekken.json with mistral-common (ids). The text: files of this machine in many languages,
then generated: every script, emoji, combining marks, control characters, broken bytes (read with errors="replace"). The
texts are cut into documents of different lengths, and the whole goes through once more as one. Last line: N passed,
N failed. --oracle: expected.json of tiny models beside models/.
"""
import argparse
import ctypes
import gzip
import glob
import json
import os
import random
import sys
import time


class Err(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("msg", ctypes.c_char * 500)]


class Tokens(ctypes.Structure):
    _fields_ = [("ids", ctypes.POINTER(ctypes.c_int32)), ("offsets", ctypes.POINTER(ctypes.c_int64)), ("n", ctypes.c_size_t)]


class Ours:
    def __init__(self, lib, path):
        self.lib, self.e = lib, Err()
        lib.llmws_tokenizer_open.restype = ctypes.c_void_p
        lib.llmws_tokenizer_open.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        lib.llmws_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        lib.llmws_tokenize.restype = ctypes.c_bool
        lib.llmws_detokenize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        lib.llmws_detokenize.restype = ctypes.c_void_p
        lib.llmws_tokens_free.argtypes = [ctypes.c_void_p]
        self.t = lib.llmws_tokenizer_open(path.encode(), ctypes.byref(self.e))
        if not self.t:
            raise RuntimeError(self.e.msg.decode())

    def encode(self, data, special=False, parse=True):
        out = Tokens()
        flags = (1 if special else 0) | (2 if parse else 0)
        if not self.lib.llmws_tokenize(self.t, data, len(data), flags, ctypes.byref(out), ctypes.byref(self.e)):
            raise RuntimeError(self.e.msg.decode())
        ids = out.ids[:out.n]
        flat = out.offsets[:2 * out.n]
        self.lib.llmws_tokens_free(ctypes.byref(out))
        return ids, list(zip(flat[::2], flat[1::2]))

    def decode(self, ids, special=True):
        n = ctypes.c_size_t()
        a = (ctypes.c_int32 * len(ids))(*ids)
        p = self.lib.llmws_detokenize(self.t, a, len(ids), (1 if special else 0) | 2, ctypes.byref(n), ctypes.byref(self.e))
        text = ctypes.string_at(p, n.value)
        ctypes.CDLL(None).free(ctypes.c_void_p(p))
        return text.decode("utf-8", "replace")


class HF:
    def __init__(self, path):
        from tokenizers import Tokenizer
        self.t = Tokenizer.from_file(path)

    def __call__(self, text):
        e = self.t.encode(text, add_special_tokens=False)
        s = self.t.encode(text, add_special_tokens=True)
        return {"ids": e.ids, "offsets": [tuple(o) for o in e.offsets], "special": s.ids,
                "text": self.t.decode(e.ids, skip_special_tokens=False)}


class SPM:
    def __init__(self, path):
        import sentencepiece
        self.t = sentencepiece.SentencePieceProcessor(model_file=path)

    def __call__(self, text):
        ids = self.t.encode(text)
        return {"ids": ids, "text": self.t.decode(ids)}


class Tekken:
    def __init__(self, path):
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer
        self.t = Tekkenizer.from_file(path)

    def __call__(self, text):
        return {"ids": self.t.encode(text, bos=False, eos=False), "special": self.t.encode(text, bos=True, eos=False)}


def reference(path):
    if os.path.isdir(path):
        path = next(p for p in (os.path.join(path, n) for n in ("tokenizer.json", "tokenizer.model", "tekken.json"))
                    if os.path.exists(p))
    base = os.path.basename(path)
    if base.endswith(".json") and "tekken" in base:
        return path, Tekken(path)
    return (path, HF(path)) if base.endswith(".json") else (path, SPM(path))


def machine_files():
    roots = ["/usr/lib/python3*", "/usr/include", "/usr/share/perl*", "/usr/share/doc", "/usr/share/i18n/locales",
             "/usr/share/man", sys.prefix + "/lib"]
    files = [p for r in roots for d in glob.glob(r) for p in glob.glob(d + "/**/*", recursive=True) if os.path.isfile(p)]
    files = sorted(p for p in files if os.path.getsize(p) < 300000 and not p.endswith((".pyc", ".so", ".a", ".o", ".pyi")))
    random.Random(1).shuffle(files)
    return files


def generated(rng, size):
    """Scripts by random stretches of code points, and what goes wrong between them."""
    blocks = [(0x20, 0x7e), (0xa0, 0x17f), (0x180, 0x2af), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x531, 0x58a),
              (0x5d0, 0x5ea), (0x600, 0x6ff), (0x900, 0x97f), (0x980, 0x9ff), (0xa80, 0xaff), (0xb80, 0xbff), (0xe00, 0xe7f),
              (0xf00, 0xfff), (0x1000, 0x109f), (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1200, 0x137f), (0x1780, 0x17ff),
              (0x1e00, 0x1eff), (0x1f00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x218f), (0x2190, 0x2bff), (0x3000, 0x30ff),
              (0x3130, 0x318f), (0x3400, 0x34ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xa640, 0xa7ff), (0xf900, 0xfaff),
              (0xfb00, 0xfdff), (0xfe00, 0xfe6f), (0xff00, 0xffef), (0x10000, 0x100ff), (0x10300, 0x1034f), (0x11000, 0x1107f),
              (0x1d400, 0x1d7ff), (0x1e900, 0x1e95f), (0x1f000, 0x1faff), (0x20000, 0x2a6df), (0x30000, 0x3134f), (0xe0000, 0xe007f)]
    glue = [" ", "  ", "\n", "\r\n", "\t", "\n\n", "\u00a0", "\u200d", "\ufe0f", "\u0301", "\u3000", "'s", "'LL", "123", "1", "2026",
            "\x00", "\x1b[0m", "\x7f", "\u0085", "\u2028", "</s>", "<s>", "<|endoftext|>", "<|im_start|>", "\u2581", "a", "the ", " the",
            "\U0001f469\u200d\U0001f4bb", "\U0001f44d\U0001f3fd", "...", "!!", "\ufffd", "\u180e", "e\u0301", "<0x41>", "<unk>"]
    out, n = [], 0
    while n < size:
        lo, hi = rng.choice(blocks)
        k = rng.choice([1, 1, 2, 3, 5, 8, 13, 40])
        lo2 = rng.randint(lo, hi)
        word = "".join(chr(rng.randint(max(lo, lo2 - 40), min(hi, lo2 + 40))) for _ in range(k)).encode()
        if rng.random() < 0.03:
            word = bytes(rng.randrange(256) for _ in range(k))
        elif rng.random() < 0.02:
            c = rng.randrange(0x110000)
            word += chr(c).encode("utf-8", "replace")
        word += rng.choice(glue).encode() * rng.choice([1, 1, 1, 2, 7])
        out.append(word)
        n += len(word)
    return b"".join(out)


def documents(size):
    rng = random.Random(7)
    docs, n = [], 0
    for path in machine_files():
        try:
            data = (gzip.open if path.endswith(".gz") else open)(path, "rb").read()
        except OSError:
            continue
        cut = rng.choice([200, 3000, 20000, 100000])
        at = rng.randrange(max(1, len(data) - cut))
        docs.append(data[at:at + cut])
        n += len(docs[-1])
        if n > size * 0.6:
            break
    for k in [1, 3, 10, 30, 100, 300, 1000, 30000]:
        for _ in range(max(1, int(size * 0.05 / k)) if k > 30 else 400):
            docs.append(generated(rng, k))
    rng.shuffle(docs)
    return docs


def show(text, at):
    return repr(text[max(0, at - 15):at + 15])


def first_difference(text, got, want, name):
    for i in range(max(len(got), len(want))):
        g, w = (x[i] if i < len(x) else None for x in (got, want))
        if g != w:
            return "%s %d: %s, expected %s; text of %d: %s" % (name, i, g, w, len(text), show(text, len(text) * i // max(1, len(want))))
    return None


def check(ours, ref, docs, limit=5):
    bad = total = 0
    for data in docs:
        text = data.decode("utf-8", "replace")
        want = ref(text)
        ids, offsets = ours.encode(data, parse=not isinstance(ref, (SPM, Tekken)))
        got = {"ids": ids, "offsets": offsets, "special": ours.encode(data, special=True, parse=not isinstance(ref, Tekken))[0]}
        total += len(data)
        if "text" in want:
            got["text"] = ours.decode(ids)
        for key in want:
            if got[key] != want[key]:
                bad += 1
                if bad <= limit:
                    print("   ", first_difference(text, got[key], want[key], key), flush=True)
                break
    return total, bad


def check_oracle(lib, folder, only):
    expected = json.load(open(os.path.join(folder, "expected.json")))["models"]
    passed = failed = 0
    for name, m in expected.items():
        where = os.path.join(folder, "models", name)
        for path in (where, os.path.join(where, "tokenizer.model")):
            if not os.path.exists(path):
                continue
            try:
                t = Ours(lib, path)
            except RuntimeError as e:
                print(name, e)
                failed += 1
                continue
            wrong = []
            for c in m["tokenizer"]["encode"]:
                raw = c["text"].encode()
                ids = t.encode(raw)[0]
                if ids != c["ids"] or t.decode(ids) != c["decoded"]:
                    wrong.append(c["text"])
                if path == where and t.encode(raw, special=True)[0] != c["ids_special"]:
                    wrong.append(c["text"])
            passed += not wrong
            failed += bool(wrong)
            if wrong:
                print(path, len(wrong), "differ, the first:", repr(wrong[0]))
    return passed, failed


def measure(lib, path, data):
    opened, encoded, decoded = [], [], []
    for _ in range(3):
        t0 = time.process_time()
        t = Ours(lib, path)
        t1 = time.process_time()
        out = Tokens()
        lib.llmws_tokenize(t.t, data, len(data), 2, ctypes.byref(out), ctypes.byref(t.e))
        t2 = time.process_time()
        n = ctypes.c_size_t()
        text = lib.llmws_detokenize(t.t, out.ids, out.n, 3, ctypes.byref(n), ctypes.byref(t.e))
        t3 = time.process_time()
        ctypes.CDLL(None).free(ctypes.c_void_p(text))
        opened.append(t1 - t0)
        encoded.append(t2 - t1)
        decoded.append(t3 - t2)
        count = out.n
        lib.llmws_tokens_free(ctypes.byref(out))
        lib.llmws_tokenizer_close.argtypes = [ctypes.c_void_p]
        lib.llmws_tokenizer_close(t.t)
    mb = len(data) / 1e6
    print("%s: opened in %.1f ms; %.1f MB to %d tokens: %.1f MB/s; back: %.1f MB/s" % (
        path, min(opened) * 1e3, mb, count, mb / min(encoded), mb / min(decoded)), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("lib")
    p.add_argument("paths", nargs="*")
    p.add_argument("--mb", type=float, default=5)
    p.add_argument("--oracle")
    p.add_argument("--time", metavar="FILE", help="only measure: CPU time of opening and of FILE, at most --mb of it, as one text")
    a = p.parse_intermixed_args()
    lib = ctypes.CDLL(os.path.abspath(a.lib))
    passed = failed = 0
    if a.oracle:
        passed, failed = check_oracle(lib, a.oracle, a.paths)
    if a.time:
        return [measure(lib, path, open(a.time, "rb").read(int(a.mb * 1e6))) for path in a.paths]
    docs = documents(a.mb * 1e6) if a.paths else []
    for path in a.paths:
        try:
            file, ref = reference(path)
            total, bad = check(Ours(lib, path), ref, docs)
        except RuntimeError as e:
            print("%s: %s" % (path, e))
            failed += 1
            continue
        print("%s: %d documents, %.2f MB: %d differ" % (path, len(docs), total / 1e6, bad), flush=True)
        passed += not bad
        failed += bool(bad)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
