"""Compares the Jinja interpreter with transformers' environment: real templates, and random small ones.

    check_templates.py --build DIR [--templates DIR|FILE]... [--random SECONDS] [--seed N]

--build is a build directory with libllmws.a. A template file is *.jinja, a tokenizer_config.json or a GGUF file;
directories are searched. Equal means: the same text, or an error from both.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import template_contexts
import template_fuzz
import template_reference

ROOT = pathlib.Path(__file__).parents[2]


class Interpreter:
    def __init__(self, build):
        exe = pathlib.Path(tempfile.mkdtemp()) / "render_templates"
        subprocess.run(
            ["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", f"-I{ROOT}", str(ROOT / "tests/parity/render_templates.c"), "-o", str(exe),
             str(pathlib.Path(build) / "libllmws.a"), "-lpcre2-8", "-lcjson", "-lutf8proc", "-lpthread", "-lm"], check=True)
        self.start([str(exe)])

    def start(self, command):
        self.proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, template, context):
        job = json.dumps({"template": template, "context": context})
        self.proc.stdin.write(job.encode() + b"\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        if not line:
            sys.exit(f"the interpreter died on: {job}")
        return json.loads(line)


class Running(Interpreter):
    def __init__(self, exe):
        self.start([exe])


def same(ours, kind, theirs):
    return (kind == "error" and "error" in ours) or (kind == "text" and ours.get("text") == theirs)


def template_files(paths):
    for path in map(pathlib.Path, paths):
        yield from sorted(p for p in path.rglob("*") if p.name == "tokenizer_config.json" or p.suffix in (".jinja", ".gguf")) if path.is_dir() else [path]


def templates_of(path):
    """(name, template, bos, eos)"""
    if path.suffix == ".jinja":
        yield path.name, path.read_text(), "<s>", "</s>"
        return
    if path.suffix == ".gguf":
        import gguf

        fields = gguf.GGUFReader(path).fields
        for key, field in fields.items():
            if key.startswith("tokenizer.chat_template") and field.types == [gguf.GGUFValueType.STRING]:
                yield f"{path.name}:{key}", field.contents(), "<s>", "</s>"
        return
    config = json.loads(path.read_text())
    token = lambda key: (config.get(key) or {}).get("content") if isinstance(config.get(key), dict) else config.get(key)
    found = config.get("chat_template")
    for t in found if isinstance(found, list) else [{"name": "", "template": found}] if found else []:
        yield f"{path.parent.name}:{t['name']}", t["template"], token("bos_token"), token("eos_token")


def check_real(run, paths, verbose):
    bad = total = 0
    count = equal = 0
    for path in template_files(paths):
        for name, template, bos, eos in templates_of(path):
            failed = shown = texts = 0
            for what, context in template_contexts.contexts(bos, eos):
                kind, theirs = template_reference.render(template, context)
                ours = run.render(template, context)
                total += 1
                texts += kind == "text"
                if same(ours, kind, theirs):
                    continue
                failed += 1
                if shown < verbose:
                    shown += 1
                    print(f"  {what}\n    theirs {theirs!r}\n    ours   {ours.get('text', ours.get('error'))!r}")
            print(f"{name}: {'FAILED ' + str(failed) if failed else 'equal'} ({texts} of them texts)")
            bad += failed
            count += 1
            equal += not failed
    print(f"{equal} of {count} templates equal, {bad} of {total} renderings differ")
    return bad


def check_random(run, seconds, seed, verbose):
    end, n, bad, texts = time.time() + seconds, 0, 0, 0
    while time.time() < end:
        rng = random.Random(seed + n)
        template, context = template_fuzz.make(rng)
        kind, theirs = template_reference.render(template, context)
        if kind == "text" and re.search(r" at 0x[0-9a-f]+", theirs):
            kind = "error"  # an address in memory: never the same text
        ours = run.render(template, context)
        n += 1
        texts += kind == "text"
        if same(ours, kind, theirs) or template_fuzz.known(template, ours, theirs):
            continue
        bad += 1
        if bad <= verbose:
            print(f"seed {seed + n - 1}: {template!r}\n  theirs {theirs!r}\n  ours   {ours.get('text', ours.get('error'))!r}")
    print(f"{n} random templates ({texts} rendered by both or one), {bad} differ")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build")
    parser.add_argument("--exe", help="a built render_templates")
    parser.add_argument("--templates", action="append", default=[])
    parser.add_argument("--random", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=5)
    args = parser.parse_args()
    run = Running(args.exe) if args.exe else Interpreter(args.build)
    bad = check_real(run, args.templates, args.verbose) if args.templates else 0
    if args.random:
        bad += check_random(run, args.random, args.seed, args.verbose)
    sys.exit(6 if bad else 0)


if __name__ == "__main__":
    main()
