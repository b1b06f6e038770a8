/* The pull reader and the two builders of Value trees. Grammar: RFC 8259. */
#include "formats/json.h"
#include "formats/store.h"

#include <cjson/cJSON.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

enum { DEPTH_MAX = 64, NUMBER_MAX = 63 /* characters, what cJSON holds */, PARSE_MAX = 8 << 20 };

enum { /* Json.state: what may come next */
       ST_VALUE,
       ST_FIRST, /* just inside a container: an item or its end */
       ST_AFTER, /* a comma, the end of the container, or of the text */
       ST_FAILED,
};

/* ---- the pull reader ---- */

static JsonEvent fail(Json *j, size_t at, const char *why) {
    size_t line = 1;
    for (size_t i = 0; i < at; i++) line += j->text.s[i] == '\n';
    err_set(&j->err, ERR_INPUT, "invalid JSON at byte %zu (line %zu): %s", at, line, why);
    j->state = ST_FAILED;
    return JSON_FAIL;
}

void json_begin(Json *j, Str text) { *j = (Json){.text = text}; }
void json_end(Json *j) { buf_release(&j->unescaped); }

static int peek(const Json *j) { return j->at < j->text.n ? (unsigned char)j->text.s[j->at] : -1; }

static int skip_space(Json *j) {
    int c = peek(j);
    for (uint64_t w; c == '\n' || c == ' '; j->at += 8) { /* indentation */
        if (c == '\n') c = (j->at++, peek(j));
        if (c != ' ' || j->text.n - j->at < 8) break;
        memcpy(&w, j->text.s + j->at, 8);
        if (w != UINT64_C(0x2020202020202020)) break;
        c = ' ';
    }
    c = peek(j);
    while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        j->at++;
        c = peek(j);
    }
    return c;
}

