/* Numbers between bounds, digit by digit; texts of known formats. */
#include <inttypes.h>
#include <stdio.h>

#include "formats/json_schema.h"

/* ---- whole numbers ---- */

static void digits_any(Buf *out, size_t n) {
    if (n) buf_printf(out, " [0-9]{%zu}", n);
}

static void digit_range(Buf *out, char lo, char hi) {
    if (lo == hi)
        buf_printf(out, " \"%c\"", lo);
    else
        buf_printf(out, " [%c-%c]", lo, hi);
}

/* All texts of n digits from lo to hi. */
static void digits_between(Buf *out, const char *lo, const char *hi, size_t n) {
    size_t zeros = strspn(lo, "0"), nines = strspn(hi, "9"), parts = 0;
    if (zeros >= n && nines >= n) {
        digits_any(out, n);
    } else if (lo[0] == hi[0]) {
        digit_range(out, lo[0], lo[0]);
        digits_between(out, lo + 1, hi + 1, n - 1);
    } else {
        bool low_full = strspn(lo + 1, "0") >= n - 1, high_full = strspn(hi + 1, "9") >= n - 1;
        char from = (char)(lo[0] + !low_full), to = (char)(hi[0] - !high_full);
        buf_str(out, " (");
        if (!low_full) {
            parts++;
            digit_range(out, lo[0], lo[0]);
            digits_between(out, lo + 1, "9999999999999999", n - 1);
        }
        if (from <= to) {
            buf_str(out, parts++ ? " |" : "");
            digit_range(out, from, to);
            digits_any(out, n - 1);
        }
        if (!high_full) {
            buf_str(out, parts++ ? " |" : "");
            digit_range(out, hi[0], hi[0]);
            digits_between(out, "0000000000000000", hi + 1, n - 1);
        }
        buf_str(out, ")");
    }
}

/* 0 <= lo <= hi, by number of digits. */
static void naturals_between(Buf *out, int64_t lo, int64_t hi) {
    bool first = true;
    buf_str(out, " (");
    for (int64_t from = lo, top = 9; from <= hi; top = top * 10 + 9) {
        char a[24], b[24];
        int64_t to = MIN(top, hi);
        if (from > top) continue;
        buf_str(out, first ? "" : " |");
        first = false;
        int n = snprintf(a, sizeof a, "%" PRId64, from);
        snprintf(b, sizeof b, "%" PRId64, to);
        digits_between(out, a, b, (size_t)n);
        from = to + 1;
    }
    buf_str(out, ")");
}

void gbnf_int_range(Buf *out, int64_t lo, int64_t hi) {
    bool below = lo < 0, above = hi >= 0;
    buf_str(out, "(");
    if (below) {
        buf_str(out, "\"-\"");
        naturals_between(out, MAX(-hi, 1), -lo);
    }
    if (below && above) buf_str(out, " |");
    if (above) naturals_between(out, MAX(lo, 0), hi);
    buf_str(out, ")");
}

/* ---- fractions ---- */

/* From lo to hi, both 0 or more, as alternatives: whole parts below hi with any fraction, then hi. */
static bool fractions_between(Buf *out, NumberRange r, const char *sign, bool first) {
    int64_t from = r.lo + r.lo_open;
    if (r.lo > r.hi || (r.lo == r.hi && (r.lo_open || r.hi_open))) return first;
    if (r.lo_open && r.lo < r.hi) { /* just above lo */
        buf_printf(out, "%s%s \"%" PRId64 ".\" [0-9]{0,15} [1-9]", first ? "" : " | ", sign, r.lo);
        first = false;
    }
    if (from < r.hi) {
        buf_printf(out, "%s%s", first ? "" : " | ", sign);
        naturals_between(out, from, r.hi - 1);
        buf_str(out, " (\".\" [0-9]{1,16})?");
        first = false;
    }
    if (!r.hi_open) {
        buf_printf(out, "%s%s \"%" PRId64 "\" (\".\" \"0\"{1,16})?", first ? "" : " | ", sign, r.hi);
        first = false;
    }
    return first;
}

void gbnf_number_range(Buf *out, NumberRange r) {
    bool first = true;
    buf_str(out, "(");
    if (r.lo < 0) {
        NumberRange below = {.lo = MAX(-r.hi, 0), .hi = -r.lo, .lo_open = r.hi <= 0 && r.hi_open, .hi_open = r.lo_open};
        first = fractions_between(out, below, "\"-\"", first);
    }
    if (r.hi >= 0) {
        NumberRange above = {.lo = MAX(r.lo, 0), .hi = r.hi, .lo_open = r.lo >= 0 && r.lo_open, .hi_open = r.hi_open};
        first = fractions_between(out, above, "", first);
    }
    if (first) buf_str(out, "never");
    buf_str(out, ")");
}

/* ---- formats ---- */

/* Years from 1000 on; 29 February in leap years only. */
#define YEAR "[1-9] [0-9]{3}"
#define LEAP                                                                                                           \
    "([1-9] [0-9] (\"0\" [48] | [2468] [048] | [13579] [26]) | ([2468] [048] | [13579] [26]) \"00\") \"-02-29\""
#define MONTH_DAY                                                                                                      \
    "\"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01]) | "                             \
    "(\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | "                                              \
    "\"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]))"
#define DATE  "(" YEAR " " MONTH_DAY " | " LEAP ")"
#define HOUR  "([01] [0-9] | \"2\" [0-3])"
#define MIN60 "[0-5] [0-9]"
#define TIME  HOUR " \":\" " MIN60 " \":\" " MIN60 " (\".\" [0-9]{1,6})? (\"Z\" | [-+] " HOUR " \":\" " MIN60 ")"
#define OCTET "(\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9]{2} | [1-9] [0-9] | [0-9])"
#define LABEL "[a-zA-Z0-9] ([a-zA-Z0-9-]{0,30} [a-zA-Z0-9])?"
#define HOST  LABEL " (\".\" " LABEL "){1,3}"

const char *gbnf_of_format(Str name) {
    static const struct {
        const char *name, *gbnf;
    } rows[] = {
        {"date", DATE},
        {"time", TIME},
        {"date-time", DATE " \"T\" " TIME},
        {"uuid", "[0-9a-f]{8} (\"-\" [0-9a-f]{4}){3} \"-\" [0-9a-f]{12}"},
        {"ipv4", OCTET " (\".\" " OCTET "){3}"},
        {"email", "[a-zA-Z0-9_+-]{1,24} (\".\" [a-zA-Z0-9_+-]{1,24}){0,2} \"@\" " HOST},
        {"hostname", HOST},
        {"uri", "\"http\" \"s\"? \"://\" " HOST " (\"/\" [a-zA-Z0-9._~-]{0,64}){0,8} (\"?\" [a-zA-Z0-9._~=&-]{1,64})?"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_is(name, rows[i].name)) return rows[i].gbnf;
    return NULL;
}
