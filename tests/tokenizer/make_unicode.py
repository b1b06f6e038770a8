#!/usr/bin/env python3
"""What the `tokenizers` package knows of Unicode, as C tables.

    python3 tests/tokenizer/make_unicode.py > tokenizer/unicode_tables.h      # needs the PyPI package tokenizers; 0.23.3

Asked of the package itself, character by character, so that a newer Unicode there is a new run of this here:
general categories as its regular expressions see them (30 letters from 'a', in the order of CATEGORIES; U+0085, the one
control character beyond ASCII that is white space, has a letter of its own), and which characters its normalisers take
for combining marks that have an order, or for accents.
"""
import sys

from tokenizers import Regex, normalizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split() + ["NEL"]
BLOCK, MID = 128, 64


def chunks():
    for base in range(0, 0x110000, 4096):
        cps = [c for c in range(base, base + 4096) if not 0xD800 <= c < 0xE000]
        if cps:
            yield cps, "".join(map(chr, cps))


def categories():
    table = bytearray(b"~" * 0x110000)
    for i in range(0x110000):
        table[i] = 97 + CATEGORIES.index("Cn")
    for k, name in enumerate(CATEGORIES[:-2]):
        mark = "x" if name != "Ll" else "X"
        replace = normalizers.Replace(Regex(r"\p{%s}" % name), mark)
        for cps, text in chunks():
            for c, got in zip(cps, replace.normalize_str(text)):
                if got == mark and (chr(c) != mark):
                    table[c] = 97 + k
    table[0x85] = 97 + CATEGORIES.index("NEL")
    for c in "xX":
        table[ord(c)] = 97 + CATEGORIES.index("Ll" if c == "x" else "Lu")
    return table


def ordered_marks():
    """Ranges of the characters that move before U+0345 (class 240), U+0345 itself and U+0334 (1) included."""
    nfd = normalizers.NFD()
    return ranges_of(c for cps, _ in chunks() for c in cps if nfd.normalize_str("a\u0345" + chr(c) + "b")[-2] == "\u0345")


def accents():
    strip = normalizers.StripAccents()
    return ranges_of(c for cps, _ in chunks() for c in cps if not strip.normalize_str(chr(c)))


def ranges_of(cps):
    ranges = []
    for c in cps:
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def rows(items, width=118):
    line = "   "
    for item in items:
        if len(line) + len(item) + 1 > width:
            print(line)
            line = "   "
        line += " " + item
    print(line)


def main():
    table = categories()
    blocks, mids, top = {}, {}, []
    for base in range(0, 0x110000, BLOCK * MID):
        mid = []
        for b in range(base, base + BLOCK * MID, BLOCK):
            mid.append(blocks.setdefault(bytes(table[b:b + BLOCK]), len(blocks)))
        top.append(mids.setdefault(tuple(mid), len(mids)))
    print("/* Made by tests/tokenizer/make_unicode.py: do not edit. */")
    print("/* clang-format off */")
    print("static const uint8_t category_top[%d] = {" % len(top))
    rows("%d," % x for x in top)
    print("};\nstatic const uint16_t category_mid[%d] = {" % (len(mids) * MID))
    rows("%d," % x for mid in mids for x in mid)
    print("};\nstatic const char category_block[%d][%d + 1] = {" % (len(blocks), BLOCK))
    for b in blocks:
        print('    "%s",' % b.decode())
    print("};\nstatic const uint32_t ordered_marks[][2] = {")
    rows("{%#x,%#x}," % tuple(r) for r in ordered_marks())
    print("};\nstatic const uint32_t accents[][2] = {")
    rows("{%#x,%#x}," % tuple(r) for r in accents())
    print("};\n/* clang-format on */")
    print(len(blocks), len(mids), file=sys.stderr)


if __name__ == "__main__":
    main()
