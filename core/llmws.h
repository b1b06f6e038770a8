/* libllmws: run, inspect and train language models in the calling process.
 *
 * Two objects do the work. A Model is a set of weights, its configuration and its tokenizer; it never changes after it
 * was opened and may be shared by threads. A Session is one timeline of computation on a Model: one memory plan, one
 * Cache, one set of worker threads; one thread may use it at a time. A Tokenizer belongs to a Model or is opened alone.
 *
 *     LlmwsErr e;
 *     LlmwsModel *m = llmws_model_open("SmolLM2.gguf", NULL, &e);
 *     LlmwsSession *s = llmws_session_open(m, NULL, &e);
 *     int seq = llmws_seq_open(s, &e);
 *     llmws_eval(s, seq, ids, n, &e);                        // the prompt, in chunks
 *     while (llmws_sample(s, seq, &sampling, &id, &e) && id != eos) llmws_eval(s, seq, &id, 1, &e);
 *
 * Every function that can fail takes a LlmwsErr last, returns false or NULL and fills it; nothing prints, exits or
 * reads the environment. Strings are UTF-8. Pointers that a getter returns stay valid as long as the object they came
 * from. */
#ifndef LLMWS_H
#define LLMWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLMWS_API __attribute__((visibility("default")))

/* ---- errors, messages, version ---- */

typedef struct LlmwsErr {
    int code;      /* 0: none */
    char msg[500]; /* one line: what failed: 'subject': why; what to do */
} LlmwsErr;

/* The exit status that the llmws program gives for an error code (1 failed, 2 usage, 3 bad input, 4 does not fit, 5 no
 * backend, ...). */
LLMWS_API int llmws_exit_status(int code);
LLMWS_API const char *llmws_version(void);
/* Called with the wanted size when a small allocation fails; must not return. The default aborts. */
LLMWS_API void llmws_set_oom_hook(void (*hook)(size_t bytes));

enum { LLMWS_LOG_WARN, LLMWS_LOG_INFO, LLMWS_LOG_DEBUG };
typedef void LlmwsLogFn(void *ctx, int level, const char *line);

/* ---- tokenizer ---- */

typedef struct LlmwsTokenizer LlmwsTokenizer;

typedef struct LlmwsTokens {
    int32_t *ids;
    int64_t (*offsets)[2]; /* code points [begin, end) of the text that each id came from; equal for an id that came
                              from none */
    size_t n;
} LlmwsTokens;

enum {
    LLMWS_TOK_ADD_SPECIAL = 1,   /* what the model's post-processor adds, usually one BOS */
    LLMWS_TOK_PARSE_SPECIAL = 2, /* recognise special tokens written in the text */
};

/* From a .gguf file, tokenizer.json, tokenizer.model or tekken.json, or a directory that holds one. */
LLMWS_API LlmwsTokenizer *llmws_tokenizer_open(const char *path, LlmwsErr *e);
LLMWS_API void llmws_tokenizer_close(LlmwsTokenizer *t);
/* Appends nothing: *out is overwritten and belongs to the caller (llmws_tokens_free). Invalid UTF-8 counts as U+FFFD.
 */
LLMWS_API bool llmws_tokenize(LlmwsTokenizer *t, const char *text, size_t n, int flags, LlmwsTokens *out, LlmwsErr *e);
LLMWS_API void llmws_tokens_free(LlmwsTokens *tokens);
enum {
    LLMWS_TEXT_SPECIAL = 1, /* special tokens are text too; else they are left out */
    LLMWS_TEXT_BEGINS = 2,  /* the ids begin a text: what the tokenizer puts before one is taken off again */
};
/* The bytes of ids[0..n), NUL-terminated; free() them. flags: LLMWS_TEXT_*. */
LLMWS_API char *llmws_detokenize(LlmwsTokenizer *t, const int32_t *ids, size_t n, int flags, size_t *len, LlmwsErr *e);
LLMWS_API int32_t llmws_token_count(const LlmwsTokenizer *t);
LLMWS_API const char *llmws_tokenizer_kind(const LlmwsTokenizer *t); /* "byte-level BPE, 49152 tokens, ..." */
LLMWS_API bool llmws_tokenizer_has_template(const LlmwsTokenizer *t);
/* The source of chat template i, NULL past the last; *name: "default", "tool_use", ... */
LLMWS_API const char *llmws_tokenizer_template(const LlmwsTokenizer *t, size_t i, const char **name);
/* The token as the vocabulary spells it ("" for an id that has none); valid until the next call. */
LLMWS_API const char *llmws_token_piece(LlmwsTokenizer *t, int32_t id);

