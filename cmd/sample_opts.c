#include "cmd/sample_opts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define AT(field) .at = offsetof(SampleOpts, field)

static const OptRow sampling_rows[] = {
    {.name = "temp",
     .also = "temperature",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1000,
     AT(temp),
     .help = "temperature; 0 always takes the likeliest token"},
    {.name = "top-k",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = INT32_MAX,
     AT(top_k),
     .help = "choose among the N likeliest; 0: off"},
    {.name = "top-p",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 1e-6,
     .hi = 1,
     AT(top_p),
     .help = "choose among the likeliest that together have probability X; 1: off"},
    {.name = "min-p",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1,
     AT(min_p),
     .help = "drop tokens less likely than X times the likeliest; 0: off"},
    {.name = "typical",
     .also = "typical-p",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 1e-6,
     .hi = 1,
     AT(typical),
     .help = "choose among the tokens of most typical surprise that together have probability X; 1: off"},
    {.name = "top-n-sigma",
     .also = "top-nsigma",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = -1,
     .hi = 1e6,
     AT(top_n_sigma),
     .help = "choose among logits at most X standard deviations below the largest; -1: off"},
    {.name = "xtc-probability",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1,
     AT(xtc_probability),
     .help = "how often the likeliest tokens are left out; 0: never"},
    {.name = "xtc-threshold",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1,
     AT(xtc_threshold),
     .help = "of the tokens that have at least this probability XTC leaves the least likely"},
    {.name = "repeat-penalty",
     .also = "repetition-penalty",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0.01,
     .hi = 100,
     AT(repeat_penalty),
     .help = "divide the logits of recent tokens by X; 1: off"},
    {.name = "repeat-last-n",
     .kind = OPT_INT,
     .arg = "N",
     .lo = -1,
     .hi = INT32_MAX,
     AT(repeat_last_n),
     .help = "tokens that the penalties look back over; 0: off, -1: all"},
    {.name = "presence-penalty",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = -100,
     .hi = 100,
     AT(presence_penalty),
     .help = "taken from the logit of every recent token"},
    {.name = "frequency-penalty",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = -100,
     .hi = 100,
     AT(frequency_penalty),
     .help = "taken from its logit for each time that a token occurred"},
    {.name = "dry-multiplier",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1e6,
     AT(dry_multiplier),
     .help = "a token that would lengthen a repeat loses X * base^(length - allowed); 0: off"},
    {.name = "dry-base", .kind = OPT_FLOAT, .arg = "X", .lo = 1, .hi = 1e6, AT(dry_base), .help = "the base of that"},
    {.name = "dry-allowed-length",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = INT32_MAX,
     AT(dry_allowed_length),
     .help = "repeats shorter than N tokens cost nothing"},
    {.name = "dry-penalty-last-n",
     .kind = OPT_INT,
     .arg = "N",
     .lo = -1,
     .hi = INT32_MAX,
     AT(dry_last_n),
     .help = "tokens that DRY looks back over; 0: off, -1: all"},
    {.name = "dry-sequence-breaker",
     .kind = OPT_LIST,
     .arg = "TEXT",
     AT(dry_breakers),
     .help = "no repeat reaches over a token that holds TEXT; replaces newline, colon, quote and star; 'none': none"},
    {.name = "samplers",
     .kind = OPT_TEXT,
     .arg = "LIST",
     AT(samplers),
     .help = "which samplers run, in which order, as in 'top_k;temperature'; by default penalties, dry, top_n_sigma, "
             "top_k, typ_p, top_p, min_p, xtc, temperature"},
    {.name = "grammar",
     .also = "grammar-file",
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(grammar),
     .help =
         "the answer is a text of the GBNF grammar in FILE (- is stdin, text that holds ::= is the grammar itself); "
         "it ends where the grammar does"},
    {.name = "json-schema",
     .also = "json-schema-file",
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(schema),
     .help = "the answer is JSON that the schema in FILE (- is stdin, text that begins with { is the schema itself) "
             "accepts; {} is any JSON. An answer that was cut short is told by the stop reason length"},
    {.name = "ignore-eos", .kind = OPT_FLAG, AT(ignore_eos), .help = "the model may not end by itself"},
    {.name = "logit-bias",
     .kind = OPT_LIST,
     .arg = "ID=V",
     AT(logit_bias),
     .help = "add V to the logit of token ID, -inf forbids it; ID+V and ID-V too"},
    {.name = "seed",
     .kind = OPT_INT,
     .arg = "N",
     .lo = -1,
     .hi = OPT_MAX,
     AT(seed),
     .init = "-1",
     .help = "the same seed gives the same tokens; -1: a new one each time, shown by -v"},
};

const OptTable opts_sampling = {"Sampling", sampling_rows, COUNT_OF(sampling_rows)};

