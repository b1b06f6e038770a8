#include "cmd/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/json_out.h"
#include "formats/json.h"

#define AT(field) .at = offsetof(TrainOpts, field)

static const OptRow run_rows[] = {
    {.name = "out", .letter = 'o', .kind = OPT_TEXT, .arg = "RUN", AT(out), .help = "directory of the run"},
    {.name = "resume",
     .kind = OPT_FLAG,
     AT(resume),
     .help = "go on from the run's last checkpoint; what else the command line says must be what the run began with"},
    {.name = "dry-run", .kind = OPT_FLAG, AT(dry_run), .help = "print the memory plan and end"},
    {.name = "gpu-mem",
     .kind = OPT_TEXT,
     .arg = "SIZE",
     AT(gpu_mem),
     .help =
         "with --dry-run: whether the plan fits into so many bytes, such as 16G; unverified until a GPU lays it out"},
    {.name = "preview",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 20,
     AT(preview),
     .help = "show ids, labels and packing of the first N samples and end"},
};

/* What a run may change when it goes on. */
static const OptRow loop_rows[] = {
    {.name = "save-every",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = OPT_MAX,
     AT(save_every),
     .help = "a checkpoint every N updates, and at the end; 0: at the end alone; default: 500"},
    {.name = "keep",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = 1 << 20,
     AT(keep),
     .help = "checkpoints that stay, beside the best; 0: all; default: 3"},
    {.name = "log-every",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = OPT_MAX,
     AT(log_every),
     .help = "an event every N updates; default: 1"},
    {.name = "eval-every",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = OPT_MAX,
     AT(eval_every),
     .help = "evaluate every N updates, and at the end; 0: at the end alone; default: 500"},
    {.name = "skip-bad",
     .kind = OPT_FLAG,
     AT(skip_bad),
     .help =
         "pass over lines that are no sample, and tell them; without it the first one ends the run, which then goes "
         "on with --resume --skip-bad"},
};

static const OptRow data_rows[] = {
    {.name = "steps",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1e15,
     AT(steps),
     .help = "updates of the run; default: as many as --epochs come to"},
    {.name = "epochs",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 1e-6,
     .hi = 1e6,
     AT(epochs),
     .help = "times that all data are seen; default: 1"},
    {.name = "batch-size",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 20,
     AT(batch_size),
     .help = "rows of a micro-step; default: 8"},
    {.name = "seq-len",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 2,
     .hi = 1 << 24,
     AT(seq_len),
     .help = "tokens of a row; default: 256"},
    {.name = "grad-accum",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 20,
     AT(grad_accum),
     .help = "micro-steps of an update, whose labels all count the same; default: 1"},
    {.name = "eval",
     .kind = OPT_TEXT,
     .arg = "DATA|PART",
     AT(eval),
     .help = "a file or folder whose loss is measured, or the part of the samples that is held out for that, such as "
             "0.05; the checkpoint of the lowest loss stays"},
    {.name = "no-pack", .kind = OPT_FLAG, AT(no_pack), .help = "one sample a row; default: samples share rows unseen"},
    {.name = "train-on-prompt",
     .kind = OPT_FLAG,
     AT(train_on_prompt),
     .help = "learn prompts too; default: completions, answers and plain texts alone"},
    {.name = "seed",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = OPT_MAX,
     AT(seed),
     .help = "of the order of samples, and of the weights of a new model; default: 0"},
};

