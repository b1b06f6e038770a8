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

enum { DIGITS_MAX = 15, SCALED_MAX = 18 }; /* that every double tells apart; that an int64_t holds */

typedef struct Fractions { /* from lo to hi, 0 or more, in units of the last decimal */
    int64_t lo, hi;
    int places;
    bool lo_open, hi_open, hi_none;
    const char *sign;
    bool any; /* an alternative has been written */
} Fractions;

static int64_t power(int n) { return n ? 10 * power(n - 1) : 1; }

static int digits_of(int64_t v) {
    int n = 1;
    for (; v >= 10; v /= 10) n++;
    return n;
}

static void begin_alternative(Buf *out, Fractions *f) {
    buf_printf(out, "%s%s", f->any ? " | " : "", f->sign);
    f->any = true;
}

/* The numbers with exactly n decimals from lo to hi, in units of the last. */
static void fixed_between(Buf *out, int64_t lo, int64_t hi, int n) {
    char a[24], b[24];
    int64_t unit = power(n), from = lo / unit, to = hi / unit;
    if (!n) {
        naturals_between(out, lo, hi);
        return;
    }
    snprintf(a, sizeof a, "%0*" PRId64, n, lo % unit);
    snprintf(b, sizeof b, "%0*" PRId64, n, hi % unit);
    buf_str(out, " (");
    if (from == to) {
        buf_printf(out, "\"%" PRId64 ".\"", from);
        digits_between(out, a, b, (size_t)n);
    } else {
        buf_printf(out, "\"%" PRId64 ".\"", from++);
        digits_between(out, a, "9999999999999999", (size_t)n);
        buf_printf(out, " | \"%" PRId64 ".\"", to--);
        digits_between(out, "0000000000000000", b, (size_t)n);
        if (from <= to) {
            buf_str(out, " |");
            naturals_between(out, from, to);
            buf_printf(out, " \".\" [0-9]{%d}", n);
        }
    }
    buf_str(out, ")");
}

/* Decimals beyond those of the bounds: as many as keep `whole` and all of them apart in a double. */
static int more_places(const Fractions *f, int64_t whole) {
    return MAX(DIGITS_MAX - digits_of(whole / power(f->places)) - f->places, 1);
}

static void fractions_between(Buf *out, Fractions *f) {
    const char *point = f->places ? "" : " \".\"";
    for (int n = 0; n <= f->places; n++) {
        int64_t unit = power(f->places - n), from = f->lo / unit + (f->lo % unit != 0 || f->lo_open),
                to = f->hi / unit - (f->hi % unit == 0 && f->hi_open);
        if (from > to) continue;
        begin_alternative(out, f);
        fixed_between(out, from, to, n);
    }
    if (f->lo < f->hi) {
        if (f->lo_open) { /* just above it */
            begin_alternative(out, f);
            fixed_between(out, f->lo, f->lo, f->places);
            buf_printf(out, "%s [0-9]{0,%d} [1-9]", point, more_places(f, f->lo) - 1);
        }
        int64_t from = f->lo + f->lo_open;
        if (from < f->hi) {
            begin_alternative(out, f);
            fixed_between(out, from, f->hi - 1, f->places);
            buf_printf(out, "%s [0-9]{1,%d}", point, f->hi_none ? DIGITS_MAX - f->places : more_places(f, f->hi));
        }
    }
    if (f->lo <= f->hi && !f->hi_open && (f->lo < f->hi || !f->lo_open)) {
        begin_alternative(out, f);
        fixed_between(out, f->hi, f->hi, f->places);
        buf_printf(out, "%s \"0\"{1,%d}", point, more_places(f, f->hi));
    }
}

/* To `places` decimals; false: too many digits. */
static bool scale(Decimal d, int places, int64_t *digits) {
    int64_t most = power(SCALED_MAX) - 1, unit = power(places - d.places);
    if (d.digits > most / unit || d.digits < -(most / unit)) return false;
    *digits = d.digits * unit;
    return true;
}

bool gbnf_number_range(Buf *out, NumberRange r) {
    int places = MAX(r.lo_none ? 0 : r.lo.places, r.hi_none ? 0 : r.hi.places);
    int64_t most = power(MIN(places + 16, SCALED_MAX)) - 1, lo = -most, hi = most;
    if ((!r.lo_none && !scale(r.lo, places, &lo)) || (!r.hi_none && !scale(r.hi, places, &hi))) return false;
    Fractions below = {.lo = MAX(-hi, 0), .hi = -lo, .places = places, .hi_none = r.lo_none, .sign = "\"-\""};
    Fractions above = {.lo = MAX(lo, 0), .hi = hi, .places = places, .hi_none = r.hi_none, .sign = ""};
    below.lo_open = hi <= 0 && r.hi_open;
    below.hi_open = r.lo_open;
    above.lo_open = lo >= 0 && r.lo_open;
    above.hi_open = r.hi_open;
    buf_str(out, "(");
    if (lo < 0) fractions_between(out, &below);
    above.any = below.any;
    if (hi >= 0) fractions_between(out, &above);
    buf_str(out, above.any ? ")" : "never)");
    return true;
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
#define COUNT "[1-9] [0-9]{0,3}"
#define DAYS                                                                                                           \
    "(" COUNT " \"Y\" (" COUNT " \"M\" (" COUNT " \"D\")?)? | " COUNT " \"M\" (" COUNT " \"D\")? | " COUNT " \"D\")"
#define CLOCK                                                                                                          \
    "(" COUNT " \"H\" (" COUNT " \"M\" (" COUNT " \"S\")?)? | " COUNT " \"M\" (" COUNT " \"S\")? | " COUNT " \"S\")"
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
        {"duration", "\"P\" (" DAYS " (\"T\" " CLOCK ")? | \"T\" " CLOCK " | " COUNT " \"W\")"},
        {"uuid", "[0-9a-f]{8} (\"-\" [0-9a-f]{4}){3} \"-\" [0-9a-f]{12}"},
        {"ipv4", OCTET " (\".\" " OCTET "){3}"},
        {"ipv6", "[0-9a-f]{1,4} (\":\" [0-9a-f]{1,4}){7}"},
        {"email", "[a-zA-Z0-9_+-]{1,24} (\".\" [a-zA-Z0-9_+-]{1,24}){0,2} \"@\" " HOST},
        {"hostname", HOST},
        {"json-pointer", "(\"/\" [a-zA-Z0-9_-]{0,32}){0,8}"},
        {"uri", "\"http\" \"s\"? \"://\" " HOST " (\"/\" [a-zA-Z0-9._~-]{0,64}){0,8} (\"?\" [a-zA-Z0-9._~=&-]{1,64})?"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_is(name, rows[i].name)) return rows[i].gbnf;
    return NULL;
}
