#include "cmd/run_opts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/builtin.h"
#include "formats/run_find.h"
#include "formats/synthetic.h"

#define AT(field) .at = offsetof(RunOpts, field)

static const OptRow model_rows[] = {
    {.name = "model",
     .letter = 'm',
     .kind = OPT_TEXT,
     .arg = "MODEL",
     AT(model),
     .help = "a .gguf file, a Hugging Face directory, a run of training (RUN, RUN@STEP, RUN@best), builtin:NAME "
             "(llama, mistral, phi, qwen), or synthetic:FAMILY:SIZE of random values (see bench --synthetic); "
             "without it $LLMWS_MODEL, else builtin"},
};

static const OptRow session_rows[] = {
    OPT_BACKEND_ROW,
    OPT_THREADS_ROW,
    {.name = "ctx",
     .letter = 'c',
     .also = "ctx-size,context",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 30,
     AT(ctx),
     .help = "tokens of context; default: the trained length, capped by free memory"},
    {.name = "kv-type",
     .kind = OPT_ENUM,
     .arg = "f32|f16|bf16|q8_0",
     AT(kv_type),
     .init = "f16",
     .help = "how keys and values are cached; q8_0 takes about half of f16's memory"},
    {.name = "compute",
     .kind = OPT_ENUM,
     .arg = "auto|f32|bf16|int8",
     AT(compute),
     .init = "auto",
     .help = "arithmetic; auto: int8 for quantised weights, bf16 for BF16, f32 for F32 and F16"},
    {.name = "isa",
     .kind = OPT_TEXT,
     .arg = "NAME",
     AT(isa),
     .help = "instruction set: ref; x86: avx2, avx512, avx512bf16; Arm: neon, dotprod, i8mm; default: the best here"},
    {.name = "repack",
     .kind = OPT_ENUM,
     .arg = "auto|now|off",
     AT(repack),
     .init = "auto",
     .help = "lay weights out anew, in memory in place of the file's pages, as single tokens read them fastest; auto: "
             "after 32 generated tokens, where free memory holds them"},
    {.name = "chunk",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 20,
     AT(chunk),
     .init = "512",
     .help = "tokens of one prompt step"},
    {.name = "lora",
     .kind = OPT_LIST,
     .arg = "DIR[:SCALE]",
     AT(lora),
     .help = "use a LoRA adapter, a PEFT directory, a GGUF file or a run that trained one, times SCALE; all of them at "
             "once"},
};

static const OptRow output_rows[] = {
    {.name = "json", .kind = OPT_FLAG, AT(json), .help = "one JSON object per line on stdout"},
    {.name = "quiet", .letter = 'q', .kind = OPT_FLAG, AT(quiet), .help = "no warnings, no timings"},
    {.name = "verbose",
     .letter = 'v',
     .kind = OPT_FLAG,
     AT(verbose),
     .help = "settings, memory plan, timings and memory use on stderr"},
    {.name = "color",
     .also = "colour",
     .kind = OPT_ENUM,
     .arg = "auto|always|never",
     AT(color),
     .init = "auto",
     .help = "colours; auto: on a terminal, unless $NO_COLOR is set"},
    {.name = "help", .letter = 'h', .kind = OPT_FLAG, AT(help), .help = "explain the options"},
};

const OptTable opts_model = {"Model", model_rows, COUNT_OF(model_rows)};
const OptTable opts_session = {"Computation and memory", session_rows, COUNT_OF(session_rows)};
static const OptRow threads_rows[] = {OPT_THREADS_ROW};
const OptTable opts_threads = {"Computation", threads_rows, COUNT_OF(threads_rows)};
const OptTable opts_output = {"Output", output_rows, COUNT_OF(output_rows)};

Ui ui_of(const RunOpts *o) { return ui_make(o->json, o->quiet, o->verbose, o->color); }

/* ---- models and sessions ---- */

bool model_path(const RunOpts *o, const char **path, Err *e) {
    const char *env = getenv("LLMWS_MODEL");
    *path = o->model ? o->model : env && *env ? env : "builtin";
    return **path || err_set(e, ERR_USAGE, "no model: -m is empty; give a .gguf file or a Hugging Face directory");
}

void ui_log(void *ctx, int level, const char *line) {
    Ui *ui = ctx;
    const uint64_t print = hash_bytes(line, strlen(line), 0);
    for (size_t i = 0; i < COUNT_OF(ui->said); i++)
        if (ui->said[i] == print) return; /* of a model, then of the checkpoint that was made of it */
    ui->said[ui->n_said++ % COUNT_OF(ui->said)] = print;
    if (level == LLMWS_LOG_WARN)
        ui_warn(ctx, "%s", line);
    else
        ui_detail(ctx, "%s", line);
}

