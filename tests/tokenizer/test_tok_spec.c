/* Readers of tokenizers: what they refuse, and in which words; GGUF's arrays against the tokenizer.json they came from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats/formats.h"
#include "formats/hf_tok.h"
#include "formats/json.h"
#include "tokenizer/tokenizer.h"

static Err err;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if (!(call)) fail_msg("%s", err.msg);                                                                          \
    } while (0)

/* Documents here are written with ' for ". */
static Str quoted(const char *text, Arena *a) {
    char *s = arena_strn(a, text, strlen(text));
    for (char *c = s; *c; c++)
        if (*c == '\'') *c = '"';
    return str_of(s);
}

/* Parses, compiles and uses a document; false with err where it is refused. */
static bool try_document(Str json) {
    TokSpec spec;
    Tokenizer *t = NULL;
    TokenList out = {0};
    Buf bytes = {0};
    err = (Err){0};
    bool ok = hf_tok_spec_parse(json, &spec, &err);
    if (!ok) assert_null(spec.arena.head);
    if (ok && (ok = tokenizer_new(&spec, &t, &err))) {
        ok = tokenizer_encode(t, STR("ab <x>a b12\xff"), LLMWS_TOK_PARSE_SPECIAL | LLMWS_TOK_ADD_SPECIAL, &out, &err);
        for (size_t i = 0; i < out.n; i++) assert_true(tokenizer_token_bytes(t, out.ids[i], true, &bytes));
    }
    if (!ok) {
        assert_int_equal(err.code, ERR_INPUT);
        assert_true(strlen(err.msg) > 10 && !strchr(err.msg, '\n'));
    }
    tokenizer_free(t);
    tok_spec_release(&spec);
    token_list_release(&out);
    buf_release(&bytes);
    return ok;
}

#define BYTES           "'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':false}"
#define VOCAB           "'vocab':{'a':0,'b':1,'ab':2}"
#define MERGES          "'merges':['a b']"
#define MODEL           "'model':{'type':'BPE'," VOCAB "," MERGES "}"
#define ADDED(fields)   "{'added_tokens':[{" fields "}]," BYTES "," MODEL "}"
#define POST(value)     "{'post_processor':" value "," BYTES "," MODEL "}"
#define PRE(value)      "{'pre_tokenizer':" value "," MODEL "}"
#define SEQUENCE(items) PRE("{'type':'Sequence','pretokenizers':[" items "]}")
#define OTHER(model)    "{" BYTES ",'model':{" model "}}"
#define TEMPLATE(single)                                                                                               \
    POST("{'type':'TemplateProcessing','single':[" single                                                              \
         "],'special_tokens':{'s':{'id':'s','ids':[1],'tokens':['b']},"                                                \
         "'big':{'id':'big','ids':[9]}}}")
#define TEXT_A  "{'Sequence':{'id':'A','type_id':0}}"
#define TOKEN_S "{'SpecialToken':{'id':'s','type_id':0}}"