/* Four hexadecimal digits at byte `at`, or -1. */
static int hex4(const Json *j, size_t at) {
    int v = 0;
    if (j->text.n < 4 || at > j->text.n - 4) return -1;
    for (size_t i = at; i < at + 4; i++) {
        char c = j->text.s[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* The escape after a backslash at j->at, appended to j->unescaped; NULL or what is wrong with it. */
static const char *read_escape(Json *j) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char utf8[4];
    size_t at = j->at + 1;
    if (at >= j->text.n) return "the text ends inside a string";
    const char *simple = j->text.s[at] ? strchr(from, j->text.s[at]) : NULL;
    if (simple) {
        buf_char(&j->unescaped, to[simple - from]);
        j->at += 2;
        return NULL;
    }
    if (j->text.s[at] != 'u') return "unknown escape";
    int cp = hex4(j, at + 1);
    if (cp < 0) return "\\u needs four hexadecimal digits";
    j->at += 6;
    if (cp >= 0xd800 && cp <= 0xdfff) { /* a pair of surrogates is one code point */
        bool paired = cp < 0xdc00 && j->text.n - j->at >= 6 && memcmp(j->text.s + j->at, "\\u", 2) == 0;
        int low = paired ? hex4(j, j->at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff) return "half of a surrogate pair";
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        j->at += 6;
    }
    buf_put(&j->unescaped, utf8, (size_t)utf8_encode((uint32_t)cp, utf8));
    return NULL;
}

/* Bytes of s that stand for themselves in a string and are one character each: some of them, by eights. */
static size_t plain_run(const char *s, size_t n) {
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t i = 0;
    for (uint64_t w; i + 8 <= n; i += 8) {
        memcpy(&w, s + i, 8);
        uint64_t quote = w ^ ones * '"', escape = w ^ ones * '\\';
        uint64_t stop = (w | (w - ones * 0x20) | (quote - ones) | (escape - ones)) & highs; /* the lowest one is true */
        if (stop) return i + (size_t)__builtin_ctzll(stop) / 8;
    }
    return i;
}

/* At the opening quote; leaves j->at after the closing one and the text in j->str. */
static bool read_string(Json *j) {
    const char *s = j->text.s, *wrong = NULL;
    size_t from = ++j->at;
    bool escaped = false;
    for (;;) {
        j->at += plain_run(s + j->at, j->text.n - j->at);
        int c = peek(j);
        if (c == '"') break;
        if (c < 0) return fail(j, j->at, "the text ends inside a string"), false;
        if (c < 0x20) return fail(j, j->at, "raw control character in a string"), false;
        if (c == '\\') {
            size_t at = j->at;
            if (!escaped) buf_clear(&j->unescaped);
            buf_put(&j->unescaped, s + from, j->at - from);
            escaped = true;
            if ((wrong = read_escape(j))) return fail(j, at, wrong), false;
            from = j->at;
        } else if (c < 0x80) {
            j->at++;
        } else {
            int len = utf8_len(s + j->at, j->text.n - j->at);
            if (len <= 0) return fail(j, j->at, "invalid UTF-8"), false;
            j->at += (size_t)len;
        }
    }
    if (escaped) buf_put(&j->unescaped, s + from, j->at - from);
    j->str = escaped ? buf_view(&j->unescaped) : (Str){s + from, j->at - from};
    j->at++;
    return true;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static bool skip_digits(Json *j) {
    size_t from = j->at;
    while (is_digit(peek(j))) j->at++;
    return j->at > from;
}

/* strtod wants a NUL at the end and the decimal point of the process's locale. */
static double text_to_double(Json *j, Str number) {
    buf_clear(&j->unescaped);
    for (size_t i = 0; i < number.n; i++)
        if (number.s[i] == '.')
            buf_str(&j->unescaped, localeconv()->decimal_point);
        else
            buf_char(&j->unescaped, number.s[i]);
    return strtod(j->unescaped.s, NULL);
}

static JsonEvent read_number(Json *j) {
    size_t from = j->at, digits;
    bool neg = peek(j) == '-', whole = true, fits = true;
    if (neg) j->at++;
    digits = j->at;
    if (peek(j) == 'I') return fail(j, from, "NaN and Infinity are not JSON");
    if (!skip_digits(j)) return fail(j, from, "a number needs digits");
    if (j->text.s[digits] == '0' && j->at > digits + 1) return fail(j, from, "a number starts with a superfluous 0");
    j->i = 0;
    for (size_t i = digits; i < j->at && fits; i++) /* downwards, so that INT64_MIN fits */
        fits = mul_i64(j->i, 10, &j->i) && add_i64(j->i, '0' - j->text.s[i], &j->i);
    if (fits && !neg) fits = mul_i64(j->i, -1, &j->i);
    if (peek(j) == '.') {
        j->at++;
        whole = false;
        if (!skip_digits(j)) return fail(j, j->at, "a decimal point needs digits after it");
    }
    if (peek(j) == 'e' || peek(j) == 'E') {
        j->at++;
        whole = false;
        if (peek(j) == '+' || peek(j) == '-') j->at++;
        if (!skip_digits(j)) return fail(j, j->at, "an exponent needs digits");
    }
    if (j->at - from > NUMBER_MAX) return fail(j, from, "a number of more than 63 characters");
    if (whole && fits) {
        j->f = (double)j->i;
        return JSON_INT;
    }
    j->f = text_to_double(j, (Str){j->text.s + from, j->at - from});
    return isfinite(j->f) ? JSON_FLOAT : fail(j, from, "the number is too large");
}

static bool read_word(Json *j, const char *word) {
    size_t n = strlen(word);
    if (j->text.n - j->at < n || memcmp(j->text.s + j->at, word, n) != 0) return false;
    j->at += n;
    return true;
}

static bool in_object(const Json *j) { return j->depth > 0 && (j->stack & 1); }

static JsonEvent open_container(Json *j, bool object) {
    if (j->depth == DEPTH_MAX) return fail(j, j->at, "nested deeper than 64");
    j->at++;
    j->depth++;
    j->stack = j->stack << 1 | object; /* 64 bits hold all levels: nothing is lost at the top */
    j->state = ST_FIRST;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static JsonEvent close_container(Json *j) {
    bool object = in_object(j);
    j->at++;
    j->depth--;
    j->stack >>= 1;
    j->state = ST_AFTER;
    return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static JsonEvent read_key(Json *j, int c) {
    if (c != '"') return fail(j, j->at, c < 0 ? "the text ends inside an object" : "expected a key in quotes");
    if (!read_string(j)) return JSON_FAIL;
    if (skip_space(j) != ':') return fail(j, j->at, "expected ':' after a key");
    j->at++;
    j->state = ST_VALUE;
    return JSON_KEY;
}

static JsonEvent read_value(Json *j, int c) {
    if (c == '{' || c == '[') return open_container(j, c == '{');
    j->state = ST_AFTER;
    if (c == '"') return read_string(j) ? JSON_STR : JSON_FAIL;
    if (c == '-' || is_digit(c)) return read_number(j);
    if (read_word(j, "true")) return j->b = true, JSON_BOOL;
    if (read_word(j, "false")) return j->b = false, JSON_BOOL;
    if (read_word(j, "null")) return JSON_NULL;
    if (c == 'N' || c == 'I') return fail(j, j->at, "NaN and Infinity are not JSON");
    return fail(j, j->at, c < 0 ? "the text ends where a value should be" : "expected a value");
}

JsonEvent json_next(Json *j) {
    if (j->state == ST_FAILED) return JSON_FAIL;
    int c = skip_space(j), closing = in_object(j) ? '}' : ']';
    bool key = false;
    if (j->state == ST_AFTER && j->depth == 0)
        return c < 0 ? JSON_DONE : fail(j, j->at, "something follows the end of the document");
    if (j->state != ST_VALUE) {
        if (c == closing) return close_container(j);
        if (j->state == ST_AFTER) {
            if (c != ',')
                return fail(j, j->at,
                            c < 0            ? "the text ends inside an array or object"
                            : closing == '}' ? "expected ',' or '}'"
                                             : "expected ',' or ']'");
            j->at++;
            c = skip_space(j);
        }
        key = closing == '}';
    }
    return key ? read_key(j, c) : read_value(j, c);
}

bool json_skip(Json *j) {
    int depth = j->depth;
    do {
        JsonEvent ev = json_next(j);
        if (ev == JSON_FAIL) return false;
        if (ev == JSON_DONE || j->depth < depth) return fail(j, j->at, "expected a value"), false;
    } while (j->depth > depth || j->state != ST_AFTER);
    return true;
}

/* ---- trees ---- */

static bool check_keys(Json *j, const Value *object) {
    Str twice;
    if (strs_unique(object->object.keys, object->object.n, &twice)) return true;
    err_set(&j->err, ERR_INPUT, "invalid JSON before byte %zu: key '%.*s' stands twice in one object", j->at,
            (int)MIN(twice.n, 100), twice.s);
    j->state = ST_FAILED;
    return false;
}

static Str copy_str(Arena *a, Str s) { return (Str){arena_strn(a, s.s, s.n), s.n}; }

static bool build(Json *j, JsonEvent ev, Arena *a, Value *out);

static bool build_container(Json *j, bool object, Arena *a, Value *out) {
    Buf keys = {0}, items = {0};
    Value item;
    JsonEvent ev;
    bool ok = true;
    while (ok && (ev = json_next(j)) != JSON_ARRAY_END && ev != JSON_OBJECT_END) {
        if (ev == JSON_KEY) {
            Str key = copy_str(a, j->str);
            buf_put(&keys, &key, sizeof key);
            ev = json_next(j);
        }
        ok = build(j, ev, a, &item);
        buf_put(&items, &item, sizeof item);
    }
    if (ok) {
        size_t n = items.n / sizeof item;
        Value *kept = ARENA_NEW(a, Value, n);
        if (n) memcpy(kept, items.s, items.n);
        if (object) {
            *out = (Value){.kind = VALUE_OBJECT, .object = {ARENA_NEW(a, Str, n), kept, n}};
            if (n) memcpy(out->object.keys, keys.s, keys.n);
            ok = check_keys(j, out);
        } else {
            *out = (Value){.kind = VALUE_ARRAY, .array = {kept, n}};
        }
    }
    buf_release(&keys);
    buf_release(&items);
    return ok;
}

/* The value whose first event is ev. */
static bool build(Json *j, JsonEvent ev, Arena *a, Value *out) {
    *out = (Value){.kind = VALUE_NULL};
    switch (ev) {
    case JSON_NULL: return true;
    case JSON_BOOL: return *out = (Value){.kind = VALUE_BOOL, .b = j->b}, true;
    case JSON_INT: return *out = (Value){.kind = VALUE_INT, .i = j->i}, true;
    case JSON_FLOAT: return *out = (Value){.kind = VALUE_FLOAT, .f = j->f}, true;
    case JSON_STR: return *out = (Value){.kind = VALUE_STR, .s = copy_str(a, j->str)}, true;
    case JSON_ARRAY: return build_container(j, false, a, out);
    case JSON_OBJECT: return build_container(j, true, a, out);
    case JSON_FAIL: return false;
    default: return fail(j, j->at, "expected a value"), false;
    }
}

bool json_value(Json *j, Arena *a, Value *out, Err *e) {
    if (build(j, json_next(j), a, out)) return true;
    if (e) *e = j->err;
    return false;
}

/* cJSON gives the tree and its strings; the pull reader walks it in step and gives the numbers, because cJSON holds
 * every number as a double. */
static bool take(Json *j, const cJSON *node, Arena *a, Value *out) {
    JsonEvent ev = json_next(j);
    if (ev == JSON_STR && cJSON_IsString(node)) {
        *out = (Value){.kind = VALUE_STR, .s = copy_str(a, str_of(node->valuestring))};
        return true;
    }
    bool object = ev == JSON_OBJECT && cJSON_IsObject(node);
    if (!object && !(ev == JSON_ARRAY && cJSON_IsArray(node))) {
        bool scalar = ev == JSON_NULL || ev == JSON_BOOL || ev == JSON_INT || ev == JSON_FLOAT;
        return scalar ? build(j, ev, a, out) : (fail(j, j->at, "not understood"), false);
    }
    size_t n = (size_t)cJSON_GetArraySize(node), i = 0;
    Value *items = ARENA_NEW(a, Value, n);
    Str *keys = object ? ARENA_NEW(a, Str, n) : NULL;
    for (const cJSON *child = node->child; child && i < n; child = child->next, i++) {
        if (object && json_next(j) != JSON_KEY) return fail(j, j->at, "not understood"), false;
        if (object) keys[i] = copy_str(a, str_of(child->string));
        TRY(take(j, child, a, &items[i]));
    }
    json_next(j); /* the end of the container */
    if (object)
        *out = (Value){.kind = VALUE_OBJECT, .object = {keys, items, n}};
    else
        *out = (Value){.kind = VALUE_ARRAY, .array = {items, n}};
    return !object || check_keys(j, out);
}

/* All that cJSON would let pass: what is left after this it reads as RFC 8259 means it. */
static bool check_document(Json *j) {
    for (;;) {
        JsonEvent ev = json_next(j);
        if (ev == JSON_FAIL) return false;
        if (ev == JSON_DONE) return true;
        if ((ev == JSON_STR || ev == JSON_KEY) && j->str.n && memchr(j->str.s, 0, j->str.n))
            return fail(j, j->at, "a string holds \\u0000"), false;
    }
}

bool json_parse(Str text, const char *what, Arena *a, Value *out, Err *e) {
    Json j;
    *out = (Value){.kind = VALUE_NULL};
    if (text.n > PARSE_MAX)
        return err_set(e, ERR_INPUT, "cannot read '%s': %zu bytes of JSON, more than the %d that are allowed here",
                       what, text.n, PARSE_MAX);
    json_begin(&j, text);
    bool ok = check_document(&j);
    if (ok) {
        cJSON *root = cJSON_ParseWithLength(text.s, text.n);
        json_end(&j);
        json_begin(&j, text);
        if (!root) err_set(&j.err, ERR_FIT, "no memory for %zu bytes of JSON", text.n); /* the text is good */
        ok = root && take(&j, root, a, out);
        cJSON_Delete(root);
    }
    if (!ok && e) {
        *e = j.err;
        err_prefix(e, "cannot read '%s'", what);
    }
    json_end(&j);
    return ok;
}