/* Trains a byte-level BPE tokenizer of `vocab` tokens on n texts and writes it to `path` as a tokenizer.json. Words are
 * cut as Llama 3 does it; special tokens come first. The result is the same everywhere, for the texts in any order. */
typedef struct LlmwsTrainTokenizer {
    const char *const *texts; /* [n] */
    const size_t *lengths;
    size_t n;
    const char *const *special; /* [n_special] */
    size_t n_special;
    int64_t vocab, min_count; /* min_count: a pair of tokens that stands less often is never joined; 0: 2 */
} LlmwsTrainTokenizer;
LLMWS_API bool llmws_train_tokenizer(const LlmwsTrainTokenizer *opt, const char *path, LlmwsErr *e);

/* ---- conversations ---- */

enum { LLMWS_CHAT_TRUST_TEXT = 1 }; /* special tokens count in messages too, not only where the template wrote them */
enum { LLMWS_ID_SPECIAL = 1, LLMWS_ID_ANSWER = 2 }; /* a special token; part of an answer, as {% generation %} says */

typedef struct LlmwsTextSpan {
    size_t begin, end;  /* bytes of the text */
    bool from_template; /* else from messages, tools, ... */
} LlmwsTextSpan;

typedef struct LlmwsPrompt {
    char *text; /* NUL-terminated */
    size_t len;
    LlmwsTextSpan *spans; /* all of the text, in order */
    size_t n_spans;
    LlmwsTextSpan *answers; /* what stands in {% generation %} blocks, in order; what a training masks in */
    size_t n_answers;
    int32_t *ids;
    int64_t (*offsets)[2]; /* as in LlmwsTokens */
    uint8_t *marks;        /* LLMWS_ID_* of each id */
    size_t n;
} LlmwsPrompt;

/* The prompt that the model's own chat template makes of a conversation. messages: JSON, a list of {"role", "content",
 * ...} or an object with "messages" and whatever else the template reads ("tools", "add_generation_prompt",
 * "enable_thinking", ...; "chat_template" names one of several templates; "continue_final_message" leaves the last
 * message open). options: a JSON object of more of these,
 * which count first, or NULL. Ids come from the text as it is: a BOS is there once if the template writes one. A
 * template that refuses the conversation, or cannot be run, is an error. Free *out with llmws_prompt_free. */
LLMWS_API bool llmws_chat_render(LlmwsTokenizer *t, const char *messages, const char *options, int flags,
                                 LlmwsPrompt *out, LlmwsErr *e);
LLMWS_API void llmws_prompt_free(LlmwsPrompt *p);

/* Incremental decoding: each push returns the text that is certain by now, whole characters only; flush returns the
 * rest, with U+FFFD for bytes that never became a character. The returned text is valid until the next call. */
typedef struct LlmwsDecoder LlmwsDecoder;
LLMWS_API LlmwsDecoder *llmws_decoder_open(LlmwsTokenizer *t, int flags);
LLMWS_API const char *llmws_decoder_push(LlmwsDecoder *d, int32_t id, size_t *len);
LLMWS_API const char *llmws_decoder_flush(LlmwsDecoder *d, size_t *len);
LLMWS_API void llmws_decoder_close(LlmwsDecoder *d);

/* ---- model ---- */

typedef struct LlmwsModel LlmwsModel;

typedef struct LlmwsModelOptions {
    LlmwsLogFn *log;
    void *log_ctx;
} LlmwsModelOptions;

/* From a .gguf file, a Hugging Face directory, a run of training ("RUN": its last checkpoint, "RUN@step", "RUN@best"),
 * or "builtin:NAME": one that is part of the library, or "synthetic:FAMILY:SIZE[:TYPE]": random weights. opt may be
 * NULL. */
LLMWS_API LlmwsModel *llmws_model_open(const char *path, const LlmwsModelOptions *opt, LlmwsErr *e);
LLMWS_API void llmws_model_close(LlmwsModel *m);
/* True for ids that end an answer: EOS, and the others that generation_config.json or the file's metadata name. */
LLMWS_API bool llmws_token_ends(const LlmwsModel *m, int32_t id);
/* The model's tokenizer, made on first use (that call must not race); fails where the file has none or one of a kind
 * that is not supported. Belongs to m. */