static void test_good(void **state) {
    (void)state;
    static const char *const good[] = {
        "{" BYTES "," MODEL "}",
        "{" MODEL "," BYTES ",'decoder':{'type':'ByteLevel'},'normalizer':null,'version':'1.0','padding':{'x':[1]}}",
        OTHER(VOCAB "," MERGES
                    ",'dropout':0.0,'unk_token':null,'continuing_subword_prefix':'','end_of_word_suffix':''"),
        OTHER("'type':'BPE'," VOCAB ",'merges':[['a','b']]"),
        OTHER("'type':'BPE'," VOCAB ",'merges':['#version: 0.2','a b']"),
        OTHER("'type':'BPE','vocab':{'a':5},'merges':[]"),
        OTHER("'type':'BPE','unk_token':'ab'," VOCAB "," MERGES),
        ADDED("'id':3,'content':'<x>','special':true"),
        ADDED("'id':0,'content':'a'"),
        ADDED("'id':7,'content':''"),
        SEQUENCE("{'type':'Digits','individual_digits':false},{'type':'ByteLevel','add_prefix_space':false}"),
        TEMPLATE(TOKEN_S "," TEXT_A "," TOKEN_S),
        "{'normalizer':{'type':'Sequence','normalizers':[]}," BYTES "," MODEL "}",
    };
    Arena a = {0};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!try_document(quoted(good[i], &a))) fail_msg("%s\n%s", good[i], err.msg);
    arena_release(&a);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *says;
    } rows[] = {
        {"", "invalid JSON"},
        {"[]", "no JSON object"},
        {"{}", "no 'model'"},
        {"{'model':3}", "'model' is no object"},
        {"{" MODEL "," MODEL "}", "key 'model' stands twice"},
        {"{" BYTES "," MODEL "} x", "follows the end"},
        {OTHER("'type':'Unigram','vocab':[['a',-1.5]]"), "unigram model without an unknown token"},
        {OTHER("'type':'Unigram','unk_id':1,'vocab':[['a',-1.5]]"), "unk_id 1 is outside the vocabulary of 1"},
        {OTHER("'type':'Unigram','unk_id':0,'vocab':[['a']]"), "piece 0 of the vocabulary"},
        {OTHER("'type':'Unigram','unk_id':0,'vocab':[['a',1],'b']"), "piece 1 of the vocabulary"},
        {OTHER("'type':'Unigram','unk_id':0," VOCAB), "no list 'vocab'"},
        {OTHER("'type':'BPE','vocab':[['a',-1.5]]," MERGES), "no 'vocab' object"},
        {OTHER("'type':'WordPiece','vocab':{'a':0}"), "'WordPiece'"},
        {OTHER("'type':'BPE'," MERGES), "no 'vocab'"},
        {OTHER("'type':'BPE'," VOCAB), "no list 'merges'"},
        {OTHER("'type':'BPE','vocab':{},'merges':[]"), "vocabulary is empty"},
        {OTHER("'type':'BPE','vocab':{'a':0},'merges':['a b']"), "needs the token 'b'"},
        {OTHER("'type':'BPE','vocab':{'a':0,'b':1},'merges':['a b']"), "needs the token 'ab'"},
        {OTHER("'type':'BPE'," VOCAB ",'merges':['ab']"), "merge 0 is not two texts"},
        {OTHER("'type':'BPE'," VOCAB ",'merges':['a b a']"), "merge 0 is not two texts"},
        {OTHER("'type':'BPE'," VOCAB ",'merges':[['a','b','a']]"), "merge 0 is not two texts"},
        {OTHER("'type':'BPE'," VOCAB ",'merges':[['a',1]]"), "merge 0 is not two texts"},
        {OTHER("'type':'BPE'," VOCAB ",'merges':[7]"), "merge 0 is not two texts"},
        {OTHER("'type':'BPE'," VOCAB ",'merges':[' b']"), "needs the token ''"},
        {OTHER("'type':'BPE','vocab':{'a':0,'b':0},'merges':[]"), "id 0 has two tokens, 'a' and 'b'"},
        {OTHER("'type':'BPE','vocab':{'a':0,'a':1},'merges':[]"), "token 'a' has two ids, 0 and 1"},
        {OTHER("'type':'BPE','vocab':{'a':2147483648},'merges':[]"), "out of range in a file of"},
        {OTHER("'type':'BPE','vocab':{'a':2147483647},'merges':[]"), "out of range in a file of"},
        {OTHER("'type':'BPE','vocab':{'a':9223372036854775807},'merges':[]"), "out of range in a file of"},
        {OTHER("'type':'BPE','vocab':{'a':-1},'merges':[]"), "out of range in a file of"},
        {OTHER("'type':'BPE','vocab':{'a':1e3},'merges':[]"), "not a whole number"},
        {OTHER("'type':'BPE','vocab':{'a':'0'},'merges':[]"), "not a whole number"},
        {OTHER("'type':'BPE'," VOCAB "," MERGES ",'byte_fallback':1"), "'byte_fallback' must be true or false"},
        {OTHER("'type':'BPE'," VOCAB "," MERGES ",'dropout':0.1"), "dropout is not supported"},
        {OTHER("'type':'BPE'," VOCAB "," MERGES ",'end_of_word_suffix':'</w>'"), "end_of_word_suffix '</w>'"},
        {OTHER("'type':'BPE'," VOCAB "," MERGES ",'continuing_subword_prefix':'##'"), "prefix '##'"},
        {OTHER("'type':'BPE'," VOCAB "," MERGES ",'unk_token':'<unk>'"), "unk_token '<unk>' is not in"},
        {OTHER("'type':'BPE'," VOCAB "," MERGES ",'ignore_merges':1"), "'ignore_merges' must be true or false"},
        {PRE("{'type':'UnicodeScripts'}"),
         "pre_tokenizer type 'UnicodeScripts' is not supported (known: Split, Digits"},
        {PRE("{'type':'Metaspace','prepend_scheme':'last'}"), "prepend_scheme 'last'"},
        {PRE("{'type':'Metaspace','replacement':''}"), "empty 'replacement'"},
        {PRE("{'type':'CharDelimiterSplit'}"), "no 'delimiter'"},
        {PRE("'ByteLevel'"), "'pre_tokenizer' is no object"},
        {PRE("{'type':'Sequence'}"), "no list 'pretokenizers'"},
        {SEQUENCE("3"), "no object"},
        {SEQUENCE("{'type':'ByteLevel','add_prefix_space':false},{'type':'Digits'}"), "after ByteLevel"},
        {SEQUENCE("{'type':'Split','pattern':{'String':''},'behavior':'Isolated'}"), "neither a String nor a Regex"},
        {SEQUENCE("{'type':'Split','pattern':{'Regex':' '},'behavior':'Dropped','invert':false}"),
         "behavior 'Dropped'"},
        {SEQUENCE("{'type':'Split','pattern':{'Regex':'\\\\w+'},'behavior':'Isolated'}"), "the escape '\\w'"},
        {SEQUENCE(
             "{'type':'Split','pattern':{'Regex':'(a'},'behavior':'Isolated'},{'type':'ByteLevel','add_prefix_space':"
             "false}"),
         "'(a' is refused at byte 2"},
        {"{'normalizer':{'type':'BertNormalizer'}," BYTES "," MODEL "}", "normalizer type 'BertNormalizer' is not"},
        {"{'normalizer':{'type':'Precompiled','precompiled_charsmap':'?'}," BYTES "," MODEL "}", "is not base64"},
        {"{'normalizer':{'type':'Precompiled','precompiled_charsmap':'AQAAAAAA'}," BYTES "," MODEL "}",
         "map of 6 bytes"},
        {"{'normalizer':{'type':'Replace','content':'x'}," BYTES "," MODEL "}", "neither a String nor a Regex"},
        {"{'decoder':{'type':'CTC'}," BYTES "," MODEL "}", "decoder type 'CTC' is not supported"},
        {"{'decoder':{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'ByteLevel'}]}," BYTES "," MODEL "}",
         "after Fuse is not supported"},
        {"{'decoder':{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'Strip','content':' ','stop':1}]}," BYTES
         "," MODEL "}",
         "strips the end"},
        {"{'decoder':{'type':'Strip','content':'','start':1}," BYTES "," MODEL "}", "an empty text"},
        {POST("{'type':'RobertaProcessing','cls':['a',0]}"), "'sep' is not a text and an id"},
        {POST("{'type':'Sequence','processors':[{'type':'BertProcessing','cls':['a',0],'sep':['b',7]}]}"),
         "outside the vocabulary of 3"},
        {TEMPLATE(TOKEN_S), "does not name the text"},
        {TEMPLATE(TEXT_A "," TEXT_A), "must name the text 'A' once"},
        {TEMPLATE(TEXT_A ",{'Sequence':{'id':'B'}}"), "must name the text 'A' once"},
        {TEMPLATE("{'SpecialToken':{'id':'t'}}," TEXT_A), "token 't' has no ids"},
        {TEMPLATE("{'SpecialToken':{'id':'big'}}," TEXT_A), "outside the vocabulary of 3"},
        {TEMPLATE(TOKEN_S "," TOKEN_S "," TOKEN_S "," TOKEN_S "," TOKEN_S "," TEXT_A), "more than 4 tokens"},
        {ADDED("'id':2147483648,'content':'<x>'"), "out of range in a file of"},
        {ADDED("'id':-1,'content':'<x>'"), "out of range in a file of"},
        {ADDED("'content':'<x>'"), "out of range in a file of"},
        {ADDED("'id':1,'content':'<x>'"), "id 1 has two tokens"},
        {ADDED("'id':3,'content':'a'"), "token 'a' has two ids, 0 and 3"},
        {ADDED("'id':3,'content':5"), "'content' must be a string"},
        {ADDED("'id':3,'content':'x'},{'id':3,'content':'x'"), "stands twice"},
        {"{'added_tokens':{}," BYTES "," MODEL "}", "'added_tokens' is no list"},
    };
    Arena a = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (try_document(quoted(rows[i].json, &a))) fail_msg("not refused: %s", rows[i].json);
        if (!strstr(err.msg, rows[i].says)) fail_msg("%s\nsays: %s", rows[i].json, err.msg);
    }
    arena_release(&a);
}

