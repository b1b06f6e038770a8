"""Random small templates over the whole language, mostly of sensible types so that many of them render."""

CONTEXT = {
    "s": "Hello World", "t": " a,b ,,c\n", "u": "ÄÖ ß ﬁ Σας 日本 😀 I", "e": "", "h": "<b a=\"1\">x & y</b>\n  z", "f": 2.5, "g": -0.1, "n": 7, "m": -3, "z": 0,
    "yes": True, "no": False, "nil": None, "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "lm": [1, "x", None, 2.0, True, [1], {"k": 1}], "le": [],
    "d": {"b": 1, "a": "two", "C": None, "items": 5}, "de": {}, "lol": [[1, 2], [3, 4], [5, 6]],
    "users": [{"name": "bob", "age": 30, "on": True, "a": {"b": 1}}, {"name": "Al", "age": 25, "on": False, "a": {"b": 2}}, {"name": "bob", "age": 30, "a": {}}],
    "messages": [{"role": "user", "content": "hi\n"}, {"role": "assistant", "content": " yo ", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}],
}
STR, NUM, LIST, DICT, ANY = "str", "num", "list", "dict", "any"
LITERALS = {
    STR: ["'a'", '"b c"', "''", "'x,y'", "'\\n'", "'é'", "'%s-%d'", "'{}'", "'<|x|>'", "'  pad '", "'007'", "'1.5'", "'0x1F'", "'aXbXc'", "'a' 'b'"],
    NUM: ["0", "1", "2", "-1", "10", "1.5", "0.1", "1e16", "1e-5", "123456789", "3", "100", "2.0", "1_000", "0x1f", "-7", "7"],
    LIST: ["[]", "[1, 2, 3]", "['a', 'B', 'c']", "(1, 2)", "('x',)", "range(4)", "range(5, 0, -2)", "[[1, 'a'], [2, 'b']]", "[1, 'a', none, 1.0, true]", "[{'k': 2}, {'k': 1}]"],
    DICT: ["{}", "{'a': 1, 'b': 'x'}", "{1: 'i', 'n': {'m': [1]}}", "dict(a=1, b=[2])", "namespace(q=1, r='s')"],
}
VARS = {STR: "stueh", NUM: ["f", "g", "n", "m", "z", "yes", "no"], LIST: ["l", "ls", "lm", "le", "lol", "users", "messages"], DICT: ["d", "de", "users[0]", "messages[1]"]}
FILTERS = {  # what goes in: (filter, what comes out)
    STR: [("upper", STR), ("lower", STR), ("title", STR), ("capitalize", STR), ("trim", STR), ("trim('ab ')", STR), ("length", NUM), ("replace('a', 'bb')", STR), ("replace('', '-', 2)", STR),
          ("reverse", STR), ("list", LIST), ("first", STR), ("last", STR), ("int", NUM), ("int(5, 16)", NUM), ("float", NUM), ("float(1)", NUM), ("string", STR), ("center(13)", STR), ("center(6)", STR), ("indent", STR),
          ("indent(2, true)", STR), ("indent('> ', blank=true)", STR), ("truncate(5)", STR), ("truncate(6, true, '..', 0)", STR), ("wordcount", NUM), ("urlencode", STR), ("striptags", STR), ("e", STR), ("escape", STR), ("forceescape", STR), ("tojson", STR), ("tojson(ensure_ascii=true)", STR),
          ("default('dd')", STR), ("d('x', true)", STR), ("format(1, 2)", STR), ("safe", STR), ("join('-')", STR), ("unique|list", LIST), ("sort|join", STR), ("batch(2)|list", LIST), ("pprint", STR), ("max", STR), ("count", NUM)],
    NUM: [("abs", NUM), ("round", NUM), ("round(1)", NUM), ("round(1, 'ceil')", NUM), ("round(2, 'floor')", NUM), ("int", NUM), ("float", NUM), ("string", STR), ("tojson", STR), ("filesizeformat", STR), ("filesizeformat(true)", STR), ("default(3)", NUM), ("round(-1)", NUM)],
    LIST: [("length", NUM), ("first", ANY), ("last", ANY), ("join", STR), ("join(', ')", STR), ("list", LIST), ("reverse|list", LIST), ("sort", LIST), ("sort(reverse=true)", LIST), ("sort(case_sensitive=true)", LIST), ("unique|list", LIST), ("sum", NUM), ("sum(start=10)", NUM),
           ("min", ANY), ("max", ANY), ("map('upper')|list", LIST), ("map('string')|join('|')", STR), ("select|list", LIST), ("reject|list", LIST), ("select('odd')|list", LIST), ("select('string')|list", LIST), ("reject('none')|list", LIST),
           ("select('gt', 1)|list", LIST), ("select('in', [1, 'a'])|list", LIST), ("batch(2)|list", LIST), ("batch(2, 'x')|list", LIST), ("slice(2)|list", LIST), ("slice(3, 'f')|list", LIST), ("tojson", STR), ("tojson(indent=2)", STR),
           ("string", STR), ("pprint", STR), ("map(attribute='name')|list", LIST), ("map(attribute='a.b', default='q')|list", LIST), ("selectattr('on')|list", LIST), ("selectattr('age', 'gt', 26)|list", LIST), ("rejectattr('name', 'equalto', 'bob')|list", LIST),
           ("groupby('name')|list", LIST), ("sort(attribute='name,age')", LIST), ("join(', ', attribute='name')", STR), ("sum(attribute='age')", NUM), ("map('length')|list", LIST), ("map('default', 'z')|list", LIST), ("tojson(separators=(',', ':'))", STR), ("count", NUM), ("items|list", LIST), ("random is defined", ANY),
           ("map(attribute=0)|list", LIST), ("groupby(0)", LIST), ("unique(attribute='name')|map(attribute='age')|list", LIST), ("max(attribute='age')", ANY), ("select('mapping')|map('items')|map('list')|list", LIST)],
    DICT: [("length", NUM), ("list", LIST), ("items|list", LIST), ("dictsort", LIST), ("dictsort(by='value')", LIST), ("dictsort(reverse=true)", LIST), ("tojson", STR), ("tojson(indent=4, sort_keys=true)", STR), ("string", STR), ("first", ANY), ("last", ANY), ("xmlattr", STR), ("urlencode", STR), ("join('/')", STR), ("map('upper')|list", LIST), ("attr('a')|string", STR), ("sort", LIST), ("pprint", STR), ("reverse|list", LIST)],
    ANY: [("string", STR), ("tojson", STR), ("default('z')", ANY), ("d('q', true)", ANY), ("list", LIST), ("length", NUM), ("int", NUM), ("float", NUM), ("pprint", STR), ("attr('b')|string", STR), ("abs", NUM), ("first", ANY), ("items|list", LIST)],
}
METHODS = {
    STR: [("split()", LIST), ("split(',')", LIST), ("split('o', 1)", LIST), ("rsplit(' ', 1)", LIST), ("rsplit(maxsplit=1)", LIST), ("strip()", STR), ("lstrip('H ')", STR), ("rstrip('\\n')", STR), ("startswith('He')", NUM), ("endswith(('d', 'x'))", NUM), ("upper()", STR), ("lower()", STR), ("title()", STR),
          ("capitalize()", STR), ("swapcase()", STR), ("replace('l', 'L', 1)", STR), ("find('o')", NUM), ("rfind('o', 2)", NUM), ("index('l')", NUM), ("count('l')", NUM), ("join(['a', 'b'])", STR), ("join(ls)", STR), ("format(1, 'x', k=2)", STR), ("splitlines()", LIST), ("splitlines(true)", LIST), ("isdigit()", NUM),
          ("isalpha()", NUM), ("isalnum()", NUM), ("isspace()", NUM), ("isupper()", NUM), ("islower()", NUM), ("zfill(6)", STR), ("partition('o')", LIST), ("rpartition(' ')", LIST), ("removeprefix('He')", STR), ("removesuffix('ld')", STR), ("center(14, '*')", STR), ("ljust(13)", STR), ("rjust(13, '.')", STR), ("split(none, 1)", LIST), ("isdecimal()", NUM), ("isnumeric()", NUM), ("isascii()", NUM), ("isprintable()", NUM), ("count('')", NUM), ("strip('é ß')", STR), ("rsplit()", LIST), ("rsplit(none, 1)", LIST), ("encode()", ANY)],
    LIST: [("index(2)", NUM), ("count(1)", NUM), ("copy()", LIST), ("append(1)", ANY), ("pop()", ANY)],
    DICT: [("get('a')", ANY), ("get('zz', 'no')", ANY), ("items()", LIST), ("keys()", LIST), ("values()|list", LIST), ("copy()", DICT), ("update({})", ANY), ("pop('a')", ANY), ("items()|list", LIST), ("keys()|join", STR)],
    NUM: [("is_integer()", NUM)], ANY: [("get('a')", ANY), ("strip()", STR), ("items()", LIST)],
}
TESTS = ["defined", "undefined", "none", "not none", "boolean", "true", "false", "integer", "float", "number", "string", "not string", "mapping", "sequence", "iterable", "callable", "sameas(none)", "eq(1)", "== 1", "ne 2", "lt 3", "gt(0)", "le 1", "ge 1", "in [1, 'a']", "even", "odd", "divisibleby 3", "divisibleby(2)", "upper", "lower", "escaped", "filter", "test", "equalto('a')", "nosuch"]
FORMATS = ["'%s|%r'", "'%5d|%-5s|'", "'%05.1f %e'", "'%x %X'", "'%+d %%'", "'%c%c'", "'%.2s %s'", "'%g %G'", "'%*d %s'", "'%o %i'", "'%a %s'"]
SPECS = ["{:>8}", "{:<8}|", "{:^9}|", "{:*^9}", "{:05}", "{:+}", "{:.2f}", "{:,}", "{:x}", "{!r}", "{!r:>10}", "{0}{0}", "{:d}", "{:e}", "{:g}", "{:%}", "{:.3}", "{:_}", "{:#x}", "{{}}{}", "{0[0]}", "{0.a}", "{!s:5}|", "{:10.3f}|", "{:c}", "{:b}", "{:=+6}", "{!a}"]


