/* The normalizer, pre_tokenizer, post_processor and decoder of a tokenizer.json -> the steps of a TokSpec. A kind, or a
 * setting of one, that is not known is an error naming it. Source: the serialisation of the tokenizers package. */
#include "formats/hf_tok.h"

#include <stdio.h>

#include "formats/formats.h"

typedef struct Parts {
    TokSpec *spec;
    Err *e;
    bool byte_level; /* the pre-tokenizer ByteLevel was there */
} Parts;

static bool get_str(const Value *v, const char *key, Str *out, Err *e) {
    return value_as_str(value_get(v, key), key, out, e);
}
static bool get_bool(const Value *v, const char *key, bool *out, Err *e) {
    return value_as_bool(value_get(v, key), key, out, e);
}

/* A text of the tree, copied: the tree's strings live where the spec does, but may end with the document. */
static Str keep(Parts *p, Str s) { return (Str){arena_strn(&p->spec->arena, s.s, s.n), s.n}; }

typedef bool Take(Parts *p, const Value *v);
typedef struct Kind {
    const char *type;
    Take *take;
} Kind;

static bool unknown(Parts *p, const char *part, Str type, const Kind *kinds) {
    Buf known = {0};
    for (; kinds->type; kinds++) buf_printf(&known, "%s%s", known.n ? ", " : "", kinds->type);
    err_set(p->e, ERR_INPUT, "%s type '%.*s' is not supported (known: %s)", part, STR_ARG(type), known.s);
    buf_release(&known);
    return false;
}

static bool take_one(Parts *p, const char *part, const Value *v, const Kind *kinds) {
    Str type = {"", 0};
    if (v->kind != VALUE_OBJECT) return err_set(p->e, ERR_INPUT, "'%s' is no object", part);
    TRY(get_str(v, "type", &type, p->e));
    for (const Kind *k = kinds; k->type; k++)
        if (str_is(type, k->type)) return k->take(p, v);
    return unknown(p, part, type, kinds);
}

/* v, or each member of its list where it is a Sequence. */
static bool take_all(Parts *p, const char *part, const char *list, const Value *v, const Kind *kinds) {
    Str type = {"", 0};
    if (!v || v->kind == VALUE_NULL) return true;
    if (v->kind == VALUE_OBJECT) TRY(get_str(v, "type", &type, p->e));
    if (!str_is(type, "Sequence")) return take_one(p, part, v, kinds);
    const Value *items = value_get(v, list);
    if (!items || items->kind != VALUE_ARRAY) return err_set(p->e, ERR_INPUT, "%s has no list '%s'", part, list);
    for (size_t i = 0; i < items->array.n; i++) {
        const Value *item = &items->array.items[i];
        if (item->kind == VALUE_OBJECT && value_get(item, list))
            TRY(take_all(p, part, list, item, kinds)); /* a Sequence in a Sequence; JSON's depth is bounded */
        else
            TRY(take_one(p, part, item, kinds));
    }
    return true;
}

static bool too_many(Parts *p, const char *what) {
    return err_set(p->e, ERR_INPUT, "more than %d %s are not supported", TOK_STEPS_MAX, what);
}

/* {"String": ..} or {"Regex": ..}. */
static bool get_pattern(Parts *p, const Value *v, Str *text, const char **pattern) {
    const Value *of = value_get(v, "pattern");
    Str regex = {"", 0};
    *text = STR("");
    TRY(get_str(of, "String", text, p->e) && get_str(of, "Regex", &regex, p->e));
    *text = keep(p, *text);
    if (!text->n && !regex.n) return err_set(p->e, ERR_INPUT, "a pattern is neither a String nor a Regex");
    return !regex.n || hf_pattern(regex, &p->spec->arena, pattern, p->e);
}

/* ---- normalizers ---- */

static bool add_norm(Parts *p, NormSpec norm) {
    if (p->spec->n_norms == TOK_STEPS_MAX) return too_many(p, "normalizers");
    p->spec->norms[p->spec->n_norms++] = norm;
    return true;
}

