#include "core/llmws_tok_data.h"

#include "formats/dataset.h"
#include "tokenizer/trainer.h"

enum { END, PAD, TURN, TURN_END, SPECIALS };
static const char *const special_names[SPECIALS] = {"<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"};

static const char chat_ml[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* Words are learned from as much; more text changes the last few merges. */
static const int64_t most_bytes = 256 << 20;

typedef struct Feed {
    Trainer *trainer;
    int64_t texts;
    bool chats;
} Feed;

/* The dataset wants something that can be learned of every sample. */
static void put_any_ids(IdList *out) { id_list_put(out, (const int32_t[]){0, 0}, 2); }

static bool feed_text(void *ctx, Str text, bool begin, IdList *out, Err *e) {
    Feed *f = ctx;
    (void)begin;
    f->texts++;
    put_any_ids(out);
    return trainer_feed(f->trainer, text, e);
}

/* Texts of any depth: content may be a list of parts. */
static bool feed_value(Feed *f, const Value *v, Err *e) {
    if (v->kind == VALUE_STR) return f->texts++, trainer_feed(f->trainer, v->s, e);
    for (size_t i = 0; v->kind == VALUE_ARRAY && i < v->array.n; i++) TRY(feed_value(f, &v->array.items[i], e));
    for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->object.n; i++) TRY(feed_value(f, &v->object.items[i], e));
    return true;
}

static bool feed_chat(void *ctx, const Value *messages, const Value *tools, IdList *out, IdRanges *answers, Err *e) {
    Feed *f = ctx;
    (void)tools;
    f->chats = true;
    id_ranges_put(answers, out->n, out->n + 2);
    put_any_ids(out);
    return feed_value(f, messages, e);
}

static bool open_part(const LlmwsNewModel *m, double part, Feed *f, Dataset **out, Err *e) {
    const DataSpec spec = {.paths = m->data,
                           .n_paths = m->n_data,
                           .seq_len = 64,
                           .no_shuffle = true,
                           .train_on_prompt = true,
                           .no_eos = true,
                           .ahead = -1, /* errors of a text are told where it is fed */
                           .valid_part = part,
                           .want_valid = part > 0};
    return dataset_open(&spec, &(DataTexts){.encode = feed_text, .chat = feed_chat, .ctx = f}, out, e);
}

static bool feed_all(const LlmwsNewModel *m, Feed *f, const Log *log, Err *e) {
    Dataset *d = NULL;
    DataBatch b;
    int64_t bytes = 0;
    size_t n;
    TRY(open_part(m, 0, f, &d, e));
    const DataFile *files = dataset_files(d, &n);
    for (size_t i = 0; i < n; i++) bytes += files[i].bytes;
    if (bytes > most_bytes) {
        const double part = (double)most_bytes / (double)bytes;
        log_put(log, LOG_WARN, "the tokenizer is trained on a sample of the data: %.0f of %.0f MiB",
                (double)most_bytes / 0x1p20, (double)bytes / 0x1p20);
        dataset_close(d);
        TRY(open_part(m, part, f, &d, e));
    }
    bool ok;
    do ok = dataset_next(d, 64, &b, e);
    while (ok && b.n);
    dataset_close(d);
    return ok && (f->texts || err_set(e, ERR_INPUT, "the data hold no text that a tokenizer could be trained on"));
}

static void put_specials(TokSpec *spec, bool chats) {
    static const char name[] = "default";
    spec->bos = spec->eos = END;
    spec->pad = PAD;
    spec->prefix[spec->n_prefix++] = END;
    if (!chats) return;
    spec->templates = ARENA_NEW(&spec->arena, ChatText, 1);
    spec->templates[spec->n_templates++] = (ChatText){name, chat_ml};
    spec->chat_template = chat_ml;
}

bool tok_from_data(const LlmwsNewModel *model, const Log *log, TokSpec *out, int32_t *turn_end, Err *e) {
    static const TokSpec how = {.n_splits = 1, .splits = {{.kind = SPLIT_REGEX, .pattern = tok_default_split}}};
    Str special[SPECIALS];
    const int64_t vocab = model->train_tokenizer;
    Feed f = {0};
    *out = (TokSpec){0};
    if (vocab < 1 || vocab > INT32_MAX / 2)
        return err_set(e, ERR_USAGE, "cannot train a tokenizer of %lld tokens", (long long)vocab);
    for (int i = 0; i < SPECIALS; i++) special[i] = str_of(special_names[i]);
    TRY(trainer_new(
        &(TrainerOptions){
            .how = &how, .special = special, .n_special = SPECIALS, .vocab = (int32_t)vocab, .min_count = 2},
        &f.trainer, e));
    bool ok = feed_all(model, &f, log, e) && trainer_finish(f.trainer, out, e);
    trainer_free(f.trainer);
    if (!ok) return err_prefix(e, "training a tokenizer");
    put_specials(out, f.chats);
    *turn_end = f.chats ? TURN_END : -1;
    if (out->n_vocab < vocab)
        log_put(log, LOG_WARN, "the tokenizer has %d tokens, not %lld: no more pairs stand in the data twice",
                out->n_vocab, (long long)vocab);
    return true;
}