static const OptRow optim_rows[] = {
    {.name = "lora",
     .kind = OPT_TEXT,
     .arg = "KEY=VALUE,...",
     AT(lora),
     .help = "train a low-rank adapter and leave the weights, which may be quantised, as they are: r=8, alpha=16, "
             "dropout=0, rslora, targets=auto (as the family has it), all-linear or modules such as q_proj+v_proj"},
    {.name = "optimizer",
     .kind = OPT_ENUM,
     .arg = "adamw|adamw_torch|sgd|muon",
     AT(optimizer),
     .help = "how gradients change weights; muon: matrices between embeddings and head by it, other weights by AdamW; "
             "default: adamw"},
    {.name = "lr",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1e6,
     AT(lr),
     .help = "learning rate at its highest; default: 5e-5"},
    {.name = "lr-schedule",
     .kind = OPT_ENUM,
     .arg = "constant|linear|cosine|wsd",
     AT(lr_schedule),
     .help = "its course after the warm-up; wsd falls over the last fifth; default: cosine"},
    {.name = "warmup",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = 1e15,
     AT(warmup),
     .help = "updates in which the learning rate rises; default: 0"},
    {.name = "weight-decay",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1e6,
     AT(weight_decay),
     .help = "decoupled from the gradient; of sgd: added to it; default: 0.01"},
    {.name = "momentum",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 0.9999999,
     AT(momentum),
     .help = "of sgd and muon; default: 0 of sgd, 0.95 of muon"},
    {.name = "adamw-lr",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 1e-30,
     .hi = 1e6,
     AT(adamw_lr),
     .help = "learning rate of what AdamW changes beside muon; default: that of --lr"},
    {.name = "adjust-lr",
     .kind = OPT_ENUM,
     .arg = "original|match_rms_adamw",
     AT(adjust_lr),
     .help = "how the learning rate of muon follows the shape of a matrix; with match_rms_adamw one of AdamW serves; "
             "default: original"},
    {.name = "no-decay",
     .kind = OPT_TEXT,
     .arg = "PATTERN|none",
     AT(no_decay),
     .help = "weights without decay; none: every weight decays; default: norms and biases"},
    {.name = "clip",
     .kind = OPT_FLOAT,
     .arg = "X",
     .lo = 0,
     .hi = 1e30,
     AT(clip),
     .help = "largest norm of all gradients together; 0: any; default: 1"},
    {.name = "betas", .kind = OPT_TEXT, .arg = "A,B", AT(betas), .help = "of the moments; default: 0.9,0.999"},
    {.name = "eps", .kind = OPT_FLOAT, .arg = "X", .lo = 0, .hi = 1, AT(eps), .help = "of AdamW; default: 1e-8"},
    {.name = "precision",
     .kind = OPT_ENUM,
     .arg = "fp32|bf16",
     AT(precision),
     .help = "of products; weights, sums and moments are f32; default: fp32"},
    {.name = "attention",
     .kind = OPT_ENUM,
     .arg = "sdpa|manual",
     AT(attention),
     .help = "sdpa: in one pass; manual: op by op, with the scores of all pairs of tokens in memory; default: sdpa"},
    {.name = "dropout",
     .kind = OPT_FLOAT,
     .arg = "P",
     .lo = 0,
     .hi = 0.999,
     AT(dropout),
     .help = "part of the embedding, of the weights of attention and of what each branch adds that falls out at "
             "random; default: 0"},
    {.name = "grad-checkpoint",
     .kind = OPT_FLAG,
     AT(grad_checkpoint),
     .help = "keep the input of each block alone and compute the block again: less memory, a third more time"},
};

static const OptRow where_rows[] = {
    OPT_BACKEND_ROW,
    OPT_THREADS_ROW,
    {.name = "isa",
     .kind = OPT_TEXT,
     .arg = "NAME",
     .at = offsetof(RunOpts, isa),
     .help = "instruction set, see 'llmws generate --help'; default: the best here"},
};

static const OptRow base_rows[] = {
    {.name = "arch",
     .kind = OPT_TEXT,
     .arg = "FAMILY",
     AT(arch),
     .help =
         "begin with a new model of this family, see 'llmws inspect --families'; default: the model_type of --config"},
    {.name = "config",
     .kind = OPT_TEXT,
     .arg = "FILE.json|KEY=VALUE,...",
     AT(config),
     .help = "its settings, as Hugging Face's config.json names them"},
    {.name = "tokenizer",
     .kind = OPT_TEXT,
     .arg = "DIR|FILE",
     AT(tokenizer),
     .help = "its tokenizer: that of a model's directory, a tokenizer.json, tokenizer.model or .gguf file"},
    {.name = "train-tokenizer",
     .kind = OPT_INT,
     .arg = "VOCAB",
     .lo = 1,
     .hi = 1 << 24,
     AT(train_tokenizer),
     .help = "or a new byte-level BPE of so many tokens, trained on the data"},
    {.name = "tie-embeddings",
     .kind = OPT_FLAG,
     AT(tie_embeddings),
     .help = "the head is the embedding; a model of -m loses the head that it has"},
};

static const OptTable opts_run = {"The run", run_rows, COUNT_OF(run_rows)};
static const OptTable opts_loop = {"Checkpoints and events", loop_rows, COUNT_OF(loop_rows)};
static const OptTable opts_data = {"Data", data_rows, COUNT_OF(data_rows)};
static const OptTable opts_optim = {"Optimisation", optim_rows, COUNT_OF(optim_rows)};
static const OptTable opts_base = {"A new model", base_rows, COUNT_OF(base_rows)};
static const OptTable opts_where = {"Computation", where_rows, COUNT_OF(where_rows)};
const OptTable *const train_tables[] = {&opts_model, &opts_base,  &opts_run,    &opts_loop, &opts_data,
                                        &opts_optim, &opts_where, &opts_output, NULL};
/* What makes a run: kept in run.json. */
static const OptTable *const kept_tables[] = {&opts_base, &opts_data, &opts_optim, &opts_loop, NULL};