static void test_nowhere(void **state) {
    (void)state;
    TokSpec spec;
    assert_false(hf_tok_spec(TEST_DATA "/nowhere", &spec, &err));
    assert_non_null(strstr(err.msg, "/nowhere"));
}

/* A document cut anywhere, or with a byte changed anywhere, is an error or another tokenizer, never a crash. */
static void test_damaged(void **state) {
    (void)state;
    static const char bytes[] = "\"{}[],:0-9x\\\xff";
    Arena a = {0};
    Str whole =
        quoted("{'added_tokens':[{'id':3,'content':'<x>','special':true,'lstrip':true,'rstrip':true,'single_word':true,"
               "'normalized':true}],'normalizer':null,'pre_tokenizer':{'type':'Sequence','pretokenizers':[{'type':"
               "'Split','pattern':{'Regex':'(?i:a|b)|[^\\\\s\\\\p{L}]{1,3}|\\\\s+(?!\\\\S)'},'behavior':'Isolated'},"
               "{'type':'ByteLevel','add_prefix_space':false,'use_regex':false}]},'post_processor':{'type':"
               "'TemplateProcessing','single':[{'SpecialToken':{'id':'s'}},{'Sequence':{'id':'A'}}],"
               "'special_tokens':{'s':{'ids':[3]}}},'decoder':{'type':'ByteLevel'},'model':{'type':'BPE','unk_token':"
               "'a','fuse_unk':true,'ignore_merges':true,'vocab':{'a':0,'b':1,'ab':2},'merges':['a b']}}",
               &a);
    assert_true(try_document(whole));
    for (size_t n = 0; n < whole.n; n++) {
        char *cut = malloc(n + 1); /* ends where the text ends: a read past it is seen by a sanitizer */
        memcpy(cut, whole.s, n);
        assert_false(try_document((Str){cut, n}));
        free(cut);
    }
    char *changed = arena_strn(&a, whole.s, whole.n);
    for (size_t i = 0; i < whole.n; i++) {
        for (size_t b = 0; b < sizeof bytes - 1; b++) {
            changed[i] = bytes[b];
            try_document((Str){changed, whole.n});
        }
        changed[i] = whole.s[i];
    }
    arena_release(&a);
}