LLMWS_API LlmwsTokenizer *llmws_model_tokenizer(LlmwsModel *m, LlmwsErr *e);

typedef struct LlmwsModelInfo {
    const char *family, *name, *format, *dtypes; /* "llama", "SmolLM2 ...", "gguf", "q4_1 120, f32 61" */
    const char *rope;                            /* "theta 1e+05", "llama3 x8 from 8192, theta 5e+05" */
    int64_t params, bytes;                       /* weights: elements, and bytes in the file */
    int64_t layers, width, heads, kv_heads, head_dim, ffn, vocab, ctx;
    int64_t experts, experts_used, expert_ffn; /* in place of the mlp; 0: none; that a token meets; width of each */
    int64_t window, windowed;                  /* the keys that some layers see at most; how many such layers */
    int64_t files;                             /* that hold the weights; 0: a new model */
    bool tied;                                 /* the head is the embedding */
} LlmwsModelInfo;
LLMWS_API void llmws_model_info(const LlmwsModel *m, LlmwsModelInfo *info);

typedef struct LlmwsTensorInfo {
    const char *name;      /* Hugging Face module path */
    const char *file_name; /* as the file calls it */
    const char *dtype;
    int ndim;
    int64_t shape[4]; /* outermost first */
    int64_t bytes;
} LlmwsTensorInfo;
LLMWS_API size_t llmws_tensor_count(const LlmwsModel *m);
LLMWS_API void llmws_tensor_info(const LlmwsModel *m, size_t i, LlmwsTensorInfo *info);

typedef struct LlmwsModuleInfo { /* a named value of the graph that can be captured or changed */
    const char *name;            /* "model.layers.0.mlp" */
    const char *shape;           /* "[T,576]" */
    const char *op;              /* what computes it */
} LlmwsModuleInfo;
LLMWS_API size_t llmws_module_count(LlmwsModel *m);
LLMWS_API void llmws_module_info(LlmwsModel *m, size_t i, LlmwsModuleInfo *info);

/* Of names, shapes, dtypes and samples of the weights: tells models apart without reading them whole. */
LLMWS_API uint64_t llmws_model_fingerprint(const LlmwsModel *m);
/* Reads every weight; ERR_CHECK naming the first that holds a NaN or an infinity. */
LLMWS_API bool llmws_weights_finite(const LlmwsModel *m, LlmwsErr *e);

typedef struct LlmwsFamilyInfo {    /* a row of the table of families */
    const char *name;               /* "llama" */
    const char *const *model_types; /* of config.json, NULL-terminated */
    const char *gguf;               /* general.architecture; NULL: not read from GGUF files */
    const char *lora_targets;       /* "q_proj+k_proj+..." */
} LlmwsFamilyInfo;
LLMWS_API size_t llmws_family_count(void);
LLMWS_API void llmws_family_info(size_t i, LlmwsFamilyInfo *info);

/* Writes the model as one GGUF file: weights at their dtype, configuration, and the tokenizer where the model came from
 * a GGUF file. */
LLMWS_API bool llmws_model_save_gguf(const LlmwsModel *m, const char *path, LlmwsErr *e);

/* Writes the model as a Hugging Face directory that does not exist yet; it appears whole or not at all. dtype: "f32",
 * "f16", "bf16" for all weights, NULL: as they are, quantised ones as f32. max_shard: bytes of a file of weights at
 * most, 0: one file. The files beside the weights are copied, or made of what a GGUF file says. */
LLMWS_API bool llmws_model_save_hf(const LlmwsModel *m, const char *dir, const char *dtype, int64_t max_shard,
                                   LlmwsErr *e);
/* Makes the embedding the head too and leaves out the head's own weights; false where that is so already. Before
 * sessions and trainings of m. */
LLMWS_API bool llmws_model_tie(LlmwsModel *m);

/* ---- new models ---- */