/* The names in a folder that are accepted, up to a limit that no search needs; free with names_release. */
static OptList names_in(const char *dir, bool (*accept)(const char *name)) {
    enum { NAMES_MAX = 10000 };
    OptList names = {0};
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && names.n < NAMES_MAX && (entry = readdir(d));) {
        if (entry->d_name[0] == '.' || !accept(entry->d_name)) continue;
        names.items = mem_grow(names.items, names.n + 1, sizeof *names.items);
        size_t n = strlen(entry->d_name) + 1;
        names.items[names.n++] = memcpy(mem_alloc(n, 1), entry->d_name, n);
    }
    if (d) closedir(d);
    return names;
}

static void names_release(OptList *names) {
    for (size_t i = 0; i < names->n; i++) free((char *)(uintptr_t)names->items[i]);
    free(names->items);
}

static bool any_name(const char *name) { return (void)name, true; }
static bool gguf_name(const char *name) { return str_ends(str_of(name), ".gguf"); }

/* What was said of a run says it all. */
static bool names_run(const char *path) {
    Arena a = {0};
    const char *found;
    bool yes = !run_find(path, &a, &found, NULL) || found;
    arena_release(&a);
    return yes;
}

void suggest_model(const char *path, Err *e) {
    struct stat st;
    bool missing = stat(path, &st) != 0;
    if (builtin_is(path) || synthetic_is(path) || names_run(path)) return;
    if (missing ? errno != ENOENT : !S_ISDIR(st.st_mode)) return;
    const char *slash = missing ? strrchr(path, '/') : NULL;
    Buf dir = {0};
    if (missing)
        buf_put(&dir, slash ? path : "./", slash ? (size_t)(slash - path) + 1 : 2);
    else
        buf_printf(&dir, "%s%s", path, str_ends(str_of(path), "/") ? "" : "/");
    OptList names = names_in(dir.s, missing ? any_name : gguf_name);
    const char *near = missing        ? nearest_word(slash ? slash + 1 : path, names.items, names.n)
                       : names.n == 1 ? names.items[0]
                                      : NULL;
    Err was = *e;
    if (near)
        err_set(e, (ErrCode)was.code, "%s (did you mean '%s%s'?)", was.msg, missing && !slash ? "" : dir.s, near);
    else if (!missing && names.n)
        err_set(e, (ErrCode)was.code, "%s; name one of its %zu .gguf files, such as '%s%s'", was.msg, names.n, dir.s,
                names.items[0]);
    names_release(&names);
    buf_release(&dir);
}

bool model_open(const char *path, const Ui *ui, LlmwsModel **out, Err *e) {
    Ui *shown = (Ui *)(uintptr_t)ui;
    *out = llmws_model_open(path, &(LlmwsModelOptions){.log = ui_log, .log_ctx = shown}, e);
    if (!*out && e->code == ERR_INPUT) suggest_model(path, e);
    return *out != NULL;
}

bool backend_check(const RunOpts *o, Err *e) {
    const char *b = o->backend;
    if (strcmp(b, "auto") == 0 || strcmp(b, "cpu") == 0) return true;
    if (strcmp(b, "cuda") == 0 || strncmp(b, "cuda:", 5) == 0)
        return err_set(e, ERR_BACKEND, "backend not available: '%s': this build computes on the CPU; use --backend cpu",
                       b);
    return err_set(e, ERR_USAGE, "--backend: '%s' must be one of auto|cpu", b);
}

LlmwsSessionOptions session_options(const RunOpts *o) {
    return (LlmwsSessionOptions){.backend = o->backend,
                                 .isa = o->isa,
                                 .compute = o->compute,
                                 .repack = o->repack,
                                 .kv_type = o->kv_type,
                                 .threads = o->threads == OPT_UNSET ? 0 : (int)o->threads,
                                 .ctx = o->ctx == OPT_UNSET ? 0 : o->ctx,
                                 .adapters = o->lora.items,
                                 .n_adapters = o->lora.n,
                                 .chunk = o->chunk};
}

bool parse_bytes(const char *text, const char *what, size_t *out, Err *e) {
    static const char units[] = "KMGT";
    char *end;
    double v = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
    bool known =
        end != text && (!*end || (unit && (!end[1] || strcmp(end + 1, "B") == 0 || strcmp(end + 1, "iB") == 0)));
    for (const char *u = units; unit && u <= unit; u++) v *= 1024;
    if (!known || !(v >= 1 && v < 0x1p62))
        return err_set(e, ERR_USAGE, "%s: '%s' must be a number of bytes, such as 500000, 64K or 2G", what, text);
    return *out = (size_t)v, true;
}