/* "ID=V", "ID+V", "ID-V". */
static bool bias_parse(const char *text, int64_t vocab, LlmwsLogitBias *out, Err *e) {
    static const char what[] = "--logit-bias";
    char id[24];
    size_t n = strspn(text, "0123456789");
    const char *v = text + n + (text[n] == '=' || text[n] == '+');
    int64_t token = 0;
    double value = 0;
    if (!n || n >= sizeof id || !text[n] || !strchr("=+-", text[n]))
        return err_set(e, ERR_USAGE, "--logit-bias: '%s' must be ID=V, as in 42=-5 or 42=-inf", text);
    memcpy(id, text, n);
    id[n] = 0;
    TRY(parse_int(id, what, 0, (double)vocab - 1, &token, e));
    if (strcmp(v, "-inf") == 0)
        value = -(double)INFINITY;
    else
        TRY(parse_float(v, what, -1e9, 1e9, &value, e));
    *out = (LlmwsLogitBias){(int32_t)token, (float)value};
    return true;
}

static void take_float(double given, float *into) {
    if (!isnan(given)) *into = (float)given;
}

static void take_int(int64_t given, int *into) {
    if (given != OPT_UNSET) *into = (int)given;
}

static bool bias_take(Sampling *s, const OptList *list, int64_t vocab, Err *e) {
    s->bias = mem_alloc(list->n, sizeof *s->bias);
    for (size_t i = 0; i < list->n; i++) TRY(bias_parse(list->items[i], vocab, &s->bias[i], e));
    s->how.bias = s->bias;
    s->how.n_bias = list->n;
    return true;
}

/* Marks the tokens that end a repeat; only when DRY is on, since it looks at the whole vocabulary. */
static void breaks_take(Sampling *s, const OptList *given, const SamplingFor *of, int64_t vocab) {
    static const char *const usual[] = {"\n", ":", "\"", "*"};
    const char *const *texts = given->n ? given->items : usual;
    size_t n = given->n ? given->n : COUNT_OF(usual);
    if (!(s->how.dry_multiplier > 0) || !of->tok) return;
    s->breaks = mem_alloc((size_t)vocab, 1);
    for (size_t i = 0; i < n; i++) {
        if (given->n && strcmp(texts[i], "none") == 0)
            memset(s->breaks, 0, (size_t)vocab);
        else if (!llmws_dry_breaker(of->tok, texts[i], s->breaks, vocab) && given->n)
            ui_warn(of->ui, "--dry-sequence-breaker '%s': no token holds it; it breaks no repeat", texts[i]);
    }
    s->how.dry_breaks = s->breaks;
}

static bool bound_open(Sampling *s, LlmwsModel *model, const SampleOpts *o, Buf *text, Err *e) {
    const char *path = o->grammar ? o->grammar : o->schema;
    bool here = o->schema ? path[strspn(path, " \t\n")] == '{' : strstr(path, "::=") != NULL; /* no file */
    const char *name = !here ? path : o->schema ? "--json-schema" : "--grammar";
    if (here)
        buf_str(text, path);
    else
        TRY(read_text(path, text, e));
    buf_put(text, "", 0);
    if (o->schema) {
        char *grammar = llmws_schema_grammar(text->s, text->n, name, e);
        if (!grammar) return false;
        buf_clear(text);
        buf_str(text, grammar);
        free(grammar);
    }
    s->bound = llmws_constraint_open(model, text->s, text->n, e);
    return s->bound || err_prefix(e, "'%s'", name);
}

static bool bound_take(Sampling *s, const SampleOpts *o, const SamplingFor *of, Err *e) {
    Buf text = {0};
    if (!o->grammar && !o->schema) return true;
    if (o->grammar && o->schema)
        return err_set(e, ERR_USAGE, "--grammar and --json-schema are both given; an answer follows one of them");
    if (o->ignore_eos)
        return err_set(e, ERR_USAGE,
                       "--ignore-eos and a grammar are both given; with a grammar the answer ends where the grammar "
                       "does");
    if (of->bound) return (s->bound = llmws_constraint_fork(of->bound)) != NULL;
    int64_t start = now_ns();
    bool ok = bound_open(s, of->model, o, &text, e);
    buf_release(&text);
    if (ok)
        ui_detail(of->ui, "[grammar] tables of %.1f MiB, made in %.1f ms",
                  (double)llmws_constraint_bytes(s->bound) / (1 << 20), (double)(now_ns() - start) * 1e-6);
    return ok;
}

bool sampling_allow(Sampling *s, Err *e) {
    return !s->bound || (s->how.allowed = llmws_constraint_allowed(s->bound, e)) != NULL;
}

bool sampling_accept(Sampling *s, int32_t id, Err *e) { return !s->bound || llmws_constraint_accept(s->bound, id, e); }