typedef struct LlmwsNewModel { /* a family's shape with weights drawn by chance, to be trained */
    const char *family;        /* a name of llmws_family_info, or a model_type; NULL: the model_type of config */
    const char *config; /* a JSON object of config.json's keys; what it leaves out is derived (core/init.h); NULL: all
                           of it */
    const char *tokenizer;   /* a path as for llmws_tokenizer_open, or NULL and: */
    int64_t train_tokenizer; /* tokens of a byte-level BPE that is trained on the texts of data */
    const char *const *data; /* [n_data] files or folders */
    size_t n_data;
    int64_t ctx;   /* max_position_embeddings, unless config has it; 0: 2048 */
    bool tied;     /* the head is the embedding */
    uint64_t seed; /* of the weights */
} LlmwsNewModel;

/* The model with weights that are all zero, for plans and previews; its tokenizer is open. With neither a tokenizer
 * nor data it has none and serves plans alone, of as many tokens as config or train_tokenizer says. */
LLMWS_API LlmwsModel *llmws_model_new(const LlmwsNewModel *how, const LlmwsModelOptions *opt, LlmwsErr *e);
/* Writes what llmws_model_new made as a Hugging Face directory that does not exist yet, weights drawn: a function of
 * how alone. */
LLMWS_API bool llmws_model_create(LlmwsModel *m, const LlmwsNewModel *how, const char *dir, LlmwsErr *e);

/* ---- sampling ---- */

typedef struct LlmwsLogitBias {
    int32_t id;
    float bias; /* added to the logit; -INFINITY forbids the token */
} LlmwsLogitBias;

/* Steps of the sampling chain, in the default order. */
enum {
    LLMWS_STEP_PENALTIES,
    LLMWS_STEP_DRY,
    LLMWS_STEP_TOP_N_SIGMA,
    LLMWS_STEP_TOP_K,
    LLMWS_STEP_TYPICAL,
    LLMWS_STEP_TOP_P,
    LLMWS_STEP_MIN_P,
    LLMWS_STEP_XTC,
    LLMWS_STEP_TEMPERATURE,
    LLMWS_STEP_COUNT,
    LLMWS_MAX_STEPS = 16
};

typedef struct LlmwsSampling {
    float temp;                                                /* 0: greedy */
    int top_k;                                                 /* 0: off */
    float top_p;                                               /* 1: off */
    float min_p;                                               /* 0: off */
    float repeat_penalty, presence_penalty, frequency_penalty; /* 1, 0, 0: off */
    int repeat_last_n; /* tokens that the penalties look back over; 0 off, -1 all */
    const LlmwsLogitBias *bias;
    size_t n_bias;
    uint64_t seed, sequence; /* sequence tells apart those that share a seed; 0 for one alone */
    bool ignore_eos;
    float typical;                        /* 0 or 1: off */
    float top_n_sigma;                    /* 0 or less: off */
    float xtc_probability, xtc_threshold; /* probability 0: off */
    float dry_multiplier, dry_base;       /* multiplier 0: off; base from 1 on */
    int dry_allowed_length;               /* repeats shorter than this cost nothing */
    int dry_last_n;                       /* tokens that DRY looks back over; 0 off, -1 all */
    const unsigned char *dry_breaks;      /* [vocab] 1: no repeat reaches over this token; NULL: none. Borrowed */
    int order[LLMWS_MAX_STEPS], n_order;  /* LLMWS_STEP_*, steps that are missing do not run; n_order 0: the default */
    const uint64_t *allowed;              /* llmws_constraint_allowed: only these tokens; NULL: all. Borrowed */
} LlmwsSampling;

/* The model's own values (generation_config.json, or a GGUF file's general.sampling.* metadata) over: temp 0.8, top_k
 * 40, top_p 0.95, min_p 0.05, last 64; penalties, typical, top-n-sigma, DRY (base 1.75, allowed length 2, last 64) and
 * XTC (threshold 0.1) off. */
LLMWS_API void llmws_sampling_defaults(const LlmwsModel *m, LlmwsSampling *s);
/* Where a default came from: "generation_config.json", "general.sampling metadata" or "built in". name as the program's
 * option: "temp", "top-k", "samplers", ... */
LLMWS_API const char *llmws_sampling_origin(const LlmwsModel *m, const char *name);
/* Sets s->order from "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature" (the default) or any other
 * list of these names. */
LLMWS_API bool llmws_sampling_order(LlmwsSampling *s, const char *list, LlmwsErr *e);
/* Name of an LLMWS_STEP_*, NULL past the last. */
LLMWS_API const char *llmws_step_name(int step);
/* Marks in breaks[0..vocab) the tokens whose text holds `text`, leaves the other marks; returns how many. */
LLMWS_API int64_t llmws_dry_breaker(LlmwsTokenizer *t, const char *text, unsigned char *breaks, int64_t vocab);

