"""Holds the answers of a real model under random JSON schemas to the jsonschema package. A development check: it needs Python, jsonschema (with
rfc3339-validator it checks times too) and the model; nothing in ctest depends on it.

usage: check_schema.py --llmws build/llmws --model MODEL.gguf [--schemas 500] [--seed 1] [--max-tokens 300] [--threads N]

Every schema is answered once, with temperature 1. An answer that ended by itself must be JSON that the schema accepts; one that was cut must say so
(stop reason length or context). Prints one line that begins with PASS or FAIL; exit status 0 if it passed, 6 if not.
"""
import argparse
import json
import random
import subprocess
import sys

from jsonschema import Draft202012Validator

WORDS = ["name", "age", "id", "title", "city", "tags", "price", "note", "caf\u00e9", "a b", 'q"t', "kind", "x"]
PATTERNS = ["^[A-Z][a-z]+$", r"^\d{3}-\d{4}$", "^(red|green|blue)$", r"ab+c", r"^\w+@\w+\.(com|org)$", r'^[^"\\]{2,5}$', r"^\S.*$"]
FORMATS = ["date", "date-time", "time", "duration", "uuid", "ipv4", "ipv6", "email", "hostname", "uri", "json-pointer"]


def text(r):
    kind = r.randrange(5)
    s = {"type": "string"}
    if kind == 0:
        s["maxLength"] = r.randrange(1, 60)
        if r.random() < 0.5:
            s["minLength"] = r.randrange(0, s["maxLength"] + 1)
    elif kind == 1:
        s["pattern"] = r.choice(PATTERNS)
    elif kind == 2:
        s["format"] = r.choice(FORMATS)
    return s


def whole(r):
    s = {"type": "integer"}
    lo = r.choice([-1, 1]) * r.randrange(10 ** r.randrange(1, 8))
    if r.random() < 0.7:
        s[r.choice(["minimum", "exclusiveMinimum"])] = lo
    if r.random() < 0.7:
        s[r.choice(["maximum", "exclusiveMaximum"])] = lo + 2 + r.randrange(10 ** r.randrange(1, 8))
    return s


def number(r):
    s = {"type": "number"}
    lo = r.randrange(-50, 50)
    if r.random() < 0.6:
        s[r.choice(["minimum", "exclusiveMinimum"])] = lo
    if r.random() < 0.6:
        s[r.choice(["maximum", "exclusiveMaximum"])] = lo + 1 + r.randrange(100)
    return s


def fixed(r):
    values = r.sample(["a", "bc", "d\u00e9", 'e"f\n', 1, -2.5, 10**12, True, False, None, [1, "x"], {"k": 0}], r.randrange(1, 5))
    return {"const": values[0]} if r.random() < 0.3 else {"enum": values}


def record(r, depth):
    names = r.sample(WORDS, r.randrange(0, 6))
    s = {"type": "object", "properties": {n: schema(r, depth - 1) for n in names}, "required": [n for n in names if r.random() < 0.6]}
    more = r.random()
    if more < 0.4:
        s["additionalProperties"] = False
    elif more < 0.55:
        s["additionalProperties"] = schema(r, 0)
    return s


def array(r, depth):
    s = {"type": "array", "items": schema(r, depth - 1), "minItems": r.randrange(3)}
    s["maxItems"] = s["minItems"] + r.randrange(4)
    if r.random() < 0.2:
        s["prefixItems"] = [schema(r, depth - 1) for _ in range(r.randrange(1, 3))]
    return s


def tagged(r, depth):
    tags = r.sample(["cat", "dog", "bird", "fish"], 3)
    branch = lambda t: {"type": "object", "properties": {"kind": {"const": t}, "v": schema(r, depth - 1)}, "required": ["kind", "v"]}
    return {"oneOf": [branch(t) for t in tags]}


def joined(r, depth):
    a, b = r.sample(WORDS, 2)
    part = lambda n: {"type": "object", "properties": {n: schema(r, depth - 1)}, "required": [n]}
    return {"allOf": [part(a), part(b)]}


def multiple(r):
    s = {"type": r.choice(["integer", "number"])}
    kind = r.randrange(3)
    if kind == 0:
        s["multipleOf"] = r.randrange(1, 60)
    elif kind == 1:
        s.update(multipleOf=10 ** r.randrange(1, 5), minimum=r.randrange(-5000, 5000))
    else:
        s.update(multipleOf=r.randrange(8, 500), minimum=r.randrange(-900, 0), maximum=r.randrange(500, 900))
    return s