static void test_patterns(void **state) {
    (void)state;
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } rows[] = {
        {"a|b", "a|b"},
        {"\\s+(?!\\S)", "\\p{White_Space}+(?!\\P{White_Space})"},
        {"[^\\s\\p{L}\\p{N}]+", "[^\\p{White_Space}\\p{L}\\p{N}]+"},
        {"\\p{N}{1,3}", "\\p{N}{1,3}"},
        {"\\p{^L}\\P{Lu}", "\\p{^L}\\P{Lu}"},
        {"\\u3040\\v\\x41", "\\x{3040}\\x{b}\\x41"},
        {"(?i:'s|'t)(?=x)(?<!y)", "(?i:'s|'t)(?=x)(?<!y)"},
        {"[a-z\\]{}()^$.*]", "[a-z\\]{}()^$.*]"},
        {"a?+b*+c++d{2,3}?", "a?+b*+c++d{2,3}?"},
        {"\\.\\-\\/\\\\", "\\.\\-\\/\\\\"},
        {"{x}", "{x}"},
        {"\\w", NULL},
        {"\\b", NULL},
        {"\\h", NULL},
        {"\\R", NULL},
        {"\\X", NULL},
        {"\\K", NULL},
        {"\\1", NULL},
        {"\\Qa\\E", NULL},
        {"\\pL", NULL},
        {"a\\", NULL},
        {"^a", "(?m:^)a"},
        {"a$", "a(?m:$)"},
        {"[a-z&&[^b]]", NULL},
        {"[[:alpha:]]", NULL},
        {"[]a]", NULL},
        {"(?i)a", NULL},
        {"(?m:a)", NULL},
        {"(?<n>a)", NULL},
        {"(*UTF)", NULL},
        {"a{2}+", NULL},
        {"a{2}?", NULL},
        {"a{,2}", NULL},
    };
    Arena a = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *out = NULL;
        bool ok = hf_pattern(str_of(rows[i].in), &a, &out, &err);
        if (ok != (rows[i].out != NULL)) fail_msg("%s: %s", rows[i].in, ok ? out : err.msg);
        if (ok) assert_string_equal(out, rows[i].out);
    }
    const char *out;
    assert_false(hf_pattern(STR("a\0b"), &a, &out, &err));
    assert_true(hf_pattern(STR("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"),
                           &a, &out, &err));
    assert_string_equal(out, SPLIT_GPT2);
    arena_release(&a);
}

/* A pattern that explodes ends with an error, in bounded time. */
static void test_pattern_limit(void **state) {
    (void)state;
    Arena a = {0};
    TokSpec spec;
    Tokenizer *t;
    TokenList out = {0};
    Buf text = {0};
    OK(hf_tok_spec_parse(
        quoted(SEQUENCE("{'type':'Split','pattern':{'Regex':'(?:a+)+(?:a+)+(?:a+)+c'},'behavior':'Isolated'},"
                        "{'type':'ByteLevel','add_prefix_space':false}"),
               &a),
        &spec, &err));
    OK(tokenizer_new(&spec, &t, &err));
    for (int i = 0; i < 3000; i++) buf_char(&text, 'a');
    buf_str(&text, "bc");
    assert_false(tokenizer_encode(t, buf_view(&text), 0, &out, &err));
    assert_non_null(strstr(err.msg, "gives up"));
    assert_int_equal(out.n, 0);
    buf_release(&text);
    tokenizer_free(t);
    tok_spec_release(&spec);
    token_list_release(&out);
    arena_release(&a);
}

/* The decoder ByteLevel knows no added tokens, in the tokenizers package neither: letters of the byte alphabet are
 * bytes in them too, and one other character makes a token text. */
static void test_added_text(void **state) {
    (void)state;
    static const struct {
        int32_t id;
        const char *text;
    } rows[] = {{3, "\xe9"}, {4, "\xc3\xa9 "}, {5, "\xc3\xa9\xe4\xb8\xad"}, {6, " <x>"}};
    Arena a = {0};
    TokSpec spec;
    Tokenizer *t;
    OK(hf_tok_spec_parse(
        quoted("{'decoder':{'type':'ByteLevel'},'added_tokens':[{'id':3,'content':'\xc3\xa9'},{'id':4,'content':"
               "'\xc3\xa9 '},{'id':5,'content':'\xc3\xa9\xe4\xb8\xad'},{'id':6,'content':'\xc4\xa0<x>'}]," BYTES
               "," MODEL "}",
               &a),
        &spec, &err));
    OK(tokenizer_new(&spec, &t, &err));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Buf out = {0};
        assert_true(tokenizer_token_bytes(t, rows[i].id, false, &out));
        assert_true(str_is(buf_view(&out), rows[i].text));
        buf_release(&out);
    }
    assert_string_equal(spec.kind, "byte-level BPE, 7 tokens");
    tokenizer_free(t);
    tok_spec_release(&spec);
    arena_release(&a);
}

/* Found in the folder, by its own name, and beside a file of weights. */
static void test_paths(void **state) {
    (void)state;
    static const char *const paths[] = {"", "/tokenizer.json", "/model.safetensors"};
    Arena a = {0};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        TokSpec spec;
        OK(hf_tok_spec(arena_printf(&a, "%s/llama3%s", TEST_DATA, paths[i]), &spec, &err));
        assert_int_equal(spec.eos, 340); /* tokenizer_config.json was read too */
        tok_spec_release(&spec);
    }
    arena_release(&a);
}

/* ---- tokenizer_config.json ---- */

static bool apply(const char *config, const char *jinja, TokSpec *spec, Arena *a) {
    Value v;
    OK(hf_tok_spec_parse(quoted("{" BYTES "," MODEL "}", a), spec, &err));
    OK(json_parse(quoted(config, a), "config", a, &v, &err));
    return hf_tok_config(&v, str_of(jinja), spec, &err);
}