/* ---- constraints ---- */

/* A place in a text that a grammar bounds. Before each token, llmws_constraint_allowed gives what may come next, to be
 * put into LlmwsSampling.allowed; after it, llmws_constraint_accept goes on. Where llmws_constraint_must_end, the
 * answer is complete. All tables are reserved by llmws_constraint_open; the next 65536 tokens allocate nothing. They
 * are a row of the plan of sessions of their model while they are open. The constraints of one model are for one
 * thread. */
typedef struct LlmwsConstraint LlmwsConstraint;

/* A grammar in llama.cpp's GBNF (core/grammar.h says what is taken). m stays until the constraint is closed; needs its
 * tokenizer, and prepares its vocabulary on first use (that call must not race). Tokens that end an answer are allowed
 * exactly where the grammar may end, special tokens never. */
LLMWS_API LlmwsConstraint *llmws_constraint_open(LlmwsModel *m, const char *gbnf, size_t n, LlmwsErr *e);
/* The grammar of a JSON schema (draft 2020-12; a keyword that it cannot hold is refused by its name), NUL-terminated;
 * free() it. `what` names the schema in errors. */
LLMWS_API char *llmws_schema_grammar(const char *json, size_t n, const char *what, LlmwsErr *e);
/* The same place once more; the two share their tables and belong to one thread. Constraints of one model are opened,
 * forked and closed by one thread at a time. */
LLMWS_API LlmwsConstraint *llmws_constraint_fork(const LlmwsConstraint *c);
LLMWS_API void llmws_constraint_close(LlmwsConstraint *c);
/* Bit id%64 of word id/64: token id may come next. Valid until the next call with c or a fork of it. Fails where
 * nothing may. */
LLMWS_API const uint64_t *llmws_constraint_allowed(LlmwsConstraint *c, LlmwsErr *e);
/* Refuses a token that is not allowed and stays where it is. */
LLMWS_API bool llmws_constraint_accept(LlmwsConstraint *c, int32_t id, LlmwsErr *e);
/* Back to after the first n tokens, n as llmws_constraint_len told it then. */
LLMWS_API bool llmws_constraint_rewind(LlmwsConstraint *c, size_t n, LlmwsErr *e);
LLMWS_API size_t llmws_constraint_len(const LlmwsConstraint *c);
/* Nothing but the end may follow. */
LLMWS_API bool llmws_constraint_must_end(const LlmwsConstraint *c);
/* Bytes that it and its forks reserve, the vocabulary's included. */
LLMWS_API size_t llmws_constraint_bytes(const LlmwsConstraint *c);

/* ---- session ---- */

typedef struct LlmwsSession LlmwsSession;

typedef struct LlmwsPatch { /* at positions [from, to) of every sequence the named value x becomes mul * x + add * vec
                             */
    const char *name;       /* module name or pattern */
    float mul, add;
    const float *vec; /* width values, or NULL for none; copied */
    size_t n;
    int64_t from, to; /* to < 0: no end */
} LlmwsPatch;

/* What takes long, told between its parts: first with done 0, last with done == total. Returning false stops it with an
 * "interrupted" error. Must not use the session. */
enum {
    LLMWS_PHASE_WEIGHTS, /* bytes of weights read from disk while a session opens; not called when all are in memory */
    LLMWS_PHASE_PROMPT,  /* tokens of one llmws_eval of more than one */
};
typedef bool LlmwsProgressFn(void *ctx, int phase, int64_t done, int64_t total);

