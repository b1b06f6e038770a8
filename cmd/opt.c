#include "cmd/opt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- nearest word ---- */

static char fold(char c) { return c == '_' ? '-' : c; }

static bool same_name(const char *a, const char *b, size_t n_b) {
    for (size_t i = 0; i < n_b; i++)
        if (!a[i] || fold(a[i]) != fold(b[i])) return false;
    return !a[n_b];
}

const char *nearest_word(const char *word, const char *const *words, size_t n) {
    const char *best = NULL;
    size_t len = strlen(word), least = len / 3 + 2; /* about a third of the letters may be wrong */
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, words[i]);
        if (len >= 2 && d > 1 && strncmp(words[i], word, len) == 0) d = 1; /* the beginning of a longer name */
        if (d < least && d < MAX(strlen(words[i]), 2)) least = d, best = words[i];
    }
    return best;
}

/* ---- values ---- */

static bool range_error(const char *text, const char *what, const char *kind, double lo, double hi, Err *e) {
    if (hi >= OPT_MAX) return err_set(e, ERR_USAGE, "%s: '%s' must be a %s, %.12g or more", what, text, kind, lo);
    return err_set(e, ERR_USAGE, "%s: '%s' must be a %s from %.12g to %.12g", what, text, kind, lo, hi);
}

bool parse_int(const char *text, const char *what, double lo, double hi, int64_t *out, Err *e) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool whole = end != text && !*end && text[0] != ' ' && !errno;
    if (!whole || (double)v < lo || (double)v > hi) return range_error(text, what, "whole number", lo, hi, e);
    return *out = v, true;
}

bool parse_float(const char *text, const char *what, double lo, double hi, double *out, Err *e) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || text[0] == ' ' || !(v >= lo && v <= hi) || v >= OPT_MAX)
        return range_error(text, what, "number", lo, hi, e);
    return *out = v, true;
}

static bool enum_has(const char *words, const char *text) {
    size_t n = strlen(text);
    for (const char *w = words;; w++) {
        size_t len = strcspn(w, "|");
        if (len == n && memcmp(w, text, n) == 0) return true;
        w += len;
        if (!*w) return false;
    }
}

static bool store(const OptRow *r, const char *text, void *into, Err *e) {
    char spelled[WORD_MAX + 3];
    snprintf(spelled, sizeof spelled, "--%s", r->name);
    void *field = (char *)into + r->at;
    OptList *list = field;
    switch (r->kind) {
    case OPT_FLAG: *(bool *)field = true; break;
    case OPT_INT: return parse_int(text, spelled, r->lo, r->hi, field, e);
    case OPT_FLOAT: return parse_float(text, spelled, r->lo, r->hi, field, e);
    case OPT_TEXT: *(const char **)field = text; break;
    case OPT_ENUM:
        if (!enum_has(r->arg, text)) return err_set(e, ERR_USAGE, "%s: '%s' must be one of %s", spelled, text, r->arg);
        *(const char **)field = text;
        break;
    case OPT_LIST:
        list->items = mem_grow(list->items, list->n + 1, sizeof *list->items);
        list->items[list->n++] = text;
        break;
    }
    return true;
}

static void row_init(const OptRow *r, void *into) {
    void *field = (char *)into + r->at;
    Err e;
    switch (r->kind) {
    case OPT_FLAG: *(bool *)field = false; break;
    case OPT_INT: *(int64_t *)field = OPT_UNSET; break;
    case OPT_FLOAT: *(double *)field = (double)NAN; break;
    case OPT_TEXT:
    case OPT_ENUM: *(const char **)field = NULL; break;
    case OPT_LIST: *(OptList *)field = (OptList){0}; break;
    }
    if (r->init && !store(r, r->init, into, &e)) BUG("default of --%s: %s", r->name, e.msg);
}

void opt_init(const OptTable *const *tables, void *into) {
    for (; *tables; tables++)
        for (const OptRow *r = (*tables)->rows; r < (*tables)->rows + (*tables)->n; r++) row_init(r, into);
}