class Maker:
    def __init__(self, rng):
        self.r, self.names, self.macros, self.loops = rng, [], [], 0

    def pick(self, xs):
        return self.r.choice(list(xs))

    def base(self, kind):
        if kind == ANY:
            kind = self.pick([STR, NUM, LIST, DICT])
        roll = self.r.random()
        if self.names and roll < 0.15:
            return self.pick(self.names)
        if roll < 0.5:
            return self.pick(VARS[kind])
        if roll < 0.53:
            return self.pick(["nosuch", "d.nosuch", "nil", "l[9]", "loop.index", "caller", "d['b']", "d.items", "users[1].a.b", "varargs"])
        return self.pick(LITERALS[kind])

    def expr(self, kind, deep=0):
        roll = self.r.random()
        if deep > 3 or roll < 0.3:
            return self.base(kind)
        if roll < 0.62:
            source = self.pick([STR, NUM, LIST, DICT, kind if kind != ANY else STR])
            table = FILTERS if self.r.random() < 0.65 else METHODS
            rows = [x for x in table[source] if kind == ANY or x[1] in (kind, ANY)]
            if rows:
                inner, row = self.expr(source, deep + 1), self.pick(rows)
                return f"({inner})|{row[0]}" if table is FILTERS else f"({inner}).{row[0]}"
            return self.base(kind)
        if roll < 0.7:
            return f"({self.expr(kind, deep + 1)} if {self.cond(deep + 1)} else {self.expr(kind, deep + 1)})" if self.r.random() < 0.8 else f"({self.expr(kind, deep + 1)} if {self.cond(deep + 1)})"
        return getattr(self, f"{kind}_expr")(deep)

    def cond(self, deep):
        return self.pick([lambda: self.expr(ANY, deep + 1), lambda: f"{self.expr(ANY, deep + 1)} is {self.pick(TESTS)}", lambda: f"not {self.base(ANY)}", lambda: self.num_expr(deep), lambda: f"{self.base(ANY)} and {self.base(ANY)} or {self.base(ANY)}"])()

    def str_expr(self, deep):
        e = lambda k: self.expr(k, deep + 1)
        return self.pick([
            lambda: f"({e(STR)} + {e(STR)})", lambda: f"({e(ANY)} ~ {e(ANY)})", lambda: f"({e(ANY)} ~ {e(STR)} ~ {e(NUM)})", lambda: f"({e(STR)} * {self.pick('0123')})",
            lambda: f"({self.pick(FORMATS)} % ({e(ANY)}, {e(ANY)}))", lambda: f"('%s' % {e(ANY)})", lambda: f"('%(a)s %(b)r' % {e(DICT)})", lambda: f"'{self.pick(SPECS)}'.format({e(ANY)})",
            lambda: f"({e(STR)})[{self.slice()}]", lambda: f"({e(STR)})[{self.pick(['0', '-1', '3', '50'])}]", lambda: f"({e(DICT)} ~ '')", lambda: f"({e(STR)}|string)"])()

    def num_expr(self, deep):
        e = lambda k: self.expr(k, deep + 1)
        return self.pick([
            lambda: f"({e(NUM)} {self.pick(['+', '-', '*', '/', '//', '%', '**'])} {e(NUM)})", lambda: f"(-{e(NUM)})", lambda: f"({e(ANY)} {self.pick(['==', '!=', '<', '<=', '>', '>='])} {e(ANY)})",
            lambda: f"({e(NUM)} < {e(NUM)} <= {e(NUM)})", lambda: f"({e(ANY)} in {e(LIST)})", lambda: f"({e(STR)} not in {e(STR)})", lambda: f"({e(ANY)} in {e(DICT)})", lambda: f"({e(STR)} < {e(STR)})"])()

    def list_expr(self, deep):
        e = lambda k: self.expr(k, deep + 1)
        return self.pick([lambda: f"[{e(ANY)}, {e(ANY)}]", lambda: f"({e(LIST)} + {e(LIST)})", lambda: f"({e(LIST)})[{self.slice()}]", lambda: f"({e(ANY)}, {e(NUM)})", lambda: f"({e(LIST)} * 2)", lambda: f"range({e(NUM)})"])()

    def dict_expr(self, deep):
        e = lambda k: self.expr(k, deep + 1)
        return self.pick([lambda: f"{{'a': {e(ANY)}, {e(STR)}: {e(NUM)}}}", lambda: f"dict({e(DICT)}, z={e(ANY)})", lambda: f"namespace(a={e(ANY)})"])()

    def any_expr(self, deep):
        e = lambda k: self.expr(k, deep + 1)
        return self.pick([lambda: f"({e(LIST)})[{self.pick(['0', '1', '-1', '7'])}]", lambda: f"({e(DICT)}).{self.pick(['a', 'b', 'k', 'items'])}", lambda: f"({e(DICT)})['a']", lambda: f"({e(ANY)} or {e(ANY)})", lambda: f"({e(ANY)} and {e(ANY)})", lambda: f"cycler({e(ANY)}, 2).next()", lambda: self.call()])()

    def slice(self):
        part = lambda: self.pick(["", "", "0", "1", "2", "-1", "-2", "5", "none"])
        return f"{part()}:{part()}" + (f":{self.pick(['', '1', '2', '-1', '-2'])}" if self.r.random() < 0.4 else "")

    def call(self):
        if not self.macros:
            return self.base(ANY)
        args = [self.expr(ANY, 3) for _ in range(self.r.randint(0, 2))] + [f"{k}={self.expr(ANY, 3)}" for k in self.pick([[], [], ["b"], ["zz"], ["a", "b"]])]
        return f"{self.pick(self.macros)}({', '.join(args)})"

    def tag(self, text):
        left, right = self.pick(["", "", "", "-", "+"]), self.pick(["", "", "", "-", "+"])
        return "{%" + left + " " + text + " " + right + "%}"

    def text(self):
        return self.pick(["x", " ", "\n", "a b\n", "\n  ", "  ", "\t", "end.", "\n\n", "<|im_start|>", "{", "%}", "#", " \n x", "é"])

    def body(self, deep, n=3):
        return "".join(self.node(deep + 1) for _ in range(self.r.randint(0, n)))

    def scoped(self, deep, *names):
        before = len(self.names)
        self.names += names
        out = self.body(deep)
        del self.names[before:]
        return out

    def node(self, deep=0):
        roll = self.r.random()
        if roll < 0.3 or deep > 3:
            return self.text()
        if roll < 0.62:
            left, right = self.pick(["", "", "-", "+"]), self.pick(["", "", "-"])
            return "{{" + left + " " + self.expr(ANY) + " " + right + "}}"
        return self.pick([self.if_, self.if_, self.for_, self.for_, self.set_, self.set_, self.set_block, self.with_, self.macro, self.call_block, self.filter_block, self.raw, self.comment, self.generation, self.recursive, self.namespace])(deep)

    def if_(self, deep):
        out = self.tag(f"if {self.cond(1)}") + self.body(deep)
        if self.r.random() < 0.3:
            out += self.tag(f"elif {self.cond(1)}") + self.body(deep)
        return out + (self.tag("else") + self.body(deep) if self.r.random() < 0.4 else "") + self.tag("endif")

    def for_(self, deep):
        target, over = self.pick([("x", self.expr(LIST)), ("x", self.expr(ANY)), ("k, v", f"({self.expr(DICT)})|items"), ("k, v", "d.items()"), ("a, b", "lol"), ("m", "messages")])
        cond = f" if {target.split(',')[0]}{self.pick(['', ' is string', ' is not none'])}" if self.r.random() < 0.2 else ""
        names = [x.strip() for x in target.split(",")] + [f"loop.{x}" for x in ("index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem", "depth", "depth0", "cycle('o', 'e')", f"changed({target.split(',')[0]})")]
        body = self.scoped(deep, *names)
        if self.r.random() < 0.2:
            body += self.tag(f"if {self.cond(2)}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif") + self.body(deep)
        return self.tag(f"for {target} in {over}{cond}") + body + (self.tag("else") + self.body(deep) if self.r.random() < 0.25 else "") + self.tag("endfor")

    def set_(self, deep):
        name = self.pick(["v1", "v2", "n", "s", "x"])
        out = self.tag(f"set {name} = {self.expr(ANY)}") if self.r.random() < 0.85 else self.tag(f"set v1, v2 = {self.expr(ANY)}, {self.expr(NUM)}")
        self.names.append(name)
        return out

    def set_block(self, deep):
        name = self.pick(["v1", "v3", "e"])
        return self.tag(f"set {name}{self.pick(['', ' | upper', ' | trim | length'])}") + self.body(deep) + self.tag("endset") + self.pick(["", "{{ " + name + " }}"])

    def with_(self, deep):
        return self.tag(f"with w = {self.expr(ANY)}{self.pick(['', ', n = n', ', q = w'])}") + self.scoped(deep, "w", "q") + self.tag("endwith")

    def macro(self, deep):
        name = f"mac{len(self.macros)}"
        params = self.pick(["", "a", "a, b='dflt'", "a, b=a", "a=1, b=[a]", "caller=none", "a, kwargs"])
        out = self.tag(f"macro {name}({params})") + self.scoped(deep, "a", "b", "varargs", "kwargs", "caller", "caller()") + self.tag("endmacro")
        if len(self.macros) < 3:
            self.macros.append(name)
        return out + self.pick(["", "{{ " + self.call() + " }}"])

    def call_block(self, deep):
        if not self.macros:
            return self.text()
        return self.tag(f"call{self.pick(['', '(p)', '(p=2)'])} {self.pick(self.macros)}({self.pick(['', '1', 'b=s'])})") + self.scoped(deep, "p") + self.tag("endcall")

    def filter_block(self, deep):
        return self.tag(f"filter {self.pick(['upper', 'trim', 'replace(s[0], n)', 'indent(2)|upper', 'length', 'trim|e'])}") + self.body(deep) + self.tag("endfilter")

    def raw(self, deep):
        return self.tag("raw").replace("+%}", "%}") + self.pick(["{{ x }}", " {% if %}\n", "", "\n  "]) + self.tag("endraw")

    def comment(self, deep):
        return "{#" + self.pick(["", "-", "+"]) + " c \n" + self.pick(["", "-", "+"]) + "#}"

    def generation(self, deep):
        return self.tag("generation") + self.body(deep) + self.tag("endgeneration")

    def recursive(self, deep):
        return self.tag("for x in [1, [2, [3]], 'q'] recursive") + "{{ loop.depth }}" + self.tag("if x is iterable and x is not string") + "{{ loop(x) }}" + self.tag("else") + "{{ x }}" + self.scoped(3, "x", "loop.index") + self.tag("endif") + self.tag("endfor")

    def namespace(self, deep):
        return self.tag(f"set ns = namespace(a={self.expr(ANY)}, c=0)") + self.tag(f"for x in {self.expr(LIST)}") + self.tag(f"set ns.{self.pick('ac')} = {self.pick(['ns.c + 1', 'x', 'ns.a ~ x', 'loop.index', '[x] + [ns.a]'])}") + self.body(3) + self.tag("endfor") + "{{ ns.a }}{{ ns.c }}"


def make(rng):
    m = Maker(rng)
    return "".join(m.node() for _ in range(rng.randint(1, 7))), CONTEXT


def known(template, ours, theirs):
    """Where we refuse what jinja2 does: named limits, each an error."""
    if "pprint" in template and "have no order" in ours.get("error", ""):
        return True
    return "error" in ours and any(x in ours["error"] for x in ("is not supported", "does not fit in 64 bits", "too large to be", "has no text; if it", "views of a dict cannot be compared", "a loop cannot be gone over", "memory allowed", "memory than", "HTML entity", "complex number"))
