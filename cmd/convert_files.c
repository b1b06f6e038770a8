/* What stands beside the weights: tokenizer, templates, generation settings; and the place that all of it goes to. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cmd/convert.h"
#include "formats/beside.h"
#include "formats/hf_tok.h"
#include "formats/json.h"

/* ---- small files ---- */

/* The directory of the source's own files. */
static const char *source_dir(const Job *j, Arena *a) { return path_is_dir(j->in) ? j->in : dir_of(a, j->in); }

/* The text of a file of the source's directory, in the arena; n == 0: there is none. */
static bool read_beside(const Job *j, const char *name, Arena *a, Str *out, Err *e) {
    Mapping m;
    const char *path = store_join(a, source_dir(j, a), name);
    *out = (Str){"", 0};
    if (!path_exists(path)) return true;
    TRY(map_file(path, &m, e));
    *out = (Str){arena_strn(a, m.bytes, m.n), m.n};
    unmap_file(&m);
    return utf8_valid(*out) || err_set(e, ERR_INPUT, "cannot use '%s': no valid UTF-8 text", path);
}

/* ---- to GGUF ---- */

static bool keep_files(Job *j, Err *e) {
    for (size_t i = 0; i < KEPT_FILES; i++) {
        Str text;
        TRY(read_beside(j, kept_files[i].file, &j->x.arena, &text, e));
        if (text.n) value_put(&j->x.arena, &j->x.meta, str_of(kept_files[i].key), value_str(text));
    }
    return true;
}

/* The folder's name; in the cache of the hub, models--ORG--NAME/snapshots/HASH, the model's. */
static void put_name(Job *j) {
    Arena *a = &j->x.arena;
    char real[PATH_MAX];
    value_put(a, &j->x.meta, STR("general.type"), value_str(STR("model")));
    if (value_get(&j->x.meta, "general.name") || !realpath(source_dir(j, a), real)) return;
    char *hub = strstr(real, "/models--"), *snapshot = hub ? strstr(hub, "/snapshots/") : NULL;
    if (snapshot) *snapshot = 0;
    const char *name = strrchr(real, '/') + 1;
    for (const char *dash; snapshot && (dash = strstr(name, "--"));) name = dash + 2;
    if (*name && utf8_valid(str_of(name)))
        value_put(a, &j->x.meta, STR("general.name"), value_str(str_of(arena_strn(a, name, strlen(name)))));
}

/* config.json names a special token by its id where the tokenizer's own files do not. */
static int32_t config_id(const Job *j, const char *key, int32_t id, int32_t n_vocab) {
    const Value *v = value_get(&j->m.file.meta, key);
    Value first = v && v->kind == VALUE_ARRAY && v->array.n ? v->array.items[0] : v ? *v : (Value){VALUE_NULL, {0}};
    if (id >= 0 || first.kind != VALUE_INT || first.i < 0 || first.i >= n_vocab) return id;
    return (int32_t)first.i;
}

/* The ids that end an answer: EOS is said already, GGUF has names for two more. */
static void put_ends(Job *j, const TokSpec *spec) {
    static const char *const names[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    const Value *ends = value_get(&j->m.file.generation, "eos_token_id");
    size_t n = 0;
    if (!ends) ends = value_get(&j->m.file.meta, "eos_token_id");
    for (size_t i = 0; ends && n < COUNT_OF(names); i++) {
        if (ends->kind == VALUE_ARRAY && i == ends->array.n) break;
        if (ends->kind != VALUE_ARRAY && i) break;
        Value v = ends->kind == VALUE_ARRAY ? ends->array.items[i] : *ends;
        if (v.kind == VALUE_INT && v.i >= 0 && v.i < spec->n_vocab && v.i != spec->eos)
            value_put(&j->x.arena, &j->x.meta, str_of(names[n++]), v);
    }
}

/* Scores that SentencePiece gave, instead of those that a list of merges comes to; the same vocabulary, or nothing. */
static bool take_scores(const Job *j, TokSpec *spec, Err *e) {
    const char *path = store_join(&spec->arena, source_dir(j, &spec->arena), "tokenizer.model");
    TokSpec spm;
    if (spec->scores || spec->symbols != SYM_CHARS || !path_exists(path)) return true;
    TRY(hf_tok_spec(path, &spm, e));
    bool same = spm.n_vocab <= spec->n_vocab && spm.scores && spm.symbols == SYM_CHARS && spm.model == spec->model;
    for (int32_t id = 0; same && id < spm.n_vocab; id++) same = str_eq(spm.vocab[id], spec->vocab[id]);
    if (same) {
        spec->scores = ARENA_NEW(&spec->arena, double, spec->n_vocab);
        memcpy(spec->scores, spm.scores, (size_t)spm.n_vocab * sizeof *spec->scores);
    }
    tok_spec_release(&spm);
    return true;
}

static bool has_tokenizer(const Job *j) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "tekken.json"};
    Arena a = {0};
    bool any = false;
    for (size_t i = 0; i < COUNT_OF(names); i++) any |= path_exists(store_join(&a, source_dir(j, &a), names[i]));
    arena_release(&a);
    return any;
}

static bool put_tokenizer(Job *j, Err *e) {
    TokSpec *spec = &j->tok;
    if (!has_tokenizer(j)) {
        ui_warn(&j->ui, "'%s' has no tokenizer: the GGUF file will have none either", j->in);
        return true;
    }
    TRY(hf_tok_spec(j->in, spec, e));
    spec->bos = config_id(j, "bos_token_id", spec->bos, spec->n_vocab);
    spec->eos = config_id(j, "eos_token_id", spec->eos, spec->n_vocab);
    spec->pad = config_id(j, "pad_token_id", spec->pad, spec->n_vocab);
    TRY(take_scores(j, spec, e));
    put_ends(j, spec);
    return gguf_tok_write(spec, j->m.cfg.vocab, j->o->pre, &j->x.arena, &j->x.meta, e) ||
           err_prefix(e, "cannot write the tokenizer of '%s'", j->in);
}

bool gguf_rest(Job *j, Err *e) {
    put_name(j);
    if (j->m.file.format == STORE_GGUF) return true;
    sample_defaults_convert(&j->m.file.generation, true, &j->x.arena, &j->x.meta);
    return put_tokenizer(j, e) && keep_files(j, e);
}

/* ---- to a directory ---- */

bool hf_rest(Job *j, const char *dir, Err *e) {
    const Log log = {ui_log, &j->ui};
    TRY(j->m.file.format == STORE_HF ? dir_copy_beside(source_dir(j, &j->arena), dir, e)
                                     : beside_gguf(&j->m.file, j->m.cfg.ctx, dir, &log, e));
    return beside_json(dir, "config.json", &j->x.meta, e);
}
