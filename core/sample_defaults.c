/* What a model's own files say about sampling, over what is built in. */
#include <math.h>

#include "core/sample.h"

typedef struct Setting {
    const char *name; /* as the option */
    size_t at;        /* in LlmwsSampling */
    bool whole;       /* an int, else a float */
    double lo, hi;
    const char *hf, *gguf; /* keys of generation_config.json and of GGUF metadata, NULL: none */
} Setting;

#define AT(field) offsetof(LlmwsSampling, field)

/* GGUF: the keys of llama.cpp's llama-arch.cpp. */
static const Setting settings[SAMPLE_SETTINGS] = {
    {"temp", AT(temp), false, 0, 1000, "temperature", "general.sampling.temp"},
    {"top-k", AT(top_k), true, -1, INT32_MAX, "top_k", "general.sampling.top_k"},
    {"top-p", AT(top_p), false, 1e-6, 1, "top_p", "general.sampling.top_p"},
    {"min-p", AT(min_p), false, 0, 1, "min_p", "general.sampling.min_p"},
    {"typical", AT(typical), false, 1e-6, 1, "typical_p", NULL},
    {"repeat-penalty", AT(repeat_penalty), false, 0.01, 100, "repetition_penalty", "general.sampling.penalty_repeat"},
    {"repeat-last-n", AT(repeat_last_n), true, -1, INT32_MAX, NULL, "general.sampling.penalty_last_n"},
    {"xtc-probability", AT(xtc_probability), false, 0, 1, NULL, "general.sampling.xtc_probability"},
    {"xtc-threshold", AT(xtc_threshold), false, 0, 1, NULL, "general.sampling.xtc_threshold"},
};

static const char generation_file[] = "generation_config.json", metadata[] = "general.sampling metadata",
                  built_in[] = "built in";

static bool read_setting(SampleDefaults *d, size_t i, const TensorFile *f, const Log *log, Err *e) {
    const Setting *row = &settings[i];
    bool gguf = f->format == STORE_GGUF;
    const char *key = gguf ? row->gguf : row->hf;
    const Value *v = key ? value_get(gguf ? &f->meta : &f->generation, key) : NULL;
    double x = 0;
    if (!v || v->kind == VALUE_NULL) return true;
    TRY(value_as_float(v, key, &x, e));
    if (!(x >= row->lo && x <= row->hi) || (row->whole && x != floor(x))) {
        log_put(log, LOG_WARN, "the model's '%s' %g is out of range; not used", key, x);
        return true;
    }
    char *at = (char *)&d->s + row->at;
    if (row->whole)
        *(int *)(void *)at = (int)x;
    else
        *(float *)(void *)at = (float)x;
    d->from[i] = gguf ? metadata : generation_file;
    return true;
}

/* do_sample false: always the likeliest. */
static bool read_greedy(SampleDefaults *d, const TensorFile *f, Err *e) {
    bool sample = true;
    TRY(value_as_bool(value_get(&f->generation, "do_sample"), "do_sample", &sample, e));
    if (!sample) d->s.temp = 0, d->from[0] = generation_file;
    return true;
}

static bool read_order(SampleDefaults *d, const TensorFile *f, const Log *log, Err *e) {
    static const char key[] = "general.sampling.sequence";
    Str list = {0};
    Err why = {0};
    TRY(value_as_str(value_get(&f->meta, key), key, &list, e));
    if (!list.n) return true;
    if (sampler_order_parse(list, &d->s, &why)) {
        d->order_from = metadata;
        return true;
    }
    log_put(log, LOG_WARN, "the model's '%s' is not used: %s", key, why.msg);
    d->s.n_order = 0;
    return true;
}

bool sample_defaults_read(SampleDefaults *d, const TensorFile *f, const Log *log, Err *e) {
    *d = (SampleDefaults){.s = {.temp = 0.8f,
                                .top_k = 40,
                                .top_p = 0.95f,
                                .min_p = 0.05f,
                                .repeat_penalty = 1,
                                .repeat_last_n = 64,
                                .typical = 1,
                                .top_n_sigma = -1,
                                .xtc_threshold = 0.1f,
                                .dry_base = 1.75f,
                                .dry_allowed_length = 2,
                                .dry_last_n = 64},
                          .order_from = built_in};
    for (size_t i = 0; i < SAMPLE_SETTINGS; i++) {
        d->from[i] = built_in;
        TRY(read_setting(d, i, f, log, e));
    }
    d->s.top_k = MAX(d->s.top_k, 0);
    return f->format == STORE_GGUF ? read_order(d, f, log, e) : read_greedy(d, f, e);
}

void sample_defaults_convert(const Value *from, bool to_gguf, Arena *a, Value *to) {
    const Value *sample = to_gguf ? value_get(from, "do_sample") : NULL;
    for (size_t i = 0; i < SAMPLE_SETTINGS; i++) {
        const Setting *row = &settings[i];
        const Value *v = row->hf && row->gguf ? value_get(from, to_gguf ? row->hf : row->gguf) : NULL;
        if (v && (v->kind == VALUE_INT || v->kind == VALUE_FLOAT))
            value_put(a, to, str_of(to_gguf ? row->gguf : row->hf), *v);
    }
    if (sample && sample->kind == VALUE_BOOL && !sample->b) value_put(a, to, str_of(settings[0].gguf), value_float(0));
}

const char *sample_defaults_origin(const SampleDefaults *d, const char *name) {
    if (strcmp(name, "samplers") == 0) return d->order_from;
    for (size_t i = 0; i < SAMPLE_SETTINGS; i++)
        if (strcmp(settings[i].name, name) == 0) return d->from[i];
    return built_in;
}