bool opt_is_given(const OptRow *given, const void *from) {
    OptRow row = *given;
    union { /* one field of any kind */
        bool flag;
        int64_t i;
        double x;
        const char *text;
        OptList list;
    } init, now;
    const void *field = (const char *)from + row.at;
    row.at = 0;
    row_init(&row, &init);
    switch (row.kind) {
    case OPT_FLAG: return *(const bool *)field;
    case OPT_INT: return memcpy(&now, field, sizeof now.i), now.i != init.i;
    case OPT_FLOAT: return memcpy(&now, field, sizeof now.x), !(now.x == init.x || (isnan(now.x) && isnan(init.x)));
    case OPT_TEXT:
    case OPT_ENUM: return memcpy(&now, field, sizeof now.text), now.text != init.text;
    case OPT_LIST: memcpy(&now, field, sizeof now.list);
    }
    free(init.list.items);
    return now.list.n != (row.init != NULL);
}

static bool has_name(const OptTable *const *tables, const char *name) {
    for (; *tables; tables++)
        for (size_t i = 0; i < (*tables)->n; i++)
            if (strcmp((*tables)->rows[i].name, name) == 0) return true;
    return false;
}

const char *opt_given(const OptTable *const *tables, const OptTable *const *except, const void *from) {
    for (; *tables; tables++)
        for (const OptRow *r = (*tables)->rows; r < (*tables)->rows + (*tables)->n; r++)
            if (opt_is_given(r, from) && !has_name(except, r->name)) return r->name;
    return NULL;
}

void opt_own_lists(const OptTable *const *tables, void *into) {
    for (; *tables; tables++)
        for (const OptRow *r = (*tables)->rows; r < (*tables)->rows + (*tables)->n; r++) {
            if (r->kind != OPT_LIST) continue;
            OptList *list = (OptList *)((char *)into + r->at);
            const char **own = mem_alloc(list->n + 1, sizeof *own);
            if (list->n) memcpy(own, list->items, list->n * sizeof *own);
            list->items = own;
        }
}

void opt_release(const OptTable *const *tables, void *into) {
    for (; *tables; tables++)
        for (const OptRow *r = (*tables)->rows; r < (*tables)->rows + (*tables)->n; r++)
            if (r->kind == OPT_LIST) {
                OptList *list = (OptList *)((char *)into + r->at);
                free(list->items);
                *list = (OptList){0};
            }
}

/* ---- the command line ---- */

static bool also_has(const char *also, const char *name, size_t n) {
    for (; also && *also; also += strcspn(also, ","), also += *also == ',') {
        size_t len = strcspn(also, ",");
        if (len != n) continue;
        size_t i = 0;
        while (i < n && fold(also[i]) == fold(name[i])) i++;
        if (i == n) return true;
    }
    return false;
}

static const OptRow *find_long(const OptTable *const *tables, const char *name, size_t n) {
    for (; *tables; tables++)
        for (const OptRow *r = (*tables)->rows; r < (*tables)->rows + (*tables)->n; r++)
            if (same_name(r->name, name, n) || also_has(r->also, name, n)) return r;
    return NULL;
}

bool opt_named(const OptTable *const *tables, const OptTable *const *except, char *const *argv) {
    for (; *argv && strcmp(*argv, "--") != 0; argv++) {
        const char *name = *argv + 2;
        const size_t n = strncmp(*argv, "--", 2) == 0 ? strcspn(name, "=") : 0;
        if (n && find_long(tables, name, n) && !find_long(except, name, n)) return true;
    }
    return false;
}

static const OptRow *find_letter(const OptTable *const *tables, char c) {
    for (; *tables; tables++)
        for (const OptRow *r = (*tables)->rows; r < (*tables)->rows + (*tables)->n; r++)
            if (r->letter == c) return r;
    return NULL;
}