typedef struct LlmwsSessionOptions { /* all zero: defaults */
    const char *backend;             /* "auto" or "cpu" */
    const char *isa;                 /* NULL: the best of this CPU; else "ref", "avx2", "avx512", on Arm "neon", ... */
    const char *compute;             /* "auto", "f32", "bf16", "int8" */
    const char *kv_type;             /* "f16" (default), "f32", "bf16", "q8_0" */
    const char *repack;      /* weights laid out anew as single tokens read them fastest, in place of the file's pages:
                                "auto"      after 32 generated tokens and where memory holds them, "now", "off" */
    int threads;             /* 0: one per physical core that this process may use */
    int64_t ctx;             /* tokens of one sequence; 0: the trained length, capped by free memory */
    int64_t chunk;           /* tokens of one prompt step; 0: 512 */
    int64_t parallel;        /* sequences at once; 0: 1 */
    bool all_logits;         /* logits of every token of a step, not only of the last of each sequence */
    const char *const *taps; /* NULL-terminated patterns of values to keep, see llmws_tap */
    const LlmwsPatch *patches;
    size_t n_patches;
    const char *const *adapters; /* LoRA adapters, all of them at once: "PATH" or "PATH:SCALE" of a PEFT directory or a
                                    GGUF file; the weights stay as they are */
    size_t n_adapters;
    LlmwsProgressFn *progress; /* NULL: nobody is told */
    void *progress_ctx;
} LlmwsSessionOptions;

typedef struct LlmwsPlanRow {
    const char *name;   /* class of memory: "weights", "cache", "activations", ... */
    const char *device; /* whose memory it is: "cpu" */
    bool mapped;        /* pages of a file, which the system can drop and read again */
    int64_t bytes;
} LlmwsPlanRow;

typedef struct LlmwsPlan { /* what a session reserves, exactly, and what the program and its tables hold beside it */
    LlmwsPlanRow rows[16];
    size_t n;
    int64_t total_bytes;
    int64_t ctx, chunk, parallel; /* as resolved */
    int threads;
    const char *isa, *compute, *kv_type;
} LlmwsPlan;

/* The plan that llmws_session_open would allocate, without allocating. Fails with "does not fit" as open would. */
LLMWS_API bool llmws_estimate(LlmwsModel *m, const LlmwsSessionOptions *opt, LlmwsPlan *plan, LlmwsErr *e);
/* opt may be NULL. Memory is reserved here once; nothing is allocated while tokens flow. Keeps a reference to m: close
 * s first. */
LLMWS_API LlmwsSession *llmws_session_open(LlmwsModel *m, const LlmwsSessionOptions *opt, LlmwsErr *e);
LLMWS_API void llmws_session_close(LlmwsSession *s);
LLMWS_API void llmws_session_plan(const LlmwsSession *s, LlmwsPlan *plan);

/* Sequences. Ids are small integers; -1 on failure. A fork shares all that is cached so far. */
LLMWS_API int llmws_seq_open(LlmwsSession *s, LlmwsErr *e);
LLMWS_API int llmws_seq_fork(LlmwsSession *s, int seq, LlmwsErr *e);
LLMWS_API void llmws_seq_close(LlmwsSession *s, int seq);
LLMWS_API int64_t llmws_seq_len(const LlmwsSession *s, int seq);
/* The n tokens that a sequence holds, valid until it changes; NULL and 0 for one that is not open. */
LLMWS_API const int32_t *llmws_seq_tokens(const LlmwsSession *s, int seq, size_t *n);
/* Forgets all tokens from position len on. */
LLMWS_API bool llmws_seq_truncate(LlmwsSession *s, int seq, int64_t len, LlmwsErr *e);
/* One sequence to and from a file. A file made with other weights, adapters, KV type, positions or instruction set is
 * refused. */
LLMWS_API bool llmws_seq_save(LlmwsSession *s, int seq, const char *path, LlmwsErr *e);
LLMWS_API bool llmws_seq_load(LlmwsSession *s, int seq, const char *path, LlmwsErr *e);

/* Appends n tokens to a sequence and computes them, chunk by chunk; afterwards llmws_logits(s, seq) are those of the
 * last token. */
LLMWS_API bool llmws_eval(LlmwsSession *s, int seq, const int32_t *ids, size_t n, LlmwsErr *e);

/* The next n tokens of several sequences in one step: token i belongs to seqs[i]; at most `chunk` of them, tokens of
 * one sequence in order. */
LLMWS_API bool llmws_eval_batch(LlmwsSession *s, const int *seqs, const int32_t *ids, size_t n, LlmwsErr *e);

/* Logits [V] after the last evaluated token of seq, valid until the next eval; NULL when the last step had none for it.
 * With all_logits, llmws_logits_row(s, i) are those of token i of the last step. */
LLMWS_API const float *llmws_logits(const LlmwsSession *s, int seq);
LLMWS_API const float *llmws_logits_row(const LlmwsSession *s, size_t i);
/* Draws the next token of seq. The choice depends on (seed, seq's id given by llmws_seq_open order, position) and the
 * logits alone. */