/* Defaults that a run keeps; said here rather than in the rows so that what was given can be told from them. */
static const char *const defaults[] = {
    "--batch-size=8",    "--seq-len=256",        "--grad-accum=1",   "--seed=0",         "--optimizer=adamw",
    "--lr=5e-5",         "--lr-schedule=cosine", "--warmup=0",       "--clip=1",         "--weight-decay=0.01",
    "--betas=0.9,0.999", "--eps=1e-8",           "--precision=fp32", "--save-every=500", "--keep=3",
    "--log-every=1",     "--eval-every=500",     "--attention=sdpa", "--dropout=0",      NULL};

static void put_value(Buf *b, const OptRow *r, const void *from) {
    const void *field = (const char *)from + r->at;
    switch (r->kind) {
    case OPT_FLAG: buf_str(b, *(const bool *)field ? "true" : "false"); break;
    case OPT_INT: buf_printf(b, "%" PRId64, *(const int64_t *)field); break;
    case OPT_FLOAT: json_put_float(b, *(const double *)field); break;
    default: json_put_str(b, str_of(*(const char *const *)field));
    }
}

void train_opts_put(const TrainOpts *o, Buf *json) {
    for (const OptTable *const *t = kept_tables; *t; t++)
        for (const OptRow *r = (*t)->rows; r < (*t)->rows + (*t)->n; r++)
            if (opt_is_given(r, o)) json_key(json, r->name), put_value(json, r, o);
}

/* Members of `stored` as words of a command line. */
static const char **words_of(const Value *stored, Arena *a) {
    const char **words = ARENA_NEW(a, const char *, stored->object.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < stored->object.n; i++) {
        Buf text = {0};
        const Value *v = &stored->object.items[i];
        if (v->kind == VALUE_BOOL && !v->b) continue;
        buf_printf(&text, "--%.*s", STR_ARG(stored->object.keys[i]));
        if (v->kind == VALUE_STR)
            buf_printf(&text, "=%.*s", STR_ARG(v->s));
        else if (v->kind != VALUE_BOOL)
            buf_char(&text, '='), json_put_value(&text, v, -1);
        words[n++] = arena_strn(a, text.s, text.n);
        buf_release(&text);
    }
    return words;
}

static size_t field_size(const OptRow *r) {
    return r->kind == OPT_FLAG    ? sizeof(bool)
           : r->kind == OPT_INT   ? sizeof(int64_t)
           : r->kind == OPT_FLOAT ? sizeof(double)
                                  : sizeof(const char *);
}

static bool same_value(const OptRow *r, const void *a, const void *b) {
    Buf x = {0}, y = {0};
    put_value(&x, r, a);
    put_value(&y, r, b);
    bool same = opt_is_given(r, b) && str_eq(buf_view(&x), buf_view(&y));
    buf_release(&x);
    buf_release(&y);
    return same;
}

static bool lora_word(Str word, Arena *a, LlmwsLora *l, Err *e) {
    const char *equals = memchr(word.s, '=', word.n);
    const size_t n = equals ? (size_t)(equals - word.s) : word.n;
    const Str key = {word.s, n};
    const char *value = equals ? arena_strn(a, equals + 1, word.n - n - 1) : NULL;
    if (str_is(key, "rslora") && !value) return l->root = true;
    if (value && str_is(key, "r")) return parse_int(value, "--lora: r", 1, 1 << 16, &l->rank, e);
    if (value && str_is(key, "alpha")) return parse_float(value, "--lora: alpha", 1e-9, 1e9, &l->alpha, e);
    if (value && str_is(key, "dropout")) return parse_float(value, "--lora: dropout", 0, 1 - 0x1p-16, &l->dropout, e);
    if (!value || !str_is(key, "targets"))
        return err_set(
            e, ERR_USAGE,
            "--lora: '%.*s' is not known; known: r=N, alpha=X, targets=auto|all-linear|NAME+NAME, dropout=X, rslora",
            STR_ARG(word));
    l->targets = strcmp(value, "auto") ? value : NULL;
    return true;
}

/* "r=8,alpha=16,targets=q_proj+v_proj,dropout=0,rslora" */
static bool read_lora(const char *text, Arena *a, LlmwsLora *l, Err *e) {
    Str rest = str_of(text);
    *l = (LlmwsLora){.rank = 8, .alpha = 16};
    for (Str word; str_word(&rest, ',', &word);) TRY(lora_word(word, a, l, e));
    return true;
}

