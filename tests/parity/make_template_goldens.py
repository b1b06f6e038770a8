"""Writes tests/data/templates/cases.jsonl: what transformers' environment makes of small templates.

First line: {"context"}. Then a line for each case: {"t": template, "x": text} or {"t", "e": 1}; "no": 1 where
jinja2 renders and the interpreter refuses; "r": what raise_exception says; "a": code points of {% generation %} blocks. Every filter, test and method of the
interpreter's tables occurs."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import template_fuzz as fuzz
import template_reference as reference

OUT = pathlib.Path(__file__).parents[1] / "data/templates/cases.jsonl"

REFUSED = (".encode()", "{% block")
STATEMENTS = r"""
{% if a is defined %}x{% else %}y{% endif %}
  {% if yes %}  a  {% endif %}  b
{%- if yes -%}  a  {%- endif -%}  b
{%+ if yes %}  a {%+ endif +%}|
a  {#- c -#}  b
a {# c #} b
a {#+ c +#} b
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ x }};{% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{% if not loop.last %},{% endif %}{% endfor %}
{% for x in ls if x != 'A' %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}
{% for x in le %}{{ x }}{% else %}none{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% else %}E{% endfor %}
{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1] %}{% continue %}{% else %}E{% endfor %}
{% for a, b in lol %}{{ a }}-{{ b }} {% endfor %}
{% for a, (b, c) in [(1, (2, 3)), [4, [5, 6]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b, c in lol %}{{ a }}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }}{{ d[k] }}{% endfor %}
{% for c in u %}[{{ c }}]{% endfor %}
{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}
{% for x in [1, [2, [3]]] recursive %}{{ loop.depth }}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}
{% for x in l %}{{ loop(x) }}{% endfor %}
{% set x = 1 %}{% for y in l %}{% set x = y %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns }}
{% set d.x = 1 %}
{% set ns = namespace(_a=1) %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = 1 %}
{% set x %}  a {{ n }} {% endset %}[{{ x }}]
{% set x | upper | trim %}  a {{ n }} {% endset %}[{{ x }}]
{% set loop = 1 %}{{ loop }}
{% if no %}{% set s = 1 %}{% endif %}{{ s }}
{% set s %}{{ s }}{% endset %}[{{ s }}]
{% for x in l %}{% if loop.first %}{% set s = 'z' %}{% endif %}{{ s }}{% endfor %}
{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% with %}{% set s = 1 %}{{ s }}{% endwith %}{{ s }}
{% filter upper %}a {{ s }}{% endfilter %}
{% filter replace('a', 'b') | indent(2, true) %}a
a{% endfilter %}
{% filter length %}abc{% endfilter %}
{% raw %}{{ x }} {% if %}{% endraw %}|
  {%- raw -%}  {{ x }}  {%- endraw -%}  |
{% macro m(a, b='x', c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(b=3, a=4) }}{{ m() }}
{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}
{% macro m(a) %}{{ caller(a) }}{% endmacro %}{% call(x) m(5) %}<{{ x }}>{% endcall %}
{% macro m() %}{{ caller() if caller else 'no' }}{% endmacro %}{{ m() }}{% call m() %}yes{% endcall %}
{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% macro m() %}{{ s }}{{ late }}{% endmacro %}{% set late = 1 %}{{ m() }}
{% macro m() %}{% endmacro %}{{ m }}{{ m.name }}
{% macro m(a, a) %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{% generation %}ab{{ s }}{% endgeneration %}c
é{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}
{{ raise_exception('no ' ~ n) }}
{% if messages[0].role != 'system' %}{{ raise_exception("needs 'system'") }}{% endif %}
{{ strftime_now('%d %b %Y') }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
{{ range(3) }}{{ range(1, 3) | list }}{{ range(5, 0, -2) | list }}{{ range(3)[1] }}{{ range(10)[2:8:3] | list }}
{{ range(100001) }}
{{ dict(a=1, **{'b': 2}) }}{{ dict([('x', 1), ['y', 2]]) }}
{{ lipsum is defined }}
{{ 1 + 2 * 3 - 4 / 2 // 1 % 5 ** 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1 / 0 }}
{{ 9223372036854775807 }}
{{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.1 + 2.2 }} {{ 1e300 * 1e10 }} {{ 100000000000000000000.0 }} {{ 5e-324 }} {{ -0.0 }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 1 }}
{{ 1 < 'a' }}
{{ 1 if yes else 2 }} {{ 1 if no }} {{ (1 if no) is undefined }} {{ 'a' if no else 'b' if no else 'c' }}
{{ not yes }} {{ yes and 'x' }} {{ no or 'y' }} {{ nil or no or 0 }}
{{ 'a' in 'abc' }} {{ 1 in l }} {{ 'b' in d }} {{ 5 not in l }} {{ 'x' in nosuch }}
{{ 1 ~ 'a' ~ none ~ true ~ 1.5 ~ [1] }}
{{ 'a' 'b' }} {{ 'a\tb\n\x41\u00e9\U0001F600\\\'\"' }} {{ 'a\qb' }}
{{ [1, 'a', none, true, 1.5, {'k': (1,)}, ()] }} {{ {'a': 1, 1: 2, none: 3} }} {{ "it's" }} {{ ["it's", 'say "x"', 'both \' "', '\\n\n\x00é😀\u200b'] }}
{{ s[0] }}{{ s[-1] }}{{ s[99] }}{{ s[1:3] }}{{ s[:-2] }}{{ s[::-1] }}{{ s[::3] }}{{ u[1:4] }}{{ u[-3:] }}{{ u[::-2] }}
{{ l[1:] }}{{ l[::-1] }}{{ l[:2] }}{{ l[-2:] }}{{ lol[0][1] }}{{ l['x'] }}{{ lm[6].k }}
{{ l[::0] }}
{{ d.a }}{{ d['b'] }}{{ d.nosuch }}{{ d.items }}
{{ d['items'] }}{{ d.get('items') }}{{ d.a.upper() }}
{{ d.nosuch.deep }}
{{ nosuch }}{{ nosuch is defined }}{{ nosuch | length }}{% for x in nosuch %}{% endfor %}{{ nosuch ~ 'x' }}
{{ nosuch.attr }}
{{ nosuch() }}
{{ nosuch + 1 }}
{{ -nosuch }}
{{ l.append(4) }}
{{ d.update({}) }}
{{ l.append }}|{{ s.__class__ }}|{{ s.nosuch }}
{{ ().x }}{{ none.x }}{{ 5 .x }}{{ 1.5.is_integer() }}
{{ s is string and l is sequence and d is mapping }} {{ 3 is divisibleby 3 }} {{ 3 is divisibleby(2) }} {{ 2 is in [1, 2] }} {{ nil is none }} {{ yes is sameas true }}
{{ s | nosuch }}
{% if no %}{{ s | nosuch }}{% endif %}ok
{{ s is nosuch }}
{{ s | upper | lower | first }} {{ (s | list)[:2] }} {{ -1 | abs }} {{ l | map('string') | map('upper') | join }}
{{ [1, 2, 3] | select('odd') }}
{{ l | select('odd') | list | length }}
{% set g = l | map('string') %}{{ g | join }}{{ g | join }}|
{{ users | map(attribute='name') | unique | list }} {{ users | selectattr('on', 'true') | map(attribute='age') | list }}
{% for g in users | groupby('name') %}{{ g.grouper }}:{{ g.list | length }};{% endfor %}{% for k, v in users | groupby('name') %}{{ k }}{% endfor %}
{{ ('<a>' | safe) + '<b>' }} {{ '<a>' | e + '<' }} {{ ('<' | e) ~ '<' }}
{{ ((e | safe) + e).rsplit(none, 1) }}{{ ('' | e) + '' }}|
{{ h | escape }}{{ h | striptags }}{{ h | urlencode }}
{{ {'class': 'a b', 'x': none, 'y': 1} | xmlattr }}
{{ '%s %r %5.2f %05d %x %c %%' % ('a', 'b', 3.14159, 42, 255, 'z') }}
{{ '%s' % 'a' }} {{ '%s %s' | format(1, 2) }} {{ '%(a)s' % {'a': 1} }} {{ '%(a)s' | format(a=2) }}
{{ '%s %s' % 'a' }}
{{ '%d' % 'a' }}
{{ '{} {} {x} {0!r}'.format(1, 2, x=3) }}
{{ '{} {1}'.format(1, 2) }}
{{ '{0} {1} {x} {0!r:>5} {2[a]} {3.name}'.format('q', 2, {'a': 5}, users[0], x=3) }}
{{ '{:>10}|{:<10}|{:^10}|{:*^9}|{:+d}|{:,}|{:.3f}|{:e}|{:%}|{:x}|{:#b}|{:08.2f}'.format('a', 'b', 'c', 'd', 5, 1234567, 3.14159, 12345.678, 0.25, 255, 5, -3.14159) }}
{{ d | tojson }} {{ users | tojson(indent=2) }} {{ {'b': 1, 'a': [none, true, 1.0, 'é\n"\\/\x7f\x01']} | tojson(sort_keys=true) }} {{ u | tojson(ensure_ascii=true) }} {{ [1, {'a': 2}] | tojson(separators=(',', ':')) }} {{ [] | tojson(indent=1) }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }}
{{ nosuch | tojson }}
{{ (1, 2) | tojson }} {{ range(2) | tojson }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 5 | round }} {{ 42.55 | round(1, 'floor') }} {{ 42.51 | round(1, 'ceil') }} {{ 1234 | round(-2) }}
{{ '42' | int }} {{ ' 42.9 ' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '0x1f' | int(base=16) }} {{ 'ff' | int(0, 16) }} {{ none | int }} {{ '1_000' | int }} {{ '1e3' | float }} {{ 'nan' | float }} {{ 'x' | float(2.5) }} {{ '-inf' | float }}
{{ 1000 | filesizeformat }} {{ 1 | filesizeformat }} {{ 123456789 | filesizeformat }} {{ 2048 | filesizeformat(true) }} {{ 999 | filesizeformat }}
{{ 'foo bar baz qux' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9, true) }} {{ 'foo bar baz qux' | truncate(11) }} {{ 'foo bar baz qux' | truncate(11, false, '...', 0) }}
{{ 'hello wORLD-x (yz) ß' | title }} {{ 'hello wORLD-x ß' | capitalize }} {{ 'ß ﬁ İ Σας ΟΔΟΣ' | upper }} {{ 'İ ΟΔΟΣ Α' | lower }}
{{ 'a b  c'.split() }} {{ 'a b  c'.split(' ') }} {{ ' a,b,c '.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ ' a  b c '.split(none, 1) }} {{ ''.split() }} {{ ''.split(',') }}
{{ 'a'.split('') }}
{{ 'abcabc'.replace('b', 'x', 1) }} {{ 'ab'.replace('', '-') }} {{ 'xxaxx'.strip('x') }} {{ ' a\u3000\n'.strip() }}|{{ 'a\n b\r\nc\x0bd\u2028e'.splitlines() }}
{{ 'abc'.find('c') }} {{ 'é日b'.find('b') }} {{ 'aaa'.rfind('a', 0, 2) }} {{ 'abab'.count('ab') }} {{ 'abc'.index('c') }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith(('x', 'c')) }}
{{ 'abc'.index('z') }}
{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'ab'.center(7, '*') }} {{ 'abc'.center(6, '*') }} {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('x') }} {{ 'prefix'.removeprefix('pre') }} {{ ', '.join(['a', 'b']) }}
{{ ', '.join([1]) }}
{% include 'x' %}
{% block x %}{% endblock %}
{% do x %}
{% if %}
{{ }}
{{ a b }}
{% for x in %}{% endfor %}
{% if yes %}
{% endif %}
{{ (1, 2 }}
{{ 'abc }}
{% break %}
{{ 1.a }}
{{ true = 1 }}
{{ {'a': 1,} }} {{ [1, 2,] }} {{ (1,) }} {{ () }}
{{ foo(a=1, 2) }}
{{ s|default('x')|upper ~ '-' ~ nosuch|default('y') }} {{ e|default('z', true) }} {{ e|d('q', boolean=true) }}
{{ "a" | center(5) }}|{{ "a\nb\n\nc" | indent }}|{{ "a\n\nb" | indent(2, first=true, blank=true) }}|{{ "a\nb" | indent("> ") }}
{{ ' a b c ' | wordcount }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ d | dictsort(by='key') }} {{ [1, 'a'] | sort }}
{{ [1, 2, 3, 4, 5] | batch(2, 0) | list }} {{ [1, 2, 3, 4, 5] | slice(3) | list }} {{ [1, 2, 3] | sum }} {{ users | sum(attribute='age') }} {{ [[1], [2]] | sum(start=[]) }}
{{ {'b': [s * 9, [1, 2.5], {'k': ("it's " * 30, s)}], 'a': 'one two\\n three ' * 12, 'c': (('x' * 90,),)} | pprint }}
{{ ('word ' * 40, 'x' * 200 ~ ' y', '"' ~ "'" * 90 ~ 'z') | pprint }} {{ 'plain text, ' * 20 | int }} {{ ('plain text, ' * 20) | pprint }} {{ (s * 60) | e | pprint }}
{{ [3, 1, 2] | min }} {{ ['b', 'A'] | max }} {{ [] | min }} {{ [] | first }} {{ [] | last }} {{ 'abc' | last }} {{ 'abc' | reverse }} {{ [1, 2] | reverse | list }}
"""


def cases():
    for line in split_statements():
        yield line
    for table, join in ((fuzz.FILTERS, "{{{{ {}|{} }}}}"), (fuzz.METHODS, "{{{{ ({}).{} }}}}")):
        for kind, rows in table.items():
            names = ["s", "n", "l", "d", "nosuch"] if kind == fuzz.ANY else list(fuzz.VARS[kind])[:4]
            for row, _ in rows:
                yield "|".join(join.format(name, row) for name in names[:1])
                for name in names[1:]:
                    yield join.format(name, row)
    for test in fuzz.TESTS:
        yield "{% for x in [0, 1, 2.0, 'a', 'A', none, true, [], {}, nosuch, range(2)] %}{{ x is " + test + " }} {% endfor %}"
        yield "{{ nosuch is " + test + " }}{{ n is " + test + " }}"


def split_statements():
    """Lines that begin with a space or with no tag go on with the case before."""
    lines = STATEMENTS.strip("\n").split("\n")
    out = []
    for line in lines:
        if out and (line.startswith("a{%") or line == "{% endif %}"):
            out[-1] += "\n" + line
        else:
            out.append(line)
    return out


def main():
    seen, lines = set(), [json.dumps({"context": fuzz.CONTEXT}, ensure_ascii=False)]
    for template in cases():
        if template in seen:
            continue
        seen.add(template)
        kind, theirs = reference.render(template, fuzz.CONTEXT)
        if kind == "text" and " at 0x" in theirs:
            continue
        refused = any(x in template for x in REFUSED)
        line = {"t": template, "no": 1} if refused else {"t": template, "x": theirs} if kind == "text" else {"t": template, "e": 1}
        if kind == "error" and reference.is_refusal(theirs):
            line["r"] = theirs.split(": ", 1)[1]
        if kind == "text" and "generation" in template:
            line["a"] = reference.render_answers(template, fuzz.CONTEXT)[1]
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{len(lines) - 1} cases, {sum(chr(34) + 'e' + chr(34) in x for x in lines)} of them errors")


if __name__ == "__main__":
    main()