static bool norm_nfc(Parts *p, const Value *v) { return (void)v, add_norm(p, (NormSpec){.kind = NORM_NFC}); }
static bool norm_nfd(Parts *p, const Value *v) { return (void)v, add_norm(p, (NormSpec){.kind = NORM_NFD}); }
static bool norm_nfkc(Parts *p, const Value *v) { return (void)v, add_norm(p, (NormSpec){.kind = NORM_NFKC}); }
static bool norm_nfkd(Parts *p, const Value *v) { return (void)v, add_norm(p, (NormSpec){.kind = NORM_NFKD}); }
static bool norm_nmt(Parts *p, const Value *v) { return (void)v, add_norm(p, (NormSpec){.kind = NORM_NMT}); }
static bool norm_lower(Parts *p, const Value *v) { return (void)v, add_norm(p, (NormSpec){.kind = NORM_LOWERCASE}); }
static bool norm_accents(Parts *p, const Value *v) {
    return (void)v, add_norm(p, (NormSpec){.kind = NORM_STRIP_ACCENTS});
}

static bool norm_strip(Parts *p, const Value *v) {
    NormSpec n = {.kind = NORM_STRIP, .left = true, .right = true};
    return get_bool(v, "strip_left", &n.left, p->e) && get_bool(v, "strip_right", &n.right, p->e) && add_norm(p, n);
}

static bool norm_prepend(Parts *p, const Value *v) {
    NormSpec n = {.kind = NORM_PREPEND, .text = {"", 0}};
    TRY(get_str(v, "prepend", &n.text, p->e));
    n.text = keep(p, n.text);
    return add_norm(p, n);
}

static bool norm_replace(Parts *p, const Value *v) {
    NormSpec n = {.kind = NORM_REPLACE, .text = {"", 0}};
    TRY(get_pattern(p, v, &n.from, &n.pattern) && get_str(v, "content", &n.text, p->e));
    n.text = keep(p, n.text);
    return add_norm(p, n);
}