static void test_config(void **state) {
    (void)state;
    Arena a = {0};
    TokSpec s;
    OK(apply("{'bos_token':{'content':'a','lstrip':false},'eos_token':'b','pad_token':'<pad>','add_bos_token':true,"
             "'chat_template':'T'}",
             "", &s, &a));
    assert_true(s.bos == 0 && s.eos == 1 && s.pad == -1);
    assert_true(s.n_prefix == 1 && s.prefix[0] == 0 && s.n_suffix == 0);
    assert_string_equal(s.chat_template, "T");
    tok_spec_release(&s);
    OK(apply(
        "{'eos_token':'ab','add_eos_token':true,'add_bos_token':true,'bos_token':null,'chat_template':[{'name':'tools',"
        "'template':'X'},{'name':'default','template':'D'}]}",
        "", &s, &a));
    assert_true(s.bos == -1 && s.n_prefix == 0 && s.n_suffix == 1 && s.suffix[0] == 2);
    assert_string_equal(s.chat_template, "D");
    tok_spec_release(&s);
    OK(apply("{'chat_template':'old'}", "new", &s, &a));
    assert_string_equal(s.chat_template, "new");
    tok_spec_release(&s);
    OK(apply("{}", "", &s, &a));
    assert_null(s.chat_template);
    tok_spec_release(&s);
    static const char *const bad[] = {"{'eos_token':'</s>'}", "{'bos_token':3}", "{'add_bos_token':'yes'}",
                                      "{'chat_template':7}", "{'bos_token':{'content':[]}}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(apply(bad[i], "", &s, &a));
        assert_int_equal(err.code, ERR_INPUT);
        tok_spec_release(&s);
    }
    assert_false(apply("{}", "\xff", &s, &a));
    tok_spec_release(&s);
    arena_release(&a);
}

/* ---- GGUF ---- */

enum { MAX_KEYS = 20 };
typedef struct Meta {
    TensorFile f;
    Str keys[MAX_KEYS];
    Value items[MAX_KEYS];
    Buf tokens, merges, types;
} Meta;

static void meta_put(Meta *m, const char *key, Value v) {
    size_t i = 0, *n = &m->f.meta.object.n;
    while (i < *n && !str_is(m->keys[i], key)) i++;
    if (i == *n) ++*n;
    assert_true(*n <= MAX_KEYS);
    m->keys[i] = str_of(key);
    m->items[i] = v;
}

static Value of_str(const char *s) { return (Value){.kind = VALUE_STR, .s = str_of(s)}; }
static Value of_int(int64_t i) { return (Value){.kind = VALUE_INT, .i = i}; }
static Value of_bool(bool b) { return (Value){.kind = VALUE_BOOL, .b = b}; }
static Value of_blob(const Buf *b, size_t n, BlobKind kind) {
    return (Value){.kind = VALUE_BLOB, .blob = {(const uint8_t *)buf_view(b).s, n, b->n, kind}};
}

static void put_blob_str(Buf *b, Str s) {
    uint64_t n = s.n;
    buf_put(b, &n, 8);
    buf_put(b, s.s, s.n);
}

/* The metadata that a converter writes for spec. */
static void meta_of(const TokSpec *spec, const char *pre, Meta *m) {
    *m = (Meta){0};
    m->f.meta = (Value){.kind = VALUE_OBJECT, .object = {m->keys, m->items, 0}};
    m->f.path = "made.gguf";
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        int32_t type = 1;
        for (int32_t i = 0; i < spec->n_added; i++)
            if (spec->added[i].id == id) type = spec->added[i].special ? 3 : 4;
        put_blob_str(&m->tokens, spec->vocab[id]);
        buf_put(&m->types, &type, 4);
    }
    for (int32_t i = 0; i < spec->n_merges; i++) {
        Buf both = {0};
        buf_printf(&both, "%.*s %.*s", STR_ARG(spec->merges[i][0]), STR_ARG(spec->merges[i][1]));
        put_blob_str(&m->merges, buf_view(&both));
        buf_release(&both);
    }
    meta_put(m, "tokenizer.ggml.model", of_str("gpt2"));
    meta_put(m, "tokenizer.ggml.pre", of_str(pre));
    meta_put(m, "tokenizer.ggml.tokens", of_blob(&m->tokens, (size_t)spec->n_vocab, BLOB_STR));
    meta_put(m, "tokenizer.ggml.merges", of_blob(&m->merges, (size_t)spec->n_merges, BLOB_STR));
    meta_put(m, "tokenizer.ggml.token_type", of_blob(&m->types, (size_t)spec->n_vocab, BLOB_I32));
}

static void meta_release(Meta *m) {
    buf_release(&m->tokens);
    buf_release(&m->merges);
    buf_release(&m->types);
}

static void check_same_ids(const TokSpec *one, const TokSpec *two) {
    static const char text[] =
        "It's 1024 <|im_start|>struct foo {\n\t\tint x;\r\n}  \xe6\x97\xa5\xe6\x9c\xac lazy mixed<|eot_id|>\xff'LL";
    Tokenizer *a, *b;
    TokenList x = {0}, y = {0};
    OK(tokenizer_new(one, &a, &err));
    OK(tokenizer_new(two, &b, &err));
    for (int flags = 0; flags < 4; flags++) {
        OK(tokenizer_encode(a, str_of(text), flags, &x, &err));
        OK(tokenizer_encode(b, str_of(text), flags, &y, &err));
    }
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.ids, y.ids, x.n * sizeof *x.ids);
    assert_memory_equal(x.offsets, y.offsets, x.n * sizeof *x.offsets);
    token_list_release(&x);
    token_list_release(&y);
    tokenizer_free(a);
    tokenizer_free(b);
}