def decimal(r):
    places = r.randrange(5)
    lo = round(r.uniform(-200, 200), places)
    s = {"type": "number"}
    if r.random() < 0.7:
        s[r.choice(["minimum", "exclusiveMinimum"])] = lo
    if r.random() < 0.7:
        s[r.choice(["maximum", "exclusiveMaximum"])] = round(lo + r.uniform(1, 300), places)
    return s


def choices(r, depth):
    return {"type": "array", "items": {"enum": r.sample(["x", "y", 1, 2.5, None, True, "z z"], r.randrange(2, 6))}, "uniqueItems": True, "minItems": r.randrange(2)}


def needing(r, depth):
    a, b, c = r.sample(WORDS, 3)
    s = {"type": "object", "properties": {n: schema(r, depth - 1) for n in (a, b, c)}, "dependentRequired": {a: [b], c: [a, b][: r.randrange(1, 3)]}}
    if r.random() < 0.5:
        s["required"] = [r.choice([a, b, c])]
    return s


def keyed(r, depth):
    kind = r.randrange(3)
    value = schema(r, depth - 1)
    if kind == 0:
        return {"type": "object", "patternProperties": {r.choice(["^[a-z]{1,8}$", "^x-", r"^\\d+$"]): value}, "additionalProperties": False}
    names = r.choice([{"maxLength": 6, "minLength": 1}, {"enum": WORDS[:5]}, {"pattern": "^[A-Z]"}, {"format": "date"}])
    s = {"type": "object", "propertyNames": names, "additionalProperties": value, "maxProperties": r.randrange(1, 4)}
    return s if kind == 1 else {**s, "minProperties": 1}


def narrowed(r, depth):
    a, b = r.sample(WORDS, 2)
    return {"type": "object", "properties": {a: schema(r, depth - 1), b: schema(r, depth - 1)}, "anyOf": [{"required": [a]}, {"required": [b]}], "minProperties": 1}


def schema(r, depth):
    leaves = [text, whole, number, decimal, multiple, fixed, lambda r: {"type": "boolean"}, lambda r: {"type": ["null", "integer"]}, lambda r: {"$ref": "#/$defs/tree"}]
    if depth <= 0 or r.random() < 0.25:
        return r.choice(leaves)(r)
    if r.random() < 0.1:
        return {"anyOf": [schema(r, depth - 1), schema(r, depth - 1)]}
    return r.choice([record, record, record, array, array, tagged, joined, choices, needing, keyed, narrowed])(r, depth)


TREE = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/tree"}}, "required": ["v"]}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--llmws", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--schemas", type=int, default=500)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--max-tokens", type=int, default=300)
    p.add_argument("--threads", type=int)
    a = p.parse_args()
    ended = cut = failed = 0
    for i in range(a.schemas):
        r = random.Random(a.seed * 1_000_003 + i)
        s = {**schema(r, 3), "$defs": {"tree": TREE}}
        cmd = [a.llmws, "generate", "-m", a.model, "-p", "An example as JSON:\n", "--json-schema", json.dumps(s), "-n", str(a.max_tokens), "--temp", "1",
               "--seed", str(i), "-c", "2048", "--json"]
        out = subprocess.run(cmd + (["-t", str(a.threads)] if a.threads else []), capture_output=True, stdin=subprocess.DEVNULL)
        why = None
        if out.returncode:
            why = out.stderr.decode(errors="replace").strip()
        else:
            done = json.loads(out.stdout.splitlines()[-1])
            cut += done["stop_reason"] in ("length", "context")
            if done["stop_reason"] == "eos":
                ended += 1
                try:
                    value = json.loads(done["text"])
                    errors = list(Draft202012Validator(s, format_checker=Draft202012Validator.FORMAT_CHECKER).iter_errors(value))
                    why = errors[0].message if errors else None
                except ValueError as e:
                    why = str(e)
                why = why and f"{why}: {done['text']}"
        if why:
            failed += 1
            print(f"schema {i}: {json.dumps(s)}\n    {why}", flush=True)
    ok = not failed and ended > 0
    print(f"{'PASS' if ok else 'FAIL'} {a.schemas} schemas: {ended} answers ended and were checked, {cut} were cut and said so, {failed} failed")
    sys.exit(0 if ok else 6)


if __name__ == "__main__":
    main()