LLMWS_API bool llmws_sample(LlmwsSession *s, int seq, const LlmwsSampling *how, int32_t *id, LlmwsErr *e);

/* Kept values of the last step, in graph order. dims outermost first; rows are the tokens of the step. f32. */
typedef struct LlmwsTap {
    const char *name;
    const float *data;
    int ndim;
    int64_t dims[4];
} LlmwsTap;
LLMWS_API size_t llmws_tap_count(const LlmwsSession *s);
LLMWS_API bool llmws_tap(LlmwsSession *s, size_t i, LlmwsTap *tap);

/* Makes a running llmws_eval or llmws_eval_batch of this session stop with an "interrupted" error: at the next chunk,
 * or inside it where progress is told; what the chunk computed is dropped. Where none runs, the next one stops. Safe in
 * signal handlers. */
LLMWS_API void llmws_interrupt(LlmwsSession *s);
/* Forgets an interrupt that stopped nothing, so that it does not stop what begins now. */
LLMWS_API void llmws_interrupt_clear(LlmwsSession *s);

/* ---- training ---- */

/* A training: a model's weights in f32, their gradients, the optimiser, and the data's next sample. One thread may use
 * it at a time; several threads compute. The same options on the same data give the same bits, in one go or continued
 * from a checkpoint. */
typedef struct LlmwsTrain LlmwsTrain;

/* A low-rank adapter (Hu et al. 2021) that is trained while the weights stay as they are, in any dtype. */
typedef struct LlmwsLora {
    int64_t rank;        /* 0: none, the weights are trained */
    double alpha;        /* the scale is alpha / rank, */
    bool root;           /* or alpha / sqrt(rank) (rsLoRA) */
    const char *targets; /* "q_proj+v_proj", "all-linear"; NULL: the family's */
    double dropout;      /* of what the adapter reads */
} LlmwsLora;

typedef struct LlmwsTrainOptions {
    const char *backend, *isa; /* as in LlmwsSessionOptions */
    int threads;
    const char *const *data; /* [n_data] files or folders */
    size_t n_data;
    int64_t batch_size, seq_len; /* of a micro-step: rows, and tokens of each */
    int64_t grad_accum;          /* micro-steps of an update */
    int64_t steps;               /* updates; 0: as many as `epochs` come to */
    double epochs;               /* times that all data are seen */
    const char *precision;       /* "fp32" or "bf16": of products; weights and sums are f32 */
    const char *attention;       /* "sdpa": in one pass, or "manual": scores and weights are values of their own */
    double dropout;              /* part of the values that falls out, in [0, 1) */
    bool grad_checkpoint;        /* blocks keep their input alone and are computed again for their gradients */
    const char *optimizer; /* "adamw", "sgd" (decay is added to the gradient), "muon" (matrices between embeddings and
                              head by it, other weights by AdamW); NULL: adamw */
    double lr, beta1, beta2, eps, weight_decay;
    double momentum;         /* of sgd and muon, below 1 */
    double adamw_lr;         /* of AdamW beside muon; 0: lr */
    const char *adjust_lr;   /* of muon, as torch's adjust_lr_fn: "original" or NULL, "match_rms_adamw" */
    double clip;             /* norm that all gradients together may have; 0: any */
    const char *lr_schedule; /* "constant", "linear", "cosine", "wsd" */
    int64_t warmup;          /* updates */
    const char *no_decay;    /* names of weights without decay; NULL: norms and biases; "none": every one decays */
    bool no_pack;            /* a sample has rows of its own */
    bool train_on_prompt;    /* loss on all of a sample, not on its answers alone */
    uint64_t seed;
    LlmwsLora lora;
    bool skip_bad;    /* lines that are no sample are told to the model's log and passed over; else an error */
    const char *eval; /* file or folder for llmws_train_eval; NULL: none, */
    double eval_part; /* or this part of the data, held out sample by sample by the seed; 0: none */
} LlmwsTrainOptions;

typedef struct LlmwsTrainStep { /* one update */
    int64_t step;               /* from 1 on */
    double loss;                /* mean of all labels */
    double lr, grad_norm;       /* norm before clipping */
    int64_t tokens, labels;
    int64_t epoch; /* of the data, from 0 */
} LlmwsTrainStep;