/* A merge stands once more behind all others: the last one counts, in both formats. */
static void test_gguf_apart(void **state) {
    (void)state;
    TokSpec hf, gguf;
    Meta m;
    OK(hf_tok_spec(TEST_DATA "/tokenizer/smollm_2k", &hf, &err));
    Str(*more)[2] = malloc(((size_t)hf.n_merges + 1) * sizeof *more);
    memcpy(more, hf.merges, (size_t)hf.n_merges * sizeof *more);
    memcpy(more[hf.n_merges++], more[10], sizeof *more);
    hf.merges = more;
    meta_of(&hf, "smollm", &m);
    meta_put(&m, "tokenizer.ggml.add_bos_token", of_bool(false));
    OK(gguf_tok_spec(&m.f, &gguf, &err));
    check_same_ids(&hf, &gguf);
    tok_spec_release(&gguf);
    meta_release(&m);
    tok_spec_release(&hf);
    free(more);
}

static void test_gguf(void **state) {
    (void)state;
    TokSpec hf, gguf;
    Meta m;
    OK(hf_tok_spec(TEST_DATA "/tokenizer/smollm_2k", &hf, &err));
    meta_of(&hf, "smollm", &m);
    meta_put(&m, "tokenizer.ggml.bos_token_id", of_int(1));
    meta_put(&m, "tokenizer.ggml.eos_token_id", of_int(2));
    meta_put(&m, "tokenizer.ggml.unknown_token_id", of_int(0));
    meta_put(&m, "tokenizer.ggml.padding_token_id", of_int(UINT32_MAX));
    meta_put(&m, "tokenizer.ggml.add_bos_token", of_bool(false));
    meta_put(&m, "tokenizer.ggml.add_space_prefix", of_bool(false));
    meta_put(&m, "tokenizer.chat_template", of_str("{{ x }}"));
    OK(gguf_tok_spec(&m.f, &gguf, &err));
    assert_true(gguf.bos == 1 && gguf.eos == 2 && gguf.unk == -1 && gguf.pad == -1 && gguf.n_prefix == 0);
    assert_string_equal(gguf.chat_template, "{{ x }}");
    assert_string_equal(gguf.kind, "byte-level BPE, 2000 tokens, pre-tokenizer smollm");
    check_same_ids(&hf, &gguf);
    tok_spec_release(&gguf);
    meta_put(&m, "tokenizer.ggml.add_eos_token", of_bool(true));
    meta_put(&m, "tokenizer.ggml.add_bos_token", of_bool(true));
    OK(gguf_tok_spec(&m.f, &gguf, &err));
    assert_true(gguf.n_prefix == 1 && gguf.prefix[0] == 1 && gguf.n_suffix == 1 && gguf.suffix[0] == 2);
    tok_spec_release(&gguf);
    meta_release(&m);
    tok_spec_release(&hf);
    OK(hf_tok_spec(TEST_DATA "/tokenizer/llama3_2k", &hf, &err));
    meta_of(&hf, "llama-bpe", &m);
    meta_put(&m, "tokenizer.ggml.bos_token_id", of_int(hf.prefix[0]));
    OK(gguf_tok_spec(&m.f, &gguf, &err));
    check_same_ids(&hf, &gguf);
    tok_spec_release(&gguf);
    meta_release(&m);
    tok_spec_release(&hf);
}

/* A tokenizer.model as a GGUF file has it: the same ids, for text without the user's pieces, which are added tokens
 * there. */
static void check_gguf_spm(const char *model, const char *path, const char *kind) {
    static const char *const texts[] = {"Hello, the tensor\n of 1234  words", " ", "", "x",
                                        "na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac int"};
    TokSpec spm, gguf;
    Tokenizer *a, *b;
    Meta m;
    Buf scores = {0}, types = {0};
    OK(hf_tok_spec(path, &spm, &err));
    meta_of(&spm, "", &m);
    for (int32_t id = 0; id < spm.n_vocab; id++) {
        float score = (float)spm.scores[id];
        int32_t type = spm.types[id];
        buf_put(&scores, &score, 4);
        buf_put(&types, &type, 4);
    }
    Buf map = {0};
    if (spm.norms[0].charsmap.n) buf_put(&map, spm.norms[0].charsmap.s, spm.norms[0].charsmap.n);
    meta_put(&m, "tokenizer.ggml.model", of_str(model));
    meta_put(&m, "tokenizer.ggml.scores", of_blob(&scores, (size_t)spm.n_vocab, BLOB_F32));
    meta_put(&m, "tokenizer.ggml.token_type", of_blob(&types, (size_t)spm.n_vocab, BLOB_I32));
    meta_put(&m, "tokenizer.ggml.precompiled_charsmap", of_blob(&map, map.n, BLOB_U8));
    meta_put(&m, "tokenizer.ggml.unknown_token_id", of_int(spm.unk));
    OK(gguf_tok_spec(&m.f, &gguf, &err));
    assert_non_null(strstr(gguf.kind, kind));
    OK(tokenizer_new(&spm, &a, &err));
    OK(tokenizer_new(&gguf, &b, &err));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        TokenList x = {0}, y = {0};
        OK(tokenizer_encode(a, str_of(texts[i]), 0, &x, &err));
        OK(tokenizer_encode(b, str_of(texts[i]), 0, &y, &err));
        assert_int_equal(x.n, y.n);
        if (x.n) assert_memory_equal(x.ids, y.ids, x.n * sizeof *x.ids);
        token_list_release(&x);
        token_list_release(&y);
    }
    tokenizer_free(a);
    tokenizer_free(b);
    tok_spec_release(&gguf);
    meta_put(&m, "general.architecture", of_str("phi3"));
    OK(gguf_tok_spec(&m.f, &gguf, &err));
    assert_true(gguf.n_added > 2);
    for (int32_t i = 0; i < gguf.n_added; i++) {
        Str text = gguf.added[i].text;
        bool strips = !str_is(text, "<unk>") && !str_is(text, "<s>") && strcmp(model, "llama") == 0;
        assert_int_equal(gguf.added[i].rstrip, strips);
    }
    tok_spec_release(&spm);
    tok_spec_release(&gguf);
    meta_release(&m);
    buf_release(&scores);
    buf_release(&types);
    buf_release(&map);
}