/* What would change nothing is a mistake. */
static bool check_idle(const TrainOpts *o, Err *e) {
    const char *optimizer = o->optimizer ? o->optimizer : "adamw";
    const bool muon = strcmp(optimizer, "muon") == 0, moves = muon || strcmp(optimizer, "sgd") == 0;
    const struct {
        const char *name, *needs;
        bool given, used;
    } rows[] = {{"momentum", "--optimizer sgd or muon", !isnan(o->momentum), moves},
                {"adamw-lr", "--optimizer muon", !isnan(o->adamw_lr), muon},
                {"adjust-lr", "--optimizer muon", o->adjust_lr, muon},
                {"eval-every", "--eval", o->eval_every != OPT_UNSET, o->eval}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].given && !rows[i].used)
            return err_set(e, ERR_USAGE, "--%s goes with %s", rows[i].name, rows[i].needs);
    return true;
}

bool train_opts_resolve(TrainOpts *o, const Value *stored, Arena *a, Err *e) {
    TrainOpts *base = ARENA_NEW(a, TrainOpts, 1);
    OptList rest = {0};
    if (!stored) TRY(check_idle(o, e));
    opt_init(kept_tables, base);
    const char *const *words = stored ? words_of(stored, a) : defaults;
    bool ok = opt_parse(kept_tables, (char *const *)(uintptr_t)words, base, &rest, e);
    free(rest.items);
    if (!ok) return false;
    for (const OptTable *const *t = kept_tables; *t; t++)
        for (const OptRow *r = (*t)->rows; r < (*t)->rows + (*t)->n; r++) {
            void *field = (char *)o + r->at;
            const void *was = (const char *)base + r->at;
            bool given = opt_is_given(r, o);
            if (given && stored && *t != &opts_loop && !same_value(r, o, base))
                return err_set(e, ERR_USAGE, "--%s: the run '%s' began with another value; leave it out with --resume",
                               r->name, o->out);
            if (!given) memcpy(field, was, field_size(r));
        }
    return !o->lora || read_lora(o->lora, a, &o->adapter, e);
}

static bool betas_of(const TrainOpts *o, double *beta1, double *beta2, Err *e) {
    char *end, *last;
    *beta1 = strtod(o->betas, &end);
    *beta2 = *end == ',' ? strtod(end + 1, &last) : (double)NAN;
    if (end != o->betas && *end == ',' && last != end + 1 && !*last && *beta1 >= 0 && *beta1 < 1 && *beta2 >= 0 &&
        *beta2 < 1)
        return true;
    return err_set(e, ERR_USAGE, "--betas: '%s' must be two numbers from 0 to below 1, such as 0.9,0.999", o->betas);
}

/* A part of the data, 0 where the text is no number; what is called like one is ./0.05. */
static bool eval_part(const char *text, double *part, Err *e) {
    char *end;
    *part = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end) return *part = 0, true;
    return (*part > 0 && *part < 1) ||
           err_set(e, ERR_USAGE, "--eval: %s must be a part between 0 and 1, or a file or folder", text);
}

bool train_how(const TrainOpts *o, const OptList *data, LlmwsTrainOptions *how, Err *e) {
    double beta1, beta2, part;
    TRY(eval_part(o->eval, &part, e));
    TRY(betas_of(o, &beta1, &beta2, e) && backend_check(&o->run, e));
    *how = (LlmwsTrainOptions){.backend = o->run.backend,
                               .isa = o->run.isa,
                               .threads = o->run.threads == OPT_UNSET ? 0 : (int)o->run.threads,
                               .data = data->items,
                               .n_data = data->n,
                               .batch_size = o->batch_size,
                               .seq_len = o->seq_len,
                               .grad_accum = o->grad_accum,
                               .steps = o->steps == OPT_UNSET ? 0 : o->steps,
                               .epochs = isnan(o->epochs) ? 1 : o->epochs,
                               .precision = o->precision,
                               .attention = o->attention,
                               .dropout = o->dropout,
                               .grad_checkpoint = o->grad_checkpoint,
                               .skip_bad = o->skip_bad,
                               .optimizer = strcmp(o->optimizer, "adamw_torch") ? o->optimizer : "adamw",
                               .momentum = !isnan(o->momentum)            ? o->momentum
                                           : strcmp(o->optimizer, "muon") ? 0
                                                                          : 0.95,
                               .adamw_lr = isnan(o->adamw_lr) ? 0 : o->adamw_lr,
                               .adjust_lr = o->adjust_lr,
                               .lr = o->lr,
                               .beta1 = beta1,
                               .beta2 = beta2,
                               .eps = o->eps,
                               .weight_decay = o->weight_decay,
                               .clip = o->clip,
                               .lr_schedule = o->lr_schedule,
                               .warmup = o->warmup,
                               .no_decay = o->no_decay,
                               .no_pack = o->no_pack,
                               .train_on_prompt = o->train_on_prompt,
                               .seed = (uint64_t)o->seed,
                               .lora = o->adapter,
                               .eval = part > 0 ? NULL : o->eval,
                               .eval_part = part};
    return true;
}