void plan_note(const Ui *ui, const LlmwsPlan *p) {
    if (!ui->verbose) return;
    ui_detail(ui, "[plan] context %lld, chunk %lld, %d threads, isa %s, compute %s, kv-type %s", (long long)p->ctx,
              (long long)p->chunk, p->threads, p->isa, p->compute, p->kv_type);
    plan_rows_note(ui, p);
}

void plan_rows_note(const Ui *ui, const LlmwsPlan *p) {
    if (!ui->verbose) return;
    for (size_t i = 0; i < p->n; i++) {
        const LlmwsPlanRow *r = &p->rows[i];
        Buf size = {0};
        put_bytes(&size, r->bytes);
        ui_detail(ui, "[plan] %-12s %10s on %s%s", r->name, size.s, r->device, r->mapped ? " (mapped)" : "");
        buf_release(&size);
    }
    Buf size = {0};
    put_bytes(&size, p->total_bytes);
    ui_detail(ui, "[plan] %-12s %10s", "total", size.s);
    buf_release(&size);
}

/* ---- prompts and ids ---- */

bool read_text(const char *path, Buf *out, Err *e) {
    enum { BLOCK = 1 << 16, LIMIT = 256 << 20 };
    bool from_stdin = strcmp(path, "-") == 0;
    const char *shown = from_stdin ? "standard input" : path;
    int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ERR_IO, "cannot open '%s': %s", shown, strerror(errno));
    char *block = mem_alloc(BLOCK, 1);
    ssize_t n;
    bool ok = true;
    while (ok && (n = read(fd, block, BLOCK)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            ok = err_set(e, ERR_IO, "cannot read '%s': %s", shown, strerror(errno));
        else if (out->n + (size_t)n > LIMIT)
            ok = err_set(e, ERR_INPUT, "cannot use '%s': more than %d MiB of text", shown, LIMIT >> 20);
        else
            buf_put(out, block, (size_t)n);
    }
    free(block);
    if (!from_stdin) close(fd);
    return ok;
}

bool read_text_or_file(const char *text, Buf *out, Err *e) {
    if (text[0] == '@') return read_text(text + 1, out, e);
    buf_str(out, text);
    return true;
}

void ids_put(Ids *ids, int32_t id) {
    if (ids->n == ids->cap) {
        ids->cap = ids->cap * 2 + 64;
        ids->v = mem_grow(ids->v, ids->cap, sizeof *ids->v);
    }
    ids->v[ids->n++] = id;
}

void ids_release(Ids *ids) {
    free(ids->v);
    *ids = (Ids){0};
}

static bool ids_of_list(const Buf *text, const char *list, Ids *ids, Err *e) {
    const char *seps = ", \t\r\n[]";
    for (char *s = text->s; s && *(s += strspn(s, seps));) {
        char *end = s + strcspn(s, seps), kept = *end;
        int64_t id = 0;
        *end = 0;
        TRY(parse_int(s, "token ids", 0, INT32_MAX, &id, e));
        ids_put(ids, (int32_t)id);
        *end = kept;
        s = end;
    }
    if (text->s && strlen(text->s) != text->n) return err_set(e, ERR_INPUT, "token ids: a NUL byte in '%s'", list);
    return ids->n || err_set(e, ERR_USAGE, "token ids: '%s' holds none", list);
}

bool ids_parse(const char *list, Ids *ids, Err *e) {
    Buf text = {0};
    bool ok = read_text_or_file(list, &text, e);
    if (ok && !ids_of_list(&text, list, ids, e)) {
        ok = false;
        if (list[0] == '@') { /* what a file says wrongly is no wrong usage */
            e->code = ERR_INPUT;
            err_prefix(e, "cannot use '%s'", list + 1);
        }
    }
    buf_release(&text);
    return ok;
}

bool ids_of_text(LlmwsTokenizer *t, Str text, int flags, Ids *ids, Err *e) {
    LlmwsTokens got;
    TRY(llmws_tokenize(t, text.s, text.n, flags, &got, e));
    for (size_t i = 0; i < got.n; i++) ids_put(ids, got.ids[i]);
    llmws_tokens_free(&got);
    return ids->n || err_set(e, ERR_USAGE, "the prompt is empty; give at least one character");
}

bool ids_check(const Ids *ids, int64_t vocab, Err *e) {
    for (size_t i = 0; i < ids->n; i++)
        if (ids->v[i] >= vocab)
            return err_set(e, ERR_USAGE, "token id %d: the vocabulary ends at %lld", (int)ids->v[i],
                           (long long)vocab - 1);
    return true;
}