static int base64_digit(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

bool base64_decode(Str s, Arena *a, Str *out) {
    char *to = arena_alloc(a, s.n / 4 * 3 + 3, 1);
    uint32_t bits = 0;
    size_t n = 0;
    int have = 0;
    while (s.n && s.s[s.n - 1] == '=') s.n--;
    for (size_t i = 0; i < s.n; i++) {
        int digit = base64_digit(s.s[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        if ((have += 6) < 8) continue;
        have -= 8;
        to[n++] = (char)(bits >> have);
    }
    *out = (Str){to, n};
    return s.n % 4 != 1;
}

static bool norm_precompiled(Parts *p, const Value *v) {
    NormSpec n = {.kind = NORM_CHARSMAP};
    Str text = {"", 0};
    TRY(get_str(v, "precompiled_charsmap", &text, p->e));
    if (!base64_decode(text, &p->spec->arena, &n.charsmap))
        return err_set(p->e, ERR_INPUT, "'precompiled_charsmap' is not base64");
    return !n.charsmap.n || add_norm(p, n);
}

static const Kind normalizers[] = {
    {"NFC", norm_nfc},
    {"NFD", norm_nfd},
    {"NFKC", norm_nfkc},
    {"NFKD", norm_nfkd},
    {"Nmt", norm_nmt},
    {"Lowercase", norm_lower},
    {"Strip", norm_strip},
    {"Prepend", norm_prepend},
    {"StripAccents", norm_accents},
    {"Replace", norm_replace},
    {"Precompiled", norm_precompiled},
    {NULL, NULL},
};

/* ---- pre-tokenizers ---- */

static bool add_split(Parts *p, SplitSpec split) {
    if (p->byte_level) return err_set(p->e, ERR_INPUT, "a pre_tokenizer after ByteLevel is not supported");
    if (p->spec->n_splits == TOK_STEPS_MAX) return too_many(p, "pre_tokenizers");
    p->spec->splits[p->spec->n_splits++] = split;
    return true;
}

static bool get_behavior(Parts *p, const Value *v, SplitBehavior *out) {
    static const struct {
        const char *name;
        SplitBehavior behavior;
    } rows[] = {{"Isolated", SPLIT_ISOLATED},
                {"Removed", SPLIT_REMOVED},
                {"MergedWithPrevious", SPLIT_WITH_PREVIOUS},
                {"MergedWithNext", SPLIT_WITH_NEXT},
                {"Contiguous", SPLIT_CONTIGUOUS}};
    Str name = {"", 0};
    TRY(get_str(v, "behavior", &name, p->e));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_is(name, rows[i].name)) return *out = rows[i].behavior, true;
    return err_set(p->e, ERR_INPUT, "pre_tokenizer behavior '%.*s' is not known", STR_ARG(name));
}

static bool split_split(Parts *p, const Value *v) {
    SplitSpec s = {.kind = SPLIT_REGEX};
    TRY(get_pattern(p, v, &s.text, &s.pattern) && get_behavior(p, v, &s.behavior) &&
        get_bool(v, "invert", &s.invert, p->e));
    if (s.text.n) s.kind = SPLIT_TEXT;
    return add_split(p, s);
}

static bool split_digits(Parts *p, const Value *v) {
    bool each = false;
    TRY(get_bool(v, "individual_digits", &each, p->e));
    return add_split(p, (SplitSpec){.pattern = "\\p{N}", .behavior = each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS});
}

static bool split_byte_level(Parts *p, const Value *v) {
    bool prefix_space = true, use_regex = true;
    TRY(get_bool(v, "add_prefix_space", &prefix_space, p->e) && get_bool(v, "use_regex", &use_regex, p->e));
    if (prefix_space) TRY(add_split(p, (SplitSpec){.kind = SPLIT_PREPEND, .text = STR(" ")}));
    if (use_regex) TRY(add_split(p, (SplitSpec){.kind = SPLIT_REGEX, .pattern = SPLIT_GPT2}));
    if (p->byte_level) return err_set(p->e, ERR_INPUT, "a pre_tokenizer after ByteLevel is not supported");
    p->byte_level = true;
    p->spec->symbols = SYM_ALPHABET;
    return true;
}

/* The mark and the scheme of Metaspace, as pre-tokenizer and as decoder; old files have add_prefix_space. */
static bool get_metaspace(Parts *p, const Value *v, Str *mark, Str *scheme) {
    bool prefix = true;
    *mark = STR("\xe2\x96\x81");
    *scheme = STR("");
    TRY(get_str(v, "replacement", mark, p->e) && get_bool(v, "add_prefix_space", &prefix, p->e) &&
        get_str(v, "prepend_scheme", scheme, p->e));
    *mark = keep(p, *mark);
    if (!mark->n) return err_set(p->e, ERR_INPUT, "Metaspace has an empty 'replacement'");
    if (!scheme->n) *scheme = prefix ? STR("always") : STR("never");
    if (str_is(*scheme, "always") || str_is(*scheme, "first") || str_is(*scheme, "never")) return true;
    return err_set(p->e, ERR_INPUT, "Metaspace's prepend_scheme '%.*s' is not known", STR_ARG(*scheme));
}

static bool split_metaspace(Parts *p, const Value *v) {
    Str mark, scheme;
    bool split = true;
    TRY(get_metaspace(p, v, &mark, &scheme) && get_bool(v, "split", &split, p->e));
    TRY(add_split(p, (SplitSpec){.kind = SPLIT_REPLACE, .text = STR(" "), .with = mark}));
    if (!str_is(scheme, "never"))
        TRY(add_split(p, (SplitSpec){.kind = SPLIT_PREPEND, .text = mark, .first = str_is(scheme, "first")}));
    return !split || add_split(p, (SplitSpec){.kind = SPLIT_TEXT, .text = mark, .behavior = SPLIT_WITH_NEXT});
}

#define WORD_CHARS "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}"

static bool split_whitespace(Parts *p, const Value *v) {
    (void)v;
    return add_split(p, (SplitSpec){.pattern = "[" WORD_CHARS "]+|[^" WORD_CHARS SPLIT_WS "]+",
                                    .behavior = SPLIT_REMOVED,
                                    .invert = true});
}

static bool split_on_whitespace(Parts *p, const Value *v) {
    (void)v;
    return add_split(p, (SplitSpec){.pattern = SPLIT_WS, .behavior = SPLIT_REMOVED});
}

#define PUNCTUATION "[!-/:-@\\[-`{-~\\p{P}]"

static bool split_punctuation(Parts *p, const Value *v) {
    SplitSpec s = {.pattern = PUNCTUATION};
    if (value_get(v, "behavior")) TRY(get_behavior(p, v, &s.behavior));
    return add_split(p, s);
}

static bool split_bert(Parts *p, const Value *v) {
    return split_on_whitespace(p, v) && add_split(p, (SplitSpec){.pattern = PUNCTUATION});
}

static bool split_delimiter(Parts *p, const Value *v) {
    SplitSpec s = {.kind = SPLIT_TEXT, .behavior = SPLIT_REMOVED, .text = {"", 0}};
    TRY(get_str(v, "delimiter", &s.text, p->e));
    s.text = keep(p, s.text);
    return s.text.n ? add_split(p, s) : err_set(p->e, ERR_INPUT, "pre_tokenizer CharDelimiterSplit has no 'delimiter'");
}

static const Kind pre_tokenizers[] = {
    {"Split", split_split},
    {"Digits", split_digits},
    {"ByteLevel", split_byte_level},
    {"Metaspace", split_metaspace},
    {"Whitespace", split_whitespace},
    {"WhitespaceSplit", split_on_whitespace},
    {"Punctuation", split_punctuation},
    {"BertPreTokenizer", split_bert},
    {"CharDelimiterSplit", split_delimiter},
    {NULL, NULL},
};

/* ---- post-processors ---- */

static bool add_around(Parts *p, int64_t id, Str name, bool after) {
    TokSpec *spec = p->spec;
    int *n = after ? &spec->n_suffix : &spec->n_prefix;
    if (id < 0 || id >= spec->n_vocab)
        return err_set(p->e, ERR_INPUT, "post_processor's token '%.*s' has an id outside the vocabulary of %d tokens",
                       STR_ARG(name), spec->n_vocab);
    if (*n == TOK_AROUND_MAX)
        return err_set(p->e, ERR_INPUT, "more than %d tokens before or after the text are not supported",
                       TOK_AROUND_MAX);
    (after ? spec->suffix : spec->prefix)[(*n)++] = (int32_t)id;
    return true;
}

static bool add_template_token(Parts *p, const Value *v, const Value *piece, bool after) {
    Str name = {"", 0};
    TRY(get_str(piece, "id", &name, p->e));
    const Value *known = value_get(v, "special_tokens"), *ids = NULL;
    for (size_t i = 0; known && known->kind == VALUE_OBJECT && i < known->object.n; i++)
        if (str_eq(known->object.keys[i], name)) ids = value_get(&known->object.items[i], "ids");
    if (value_count(ids) == 0)
        return err_set(p->e, ERR_INPUT, "post_processor's token '%.*s' has no ids", STR_ARG(name));
    for (size_t i = 0; i < value_count(ids); i++) {
        Value id = value_item(ids, i);
        TRY(add_around(p, id.kind == VALUE_INT ? id.i : -1, name, after));
    }
    return true;
}

static bool post_template(Parts *p, const Value *v) {
    const Value *single = value_get(v, "single");
    bool text = false;
    if (p->spec->n_prefix || p->spec->n_suffix)
        return err_set(p->e, ERR_INPUT, "more than one post_processor that adds tokens is not supported");
    for (size_t i = 0; i < value_count(single); i++) {
        Value item = value_item(single, i);
        const Value *token = value_get(&item, "SpecialToken"), *sequence = value_get(&item, "Sequence");
        Str name = {"", 0};
        if (token) {
            TRY(add_template_token(p, v, token, text));
            continue;
        }
        if (sequence) TRY(get_str(sequence, "id", &name, p->e));
        if (!str_is(name, "A") || text)
            return err_set(p->e, ERR_INPUT, "post_processor TemplateProcessing must name the text 'A' once");
        text = true;
    }
    return text || err_set(p->e, ERR_INPUT, "post_processor TemplateProcessing does not name the text 'A'");
}

/* ["[SEP]", 102] */
static bool add_pair(Parts *p, const Value *v, const char *key, bool after) {
    const Value *pair = value_get(v, key);
    Value name = value_count(pair) == 2 ? value_item(pair, 0) : (Value){.kind = VALUE_NULL};
    if (name.kind != VALUE_STR || value_item(pair, 1).kind != VALUE_INT)
        return err_set(p->e, ERR_INPUT, "post_processor's '%s' is not a text and an id", key);
    return add_around(p, value_item(pair, 1).i, name.s, after);
}

static bool post_bert(Parts *p, const Value *v) {
    if (p->spec->n_prefix || p->spec->n_suffix)
        return err_set(p->e, ERR_INPUT, "more than one post_processor that adds tokens is not supported");
    return add_pair(p, v, "cls", false) && add_pair(p, v, "sep", true);
}

static bool post_byte_level(Parts *p, const Value *v) {
    bool trim = true;
    TRY(get_bool(v, "trim_offsets", &trim, p->e));
    if (!trim) return true;
    if (p->spec->trim_offsets)
        return err_set(p->e, ERR_INPUT, "more than one post_processor that trims offsets is not supported");
    p->spec->trim_offsets = p->spec->trim_keeps_first = true;
    return get_bool(v, "add_prefix_space", &p->spec->trim_keeps_first, p->e);
}

static bool post_roberta(Parts *p, const Value *v) { return post_byte_level(p, v) && post_bert(p, v); }

static const Kind post_processors[] = {
    {"TemplateProcessing", post_template},
    {"ByteLevel", post_byte_level},
    {"BertProcessing", post_bert},
    {"RobertaProcessing", post_roberta},
    {NULL, NULL},
};

/* ---- decoders ---- */

static bool add_decode(Parts *p, DecodeSpec decode) {
    if (p->spec->n_decodes == TOK_STEPS_MAX) return too_many(p, "decoders");
    p->spec->decodes[p->spec->n_decodes++] = decode;
    return true;
}

static bool decode_byte_level(Parts *p, const Value *v) {
    return (void)v, add_decode(p, (DecodeSpec){.kind = DECODE_ALPHABET});
}
static bool decode_fallback(Parts *p, const Value *v) {
    return (void)v, add_decode(p, (DecodeSpec){.kind = DECODE_BYTE_FALLBACK});
}
static bool decode_fuse(Parts *p, const Value *v) { return (void)v, add_decode(p, (DecodeSpec){.kind = DECODE_FUSE}); }

static bool decode_replace(Parts *p, const Value *v) {
    DecodeSpec d = {.kind = DECODE_REPLACE, .text = {"", 0}};
    const char *pattern = NULL;
    TRY(get_pattern(p, v, &d.from, &pattern) && get_str(v, "content", &d.text, p->e));
    if (pattern) return err_set(p->e, ERR_INPUT, "decoder Replace is supported with a String pattern only");
    d.text = keep(p, d.text);
    return add_decode(p, d);
}

static bool decode_strip(Parts *p, const Value *v) {
    DecodeSpec d = {.kind = DECODE_STRIP, .from = {"", 0}};
    int64_t start = 0, stop = 0;
    TRY(get_str(v, "content", &d.from, p->e) && value_as_int(value_get(v, "start"), "start", &start, p->e) &&
        value_as_int(value_get(v, "stop"), "stop", &stop, p->e));
    if (start < 0 || stop < 0) return err_set(p->e, ERR_INPUT, "decoder Strip has a negative count");
    d.from = keep(p, d.from);
    d.start = (int)MIN(start, INT32_MAX);
    d.stop = (int)MIN(stop, INT32_MAX);
    return add_decode(p, d);
}

static bool decode_metaspace(Parts *p, const Value *v) {
    DecodeSpec d = {.kind = DECODE_METASPACE};
    Str scheme;
    TRY(get_metaspace(p, v, &d.from, &scheme));
    d.start = !str_is(scheme, "never");
    return add_decode(p, d);
}

static const Kind decoders[] = {
    {"ByteLevel", decode_byte_level},
    {"ByteFallback", decode_fallback},
    {"Fuse", decode_fuse},
    {"Replace", decode_replace},
    {"Strip", decode_strip},
    {"Metaspace", decode_metaspace},
    {NULL, NULL},
};

bool hf_tok_parts(const HfTokParts *parts, TokSpec *spec, Err *e) {
    Parts p = {.spec = spec, .e = e};
    TRY(take_all(&p, "normalizer", "normalizers", parts->normalizer, normalizers) &&
        take_all(&p, "pre_tokenizer", "pretokenizers", parts->pre_tokenizer, pre_tokenizers) &&
        take_all(&p, "post_processor", "processors", parts->post_processor, post_processors) &&
        take_all(&p, "decoder", "decoders", parts->decoder, decoders));
    bool none = !parts->decoder || parts->decoder->kind == VALUE_NULL;
    return !none || add_decode(&p, (DecodeSpec){.kind = DECODE_JOIN});
}