bool sampling_take(Sampling *s, const SampleOpts *o, const SamplingFor *of, Err *e) {
    LlmwsSampling *h = &s->how;
    LlmwsModelInfo info;
    llmws_model_info(of->model, &info);
    llmws_sampling_defaults(of->model, h);
    take_float(o->temp, &h->temp);
    take_float(o->top_p, &h->top_p);
    take_float(o->min_p, &h->min_p);
    take_float(o->typical, &h->typical);
    take_float(o->top_n_sigma, &h->top_n_sigma);
    take_float(o->xtc_probability, &h->xtc_probability);
    take_float(o->xtc_threshold, &h->xtc_threshold);
    take_float(o->repeat_penalty, &h->repeat_penalty);
    take_float(o->presence_penalty, &h->presence_penalty);
    take_float(o->frequency_penalty, &h->frequency_penalty);
    take_float(o->dry_multiplier, &h->dry_multiplier);
    take_float(o->dry_base, &h->dry_base);
    take_int(o->top_k, &h->top_k);
    take_int(o->repeat_last_n, &h->repeat_last_n);
    take_int(o->dry_allowed_length, &h->dry_allowed_length);
    take_int(o->dry_last_n, &h->dry_last_n);
    h->ignore_eos = o->ignore_eos;
    if (o->samplers && !llmws_sampling_order(h, o->samplers, e)) return false;
    uint32_t fresh = 0;
    if (o->seed < 0 && getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh) fresh = (uint32_t)now_ns();
    h->seed = o->seed < 0 ? fresh : (uint64_t)o->seed;
    TRY(bias_take(s, &o->logit_bias, info.vocab, e));
    breaks_take(s, &o->dry_breakers, of, info.vocab);
    return bound_take(s, o, of, e);
}

void sampling_release(Sampling *s) {
    llmws_constraint_close(s->bound);
    free(s->bias);
    free(s->breaks);
    *s = (Sampling){0};
}

/* ---- what is in force ---- */

typedef struct Shown {
    const char *name, *from;
    char value[120];
} Shown;

typedef struct ShownList {
    Shown items[24];
    int n;
    const LlmwsModel *model;
} ShownList;

static const char flag[] = "flag";

static void show_num(ShownList *list, const char *name, double value, bool given) {
    Shown *s = &list->items[list->n++];
    *s = (Shown){.name = name, .from = given ? flag : llmws_sampling_origin(list->model, name)};
    snprintf(s->value, sizeof s->value, "%.7g", value);
}

static void show_order(ShownList *list, const LlmwsSampling *h, bool given) {
    Shown *s = &list->items[list->n++];
    *s = (Shown){.name = "samplers", .from = given ? flag : llmws_sampling_origin(list->model, "samplers")};
    int n = h->n_order ? h->n_order : LLMWS_STEP_COUNT;
    for (int i = 0; i < n; i++) {
        size_t at = strlen(s->value);
        snprintf(s->value + at, sizeof s->value - at, "%s%s", i ? ";" : "",
                 llmws_step_name(h->n_order ? h->order[i] : i));
    }
}

static void show_all(ShownList *list, const LlmwsSampling *h, const SampleOpts *o) {
    show_num(list, "temp", (double)h->temp, !isnan(o->temp));
    show_num(list, "top-k", h->top_k, o->top_k != OPT_UNSET);
    show_num(list, "top-p", (double)h->top_p, !isnan(o->top_p));
    show_num(list, "min-p", (double)h->min_p, !isnan(o->min_p));
    show_num(list, "typical", (double)h->typical, !isnan(o->typical));
    show_num(list, "top-n-sigma", (double)h->top_n_sigma, !isnan(o->top_n_sigma));
    show_num(list, "xtc-probability", (double)h->xtc_probability, !isnan(o->xtc_probability));
    show_num(list, "xtc-threshold", (double)h->xtc_threshold, !isnan(o->xtc_threshold));
    show_num(list, "repeat-penalty", (double)h->repeat_penalty, !isnan(o->repeat_penalty));
    show_num(list, "repeat-last-n", h->repeat_last_n, o->repeat_last_n != OPT_UNSET);
    show_num(list, "presence-penalty", (double)h->presence_penalty, !isnan(o->presence_penalty));
    show_num(list, "frequency-penalty", (double)h->frequency_penalty, !isnan(o->frequency_penalty));
    show_num(list, "dry-multiplier", (double)h->dry_multiplier, !isnan(o->dry_multiplier));
    show_num(list, "dry-base", (double)h->dry_base, !isnan(o->dry_base));
    show_num(list, "dry-allowed-length", h->dry_allowed_length, o->dry_allowed_length != OPT_UNSET);
    show_num(list, "dry-penalty-last-n", h->dry_last_n, o->dry_last_n != OPT_UNSET);
    show_order(list, h, o->samplers != NULL);
}

/* One line for each origin, in the order that the first setting of each comes. */
void sampling_show(const Sampling *s, const SampleOpts *o, const LlmwsModel *model, const Ui *ui) {
    ShownList list = {.model = model};
    Buf line = {0};
    show_all(&list, &s->how, o);
    for (int i = 0; i < list.n; i++) {
        const char *from = list.items[i].from;
        if (!from) continue;
        buf_clear(&line);
        for (int k = i; k < list.n; k++) {
            Shown *x = &list.items[k];
            if (!x->from || strcmp(x->from, from)) continue;
            buf_printf(&line, "%s%s %s", line.n ? ", " : "", x->name, x->value);
            x->from = NULL;
        }
        ui_detail(ui, "[sampling] %s: %s", from, line.s);
    }
    ui_detail(ui, "[sampling] seed %llu (%s)", (unsigned long long)s->how.seed, o->seed >= 0 ? flag : "drawn");
    buf_release(&line);
}