static void test_gguf_spm(void **state) {
    (void)state;
    check_gguf_spm("llama", TEST_DATA "/tokenizer/spm_bpe", "SentencePiece BPE, ");
    check_gguf_spm("t5", TEST_DATA "/tokenizer/spm_unigram", "unigram, 7");
}

/* ---- tokenizer.model and tekken.json ---- */

/* Cut anywhere, or with a byte changed, a model is an error or another one, never a crash. */
static void test_spm_damaged(void **state) {
    (void)state;
    Mapping m;
    TokSpec spec;
    Tokenizer *t;
    OK(map_file(TEST_DATA "/tokenizer/spm_unigram/tokenizer.model", &m, &err));
    for (size_t n = 0; n < m.n; n += n < 600 ? 1 : 97) {
        char *cut = malloc(n + 1);
        memcpy(cut, m.bytes, n);
        if (spm_tok_spec_parse((Str){cut, n}, &spec, &err)) tok_spec_release(&spec);
        free(cut);
    }
    char *changed = malloc(m.n);
    memcpy(changed, m.bytes, m.n);
    for (size_t i = 0; i < m.n; i += i < 300 ? 1 : 61) {
        for (int k = 0; k < 3; k++) {
            changed[i] = (char)(k == 0 ? 0xff : k == 1 ? 0 : m.bytes[i] ^ 8);
            if (!spm_tok_spec_parse((Str){changed, m.n}, &spec, &err)) continue;
            TokenList out = {0};
            if (tokenizer_new(&spec, &t, &err)) tokenizer_encode(t, STR("ab <user> \xef\xac\x81 z"), 3, &out, &err);
            token_list_release(&out);
            tokenizer_free(t);
            tok_spec_release(&spec);
        }
        changed[i] = m.bytes[i];
    }
    free(changed);
    unmap_file(&m);
    assert_false(spm_tok_spec_parse(STR(""), &spec, &err));
    assert_non_null(strstr(err.msg, "has 0 pieces"));
    assert_false(spm_tok_spec_parse(STR("\n\x05\n\x01"
                                        "a\x18\x01\x12\x02\x18\x03"),
                                    &spec, &err));
    assert_non_null(strstr(err.msg, "model_type WORD is not supported"));
}

#define TEKKEN(special, vocab)                                                                                         \
    "{'config':{'pattern':'\\\\p{L}+','default_vocab_size':5,'default_num_special_tokens':2}," special                 \
    "'vocab':[" vocab "]}"
#define ENTRY(rank, bytes) "{'rank':" rank ",'token_bytes':'" bytes "','token_str':null}"
#define ABC                ENTRY("0", "YQ==") "," ENTRY("1", "Yg==") "," ENTRY("2", "YWI=")

