/* Parts of the tokenizer readers that are not for others. */
#ifndef FORMATS_HF_TOK_H
#define FORMATS_HF_TOK_H

#include "core/tok_spec.h"
#include "core/value.h"

/* The splits of GPT-2 and of Llama 3 in PCRE2 syntax. \s would take U+180E too, which is no white space since Unicode
 * 6.3; hence the property. Sources: encoder.py of OpenAI's gpt-2; tokenizer.json of Meta-Llama-3-8B. */
#define SPLIT_WS "\\p{White_Space}"
#define SPLIT_GPT2                                                                                                     \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPLIT_WS "\\p{L}\\p{N}]+|" SPLIT_WS                             \
    "+(?!\\P{White_Space})|" SPLIT_WS "+"
#define SPLIT_LLAMA3                                                                                                   \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^" SPLIT_WS                             \
    "\\p{L}\\p{N}]+[\\r\\n]*|" SPLIT_WS "*[\\r\\n]+|" SPLIT_WS "+(?!\\P{White_Space})|" SPLIT_WS "+"

/* The splits of other families. Sources: tokenizer.json of Qwen2-7B; tekken.json of Mistral-Nemo; cl100k_base and
 * o200k_base of tiktoken. */
#define SPLIT_QWEN2                                                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^" SPLIT_WS                                  \
    "\\p{L}\\p{N}]+[\\r\\n]*|" SPLIT_WS "*[\\r\\n]+|" SPLIT_WS "+(?!\\P{White_Space})|" SPLIT_WS "+"
#define SPLIT_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPLIT_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPLIT_TAIL(numbers)                                                                                            \
    numbers "| ?[^" SPLIT_WS "\\p{L}\\p{N}]+[\\r\\n/]*|" SPLIT_WS "*[\\r\\n]+|" SPLIT_WS                               \
            "+(?!\\P{White_Space})|" SPLIT_WS "+"
#define SPLIT_TEKKEN                                                                                                   \
    "[^\\r\\n\\p{L}\\p{N}]?" SPLIT_UPPER "*" SPLIT_LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" SPLIT_UPPER "+" SPLIT_LOWER        \
    "*|" SPLIT_TAIL("\\p{N}")
#define SPLIT_GPT4O                                                                                                    \
    "[^\\r\\n\\p{L}\\p{N}]?" SPLIT_UPPER "*" SPLIT_LOWER                                                               \
    "+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?" SPLIT_UPPER "+" SPLIT_LOWER                                \
    "*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" SPLIT_TAIL("\\p{N}{1,3}")

/* A pattern of tokenizer.json, which is Oniguruma's Ruby syntax, as PCRE2 syntax that means the same. What the two read
 * differently and is not rewritten here is an error that names it. The result lives in the arena. */
bool hf_pattern(Str onig, Arena *a, const char **pcre, Err *e);

/* False where s is no base64. */
bool base64_decode(Str s, Arena *a, Str *out);

/* The small parts of a tokenizer.json, null where it has none, put to a spec that has its vocabulary. */
typedef struct HfTokParts {
    const Value *normalizer, *pre_tokenizer, *post_processor, *decoder;
} HfTokParts;
bool hf_tok_parts(const HfTokParts *parts, TokSpec *spec, Err *e);

/* What tokenizer_config.json and chat_template.jinja beside a tokenizer.json add to its spec. config may be NULL or
 * null; jinja has n == 0 where there is none. Copies what it keeps. */
bool hf_tok_config(const Value *config, Str jinja, TokSpec *spec, Err *e);

/* The bytes of a tokenizer.model, or of a tekken.json; what is kept is copied. *spec is empty after a failure. */
bool spm_tok_spec_parse(Str file, TokSpec *spec, Err *e);
bool tekken_tok_spec_parse(Str file, TokSpec *spec, Err *e);

/* "byte-level BPE, 49152 tokens", in the spec's arena. */
const char *tok_spec_kind(TokSpec *spec);

/* Chat templates: the value of "chat_template" in tokenizer_config.json (a text, or a list of {"name", "template"}),
 * the keys tokenizer.chat_template[.NAME] of GGUF metadata, or the files NAME.jinja of a directory, which need not
 * exist; without `keep` these replace the ones that the spec has. Names must not repeat; what is kept is copied. */
bool chat_texts_put(TokSpec *spec, Str name, Str text, Err *e);
bool chat_texts_config(const Value *v, TokSpec *spec, Err *e);
bool chat_texts_gguf(const Value *meta, TokSpec *spec, Err *e);
bool chat_texts_dir(const char *dir, bool keep, TokSpec *spec, Err *e);

/* The value of tokenizer.ggml.pre that stands for the spec's splits and normalizers; NULL: none of those known does. */
const char *gguf_pre_of(const TokSpec *spec);
/* Appends the values of tokenizer.ggml.pre that are known, comma separated. */
void gguf_pre_names(Buf *out);
/* Flags of added tokens that GGUF has no words for, and the keys under which llmws lists the ids that have them. */
enum { ADDED_FLAGS = 4 };
extern const struct AddedFlag {
    const char *key;
    size_t at; /* of the bool in AddedToken */
} added_flags[ADDED_FLAGS];
/* Lists the merges that a spec with merge_by_text goes by, and the other way round: gives every token the score that
 * makes merge_by_text go by the list. */
void tok_merges(TokSpec *spec);
void tok_scores(TokSpec *spec);

/* The id that the vocabulary or the added tokens give a text; -1: none. Looks at every token. */
int32_t tok_spec_find(const TokSpec *spec, Str text);

#endif