static bool unknown_name(const OptTable *const *tables, Str name, const char *what, Err *e) {
    char word[WORD_MAX + 1];
    const char **names = NULL;
    size_t count = 0;
    for (const OptTable *const *t = tables; *t; t++) {
        names = mem_grow(names, count + (*t)->n + 1, sizeof *names);
        for (size_t i = 0; i < (*t)->n; i++) names[count++] = (*t)->rows[i].name;
    }
    snprintf(word, sizeof word, "%.*s", (int)MIN(name.n, (size_t)WORD_MAX), name.s);
    const char *near = nearest_word(word, names, count), *quote = strchr(what, '\'');
    free(names);
    return near ? err_set(e, ERR_USAGE, "unknown %s%s' (did you mean %s%s'?)", what, word, quote, near)
                : err_set(e, ERR_USAGE, "unknown %s%s'", what, word);
}

const OptRow *opt_find(const OptTable *const *tables, Str name, const char *what, Err *e) {
    const OptRow *r = find_long(tables, name.s, name.n);
    if (!r) unknown_name(tables, name, what, e);
    return r;
}

static const char option[] = "option '--";

bool opt_reset(const OptTable *const *tables, const char *name, void *into, Err *e) {
    const OptRow *r = opt_find(tables, str_of(name), option, e);
    if (!r) return false;
    if (r->kind == OPT_LIST)
        ((OptList *)((char *)into + r->at))->n = 0; /* keeps its room */
    else
        row_init(r, into);
    return true;
}

/* The value that follows in its own argument. A text that is itself the name of an option is more likely a forgotten
 * value. */
static bool take_next(const OptTable *const *tables, const OptRow *r, char *const **at, const char **value, Err *e) {
    const char *next = (*at)[1];
    if (!next) return err_set(e, ERR_USAGE, "--%s needs a value", r->name);
    if (next[0] == '-' && next[1] == '-' && next[2] && find_long(tables, next + 2, strlen(next + 2)))
        return err_set(e, ERR_USAGE, "--%s needs a value, but '%s' follows; write --%s=%s if that is the value",
                       r->name, next, r->name, next);
    *value = *++*at;
    return true;
}

static bool parse_long(const OptTable *const *tables, char *const **at, void *into, Err *e) {
    const char *name = **at + 2;
    size_t n = strcspn(name, "=");
    const OptRow *r = opt_find(tables, (Str){name, n}, option, e);
    if (!r) return false;
    const char *value = name[n] ? name + n + 1 : NULL;
    if (r->kind == OPT_FLAG && value)
        return err_set(e, ERR_USAGE, "--%s takes no value, but '%s' was given", r->name, value);
    if (r->kind != OPT_FLAG && !value) TRY(take_next(tables, r, at, &value, e));
    return store(r, value, into, e);
}

static bool parse_letters(const OptTable *const *tables, char *const **at, void *into, Err *e) {
    const char *all = **at + 1, *value;
    if (all[1] && find_long(tables, all, strcspn(all, "=")))
        return err_set(e, ERR_USAGE, "unknown option '-%s' (did you mean '--%s'?)", all, all);
    for (const char *c = all; *c; c++) {
        const OptRow *r = find_letter(tables, *c);
        if (!r) return err_set(e, ERR_USAGE, "unknown option '-%.*s'", MAX(utf8_len(c, strlen(c)), 1), c);
        if (r->kind == OPT_FLAG) {
            TRY(store(r, NULL, into, e));
            continue;
        }
        value = c + 1;
        if (!*value) TRY(take_next(tables, r, at, &value, e));
        return store(r, value, into, e);
    }
    return true;
}

bool opt_parse(const OptTable *const *tables, char *const *argv, void *into, OptList *rest, Err *e) {
    *rest = (OptList){0};
    bool open = true;
    for (; *argv; argv++) {
        const char *a = *argv;
        if (open && strcmp(a, "--") == 0) {
            open = false;
        } else if (open && a[0] == '-' && a[1] == '-') {
            TRY(parse_long(tables, &argv, into, e));
        } else if (open && a[0] == '-' && a[1]) {
            TRY(parse_letters(tables, &argv, into, e));
        } else {
            rest->items = mem_grow(rest->items, rest->n + 1, sizeof *rest->items);
            rest->items[rest->n++] = a;
        }
    }
    return true;
}