static void test_tekken(void **state) {
    (void)state;
    Arena a = {0};
    TokSpec spec;
    Tokenizer *t;
    TokenList out = {0};
    Buf text = {0};
    OK(tekken_tok_spec_parse(
        quoted(TEKKEN("'special_tokens':[{'rank':0,'token_str':'<s>','is_control':true}],", ABC), &a), &spec, &err));
    OK(tokenizer_new(&spec, &t, &err));
    OK(tokenizer_encode(t, STR("abba<s>"), LLMWS_TOK_ADD_SPECIAL | LLMWS_TOK_PARSE_SPECIAL, &out, &err));
    static const int32_t want[] = {0, 4, 3, 2, 0};
    assert_int_equal(out.n, 5);
    assert_memory_equal(out.ids, want, sizeof want);
    for (size_t i = 1; i < 4; i++) assert_true(tokenizer_token_bytes(t, out.ids[i], false, &text));
    assert_string_equal(text.s, "abba");
    buf_release(&text);
    token_list_release(&out);
    tokenizer_free(t);
    tok_spec_release(&spec);
    static const struct {
        const char *json, *says;
    } bad[] = {
        {TEKKEN("", ENTRY("0", "YQ==")), "lists 1"},
        {TEKKEN("", ENTRY("0", "YQ==") "," ENTRY("2", "Yg==") "," ENTRY("2", "YWI=")), "entry 1"},
        {TEKKEN("", ENTRY("0", "?") "," ENTRY("1", "Yg==") "," ENTRY("2", "YWI=")), "entry 0"},
        {TEKKEN("'special_tokens':[{'rank':2,'token_str':'<s>'}],", ABC), "special token 0"},
        {"{'vocab':[]}", "lacks"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(tekken_tok_spec_parse(quoted(bad[i].json, &a), &spec, &err));
        if (!strstr(err.msg, bad[i].says)) fail_msg("%s", err.msg);
    }
    arena_release(&a);
}

static void refuse_meta(Meta *m, const char *key, Value v, const char *says) {
    TokSpec spec;
    Value before = {.kind = VALUE_NULL};
    const Value *old = value_get(&m->f.meta, key);
    if (old) before = *old;
    meta_put(m, key, v);
    if (gguf_tok_spec(&m->f, &spec, &err)) fail_msg("%s: not refused", key);
    assert_int_equal(err.code, ERR_INPUT);
    assert_non_null(strstr(err.msg, "made.gguf"));
    if (!strstr(err.msg, says)) fail_msg("%s: %s", key, err.msg);
    meta_put(m, key, before);
}

/* Merges are looked at when tables are made of them. */
static void refuse_merge(Meta *m, Value v, const char *says) {
    TokSpec spec;
    Tokenizer *t;
    Value before = *value_get(&m->f.meta, "tokenizer.ggml.merges");
    meta_put(m, "tokenizer.ggml.merges", v);
    OK(gguf_tok_spec(&m->f, &spec, &err));
    assert_false(tokenizer_new(&spec, &t, &err));
    if (!strstr(err.msg, says)) fail_msg("%s", err.msg);
    tok_spec_release(&spec);
    meta_put(m, "tokenizer.ggml.merges", before);
}

static void test_gguf_refused(void **state) {
    (void)state;
    TokSpec hf;
    Meta m;
    Buf merge = {0}, ints = {0};
    OK(hf_tok_spec(TEST_DATA "/tokenizer/smollm_2k", &hf, &err));
    meta_of(&hf, "smollm", &m);
    put_blob_str(&merge, STR("ab"));
    buf_put(&ints, "\0\0\0\0", 4);
    refuse_meta(&m, "tokenizer.ggml.model", of_str("bert"), "'bert' is not supported (known: gpt2, llama, t5)");
    refuse_meta(&m, "tokenizer.ggml.model", of_str("llama"), "scores has 0 entries for 2000 tokens");
    refuse_meta(&m, "tokenizer.ggml.model", (Value){.kind = VALUE_NULL}, "no tokenizer");
    refuse_meta(&m, "tokenizer.ggml.pre", of_str("qwen9"), "'qwen9' is not known (known: gpt-2, phi-2");
    refuse_meta(&m, "tokenizer.ggml.pre", (Value){.kind = VALUE_NULL}, "'' is not known");
    refuse_meta(&m, "tokenizer.ggml.tokens", of_int(3), "holds 0 tokens");
    refuse_meta(&m, "tokenizer.ggml.tokens", of_blob(&ints, 1, BLOB_I32), "no list of strings");
    refuse_merge(&m, of_blob(&merge, 1, BLOB_STR), "merge 0, 'ab'");
    refuse_meta(&m, "tokenizer.ggml.merges", of_blob(&ints, 1, BLOB_I32), "no list of strings");
    refuse_meta(&m, "tokenizer.ggml.token_type", of_blob(&ints, 1, BLOB_I32), "1 entries for 2000 tokens");
    refuse_meta(&m, "tokenizer.ggml.token_type", of_blob(&m.tokens, 2000, BLOB_STR), "no list of integers");
    refuse_meta(&m, "tokenizer.ggml.bos_token_id", of_int(2000), "outside the vocabulary of 2000");
    refuse_meta(&m, "tokenizer.ggml.eos_token_id", of_int(-5), "outside the vocabulary of 2000");
    refuse_meta(&m, "tokenizer.ggml.eot_token_id", of_int(INT64_MAX), "outside the vocabulary of 2000");
    refuse_meta(&m, "tokenizer.ggml.padding_token_id", of_str("0"), "whole number");
    refuse_meta(&m, "tokenizer.ggml.add_bos_token", of_int(1), "true or false");
    refuse_meta(&m, "tokenizer.ggml.add_space_prefix", of_bool(true), "not supported");
    refuse_meta(&m, "tokenizer.chat_template", of_str("\xff"), "not valid UTF-8");
    buf_release(&merge);
    buf_release(&ints);
    meta_release(&m);
    tok_spec_release(&hf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_refused),    cmocka_unit_test(test_nowhere),
        cmocka_unit_test(test_damaged),     cmocka_unit_test(test_patterns),   cmocka_unit_test(test_pattern_limit),
        cmocka_unit_test(test_added_text),  cmocka_unit_test(test_paths),      cmocka_unit_test(test_config),
        cmocka_unit_test(test_gguf),        cmocka_unit_test(test_gguf_apart), cmocka_unit_test(test_gguf_spm),
        cmocka_unit_test(test_spm_damaged), cmocka_unit_test(test_tekken),     cmocka_unit_test(test_gguf_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
