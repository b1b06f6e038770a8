#!/usr/bin/env python3
"""What the `tokenizers` package knows of Unicode, as C tables.

    python3 tests/tokenizer/make_unicode.py > tokenizer/unicode_tables.h      # needs the PyPI package tokenizers; 0.23.3

Asked of the package itself, character by character, so that a newer Unicode there is a new run of this here:
general categories as its regular expressions see them (30 letters from 'a', in the order of CATEGORIES; U+0085, the one
control character beyond ASCII that is white space, has a letter of its own), which characters its normalisers take
for combining marks that have an order, or for accents, which ones they decompose, what lower case is, and what belongs to
a word.
"""
import sys
import unicodedata

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


def young(table):
    """Characters that PCRE2 of Debian 12 does not know: those assigned after Unicode 14, which is this Python's too."""
    assert unicodedata.unidata_version == "14.0.0"
    unassigned = 97 + CATEGORIES.index("Cn")
    return ranges_of(c for c in range(0x110000) if table[c] != unassigned and unicodedata.category(chr(c)) == "Cn")


def decomposables():
    """Every character that a compatibility decomposition changes, Hangul syllables included."""
    nfkd = normalizers.NFKD()
    return ranges_of(c for cps, _ in chunks() for c in cps if nfkd.normalize_str(chr(c)) != chr(c))


def words():
    """What \\w is (Unicode Technical Standard 18, annex C): the package's regular expressions leave out the two joiners."""
    replace = normalizers.Replace(Regex(r"\w"), "!")
    return ranges_of(c for cps, text in chunks() for c, got in zip(cps, replace.normalize_str(text))
                     if (got == "!" and c != 0x21) or c in (0x200C, 0x200D))


def lowercase():
    """Rows of (first, last, step, what is added), U+0130 left out: it becomes two characters."""
    lower = normalizers.Lowercase()
    rows = []
    for cps, text in chunks():
        if lower.normalize_str(text) == text:
            continue
        for c in cps:
            low = lower.normalize_str(chr(c))
            if low == chr(c) or len(low) > 1:
                continue
            add = ord(low) - c
            last = rows[-1] if rows else None
            step = c - last[1] if last else 0
            if last and last[3] == add and step in (1, 2) and last[2] in (0, step):
                last[1], last[2] = c, step
            else:
                rows.append([c, c, 0, add])
    return [(a, b, step or 1, add) for a, b, step, add in rows]


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
    print("};\nstatic const uint32_t young[][2] = {")
    rows("{%#x,%#x}," % tuple(r) for r in young(table))
    print("};\nstatic const uint32_t decomposables[][2] = {")
    rows("{%#x,%#x}," % tuple(r) for r in decomposables())
    print("};\nstatic const uint32_t words[][2] = {")
    rows("{%#x,%#x}," % tuple(r) for r in words())
    print("};\nstatic const struct {\n    uint32_t first, last, step;\n    int32_t add;\n} lowercase[] = {")
    rows("{%#x,%#x,%d,%d}," % r for r in lowercase())
    print("};\n/* clang-format on */")
    print(len(blocks), len(mids), file=sys.stderr)


if __name__ == "__main__":
    main()