typedef struct LlmwsTrainEval { /* of the data that are not learned */
    int64_t step;               /* updates that were done */
    double loss;                /* mean of all labels */
    int64_t tokens, labels;
    bool best; /* lower than all before, in the runs too that were continued */
} LlmwsTrainEval;

/* The plan that llmws_train_open would allocate, without allocating or reading data. */
LLMWS_API bool llmws_train_estimate(LlmwsModel *m, const LlmwsTrainOptions *o, LlmwsPlan *plan, LlmwsErr *e);
/* m stays until the training is closed. */
LLMWS_API LlmwsTrain *llmws_train_open(LlmwsModel *m, const LlmwsTrainOptions *o, LlmwsErr *e);
LLMWS_API void llmws_train_close(LlmwsTrain *t);
LLMWS_API void llmws_train_plan(const LlmwsTrain *t, LlmwsPlan *plan);
LLMWS_API int64_t llmws_train_steps(const LlmwsTrain *t);  /* of the whole run */
LLMWS_API int64_t llmws_train_at(const LlmwsTrain *t);     /* updates that are done */
LLMWS_API int64_t llmws_train_params(const LlmwsTrain *t); /* elements that are trained */
/* The next update. A loss or norm that is no finite number is an ERR_CHECK that names the data. Where it fails, weights
 * and the place in the data are those before. */
LLMWS_API bool llmws_train_step(LlmwsTrain *t, LlmwsTrainStep *out, LlmwsErr *e);
typedef struct LlmwsTrainSamples { /* of the data that updates came from, over all epochs */
    int64_t used;
    int64_t truncated; /* of them: completions and conversations that lost their end to the row's length */
    int64_t unlearned; /* left out: within a row nothing of them is learned */
    int64_t bad;       /* lines that were passed over */
} LlmwsTrainSamples;
LLMWS_API void llmws_train_samples(const LlmwsTrain *t, LlmwsTrainSamples *out);
/* The loss of all of the eval data, without gradients and dropout. go_on, which may be NULL, is told after every batch
 * how many tokens are done; where it returns false, the evaluation ends as an "interrupted" error and counts for
 * nothing. A loss that is no finite number is an ERR_CHECK. */
LLMWS_API bool llmws_train_eval(LlmwsTrain *t, LlmwsTrainEval *out, bool (*go_on)(void *ctx, int64_t tokens), void *ctx,
                                LlmwsErr *e);
/* Steps of the last and of the best evaluation, which checkpoints remember; -1: none. */
LLMWS_API int64_t llmws_train_evaluated(const LlmwsTrain *t);
LLMWS_API int64_t llmws_train_best(const LlmwsTrain *t);
/* The first n samples as a training would see them: ids, labels and how they share rows; json: each an object on a
 * line. free() it. */
LLMWS_API bool llmws_train_preview(LlmwsModel *m, const LlmwsTrainOptions *o, int64_t n, bool json, char **text,
                                   LlmwsErr *e);
typedef struct LlmwsTrainFile { /* of the data */
    const char *path;           /* NULL past the last */
    int64_t bytes;
    char sha256[65];
} LlmwsTrainFile;
/* File i of the data, and then of the data to evaluate; reads all of it. */
LLMWS_API bool llmws_train_file(LlmwsTrain *t, size_t i, LlmwsTrainFile *out, LlmwsErr *e);
/* Writes a checkpoint: a Hugging Face directory that did not exist, of f32 weights, or of an adapter as PEFT has it,
 * with a file trainer_state; it appears whole or not at all. mark: a number of the caller's, given back by
 * llmws_train_load. */
LLMWS_API bool llmws_train_save(LlmwsTrain *t, const char *dir, int64_t mark, LlmwsErr *e);
/* Continues a checkpoint; m must have been opened from that directory, or with an adapter from what the run began with;
 * the options must be those of its run. */
LLMWS_API bool llmws_train_load(LlmwsTrain *t, const char *dir, int64_t *mark, LlmwsErr *e);

/* Named f32 arrays to a safetensors file, written beside and renamed. */
typedef struct LlmwsArray {
    const char *name;
    const float *data;
    int ndim;
    int64_t dims[4];
} LlmwsArray;
LLMWS_API bool llmws_save_arrays(const char *path, const LlmwsArray *arrays, size_t n, LlmwsErr *e);

#ifdef __cplusplus
}
#endif
#endif
