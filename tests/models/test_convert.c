/* The engine of convert: the same bytes as row by row, whatever the threads; which row is to blame; what stops it. And
 * tokenizers written as GGUF and as tokenizer.json. */
#include "oracle.h"

#include "core/convert.h"

/* ---- a model in memory ---- */

enum { ROWS = 704, WIDTH = 256, EXPERTS = 3 };

typedef struct Set { /* tensors of several sizes over random weights */
    Arena arena;
    ExportTensor x[4];
    Weight w[4];
    ConvertTensor t[4];
} Set;

static float noise(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*s >> 32) * 0x1p-31f;
}

static void set_open(Set *s, Dtype to) {
    const int64_t ne[4][MAX_DIMS] = {{ROWS, WIDTH, 1, 1}, {WIDTH, 1, 1, 1}, {3, WIDTH, 1, 1}, {EXPERTS, 65, WIDTH, 1}};
    static const char *const names[] = {"large", "vector", "small", "experts"};
    uint64_t seed = 7;
    *s = (Set){.arena = {0}};
    for (int i = 0; i < 4; i++) {
        const int ndim = i == 3 ? 3 : i == 1 ? 1 : 2;
        s->w[i] = (Weight){.t = tensor_dense(DT_f32, ndim, ne[i], NULL)};
        const int64_t n = tensor_count(&s->w[i].t);
        float *data = ARENA_NEW(&s->arena, float, n);
        for (int64_t k = 0; k < n; k++) data[k] = noise(&seed);
        s->w[i].t.data = data;
        s->x[i] = (ExportTensor){.name = names[i], .dtype = DT_f32, .ndim = ndim, .w = &s->w[i], .format = STORE_GGUF};
        memcpy(s->x[i].ne, ne[i], sizeof ne[i]);
        s->t[i] = (ConvertTensor){.from = &s->x[i], .to = i == 1 ? DT_f32 : to};
    }
    s->w[0].head_dim = 64; /* rows that come out in another order */
}

static float *set_data(Set *s, int i) { return s->w[i].t.data; }

static bool to_buf(void *ctx, const void *bytes, size_t n, Err *e) {
    (void)e;
    buf_put(ctx, bytes, n);
    return true;
}

typedef struct Told {
    int64_t done, total, stop_at;
    size_t used;
} Told;

static bool on_progress(void *ctx, int64_t done, int64_t total) {
    Told *t = ctx;
    assert_true(done > t->done && done <= total);
    t->done = done;
    t->total = total;
    return !t->stop_at || done < t->stop_at;
}

static void on_used(void *ctx, const void *bytes, size_t n) {
    assert_non_null(bytes);
    ((Told *)ctx)->used += n;
}

static bool run(Set *s, ConvertSpec spec, Buf *out, Err *e) {
    Converter *c;
    OK(convert_open(s->t, 4, &spec, &c, e), *e);
    bool ok = true;
    for (size_t i = 0; ok && i < 4; i++) ok = convert_write(c, i, (Sink){to_buf, out}, e);
    convert_close(c);
    return ok;
}

/* ---- the engine ---- */

/* All rows of the four tensors, one after the other. */
static void by_hand(Set *s, Buf *out) {
    float row[WIDTH];
    char bytes[WIDTH * 4];
    for (int i = 0; i < 4; i++)
        for (int64_t r = 0; r < export_row_count(&s->x[i]); r++) {
            const ConvertTensor *t = &s->t[i];
            const float *importance = t->importance;
            if (importance && t->group) importance += r / t->group * WIDTH;
            export_rows_f32(&s->x[i], r, 1, row);
            if (t->adjust) t->adjust(t->by, r, row);
            if (dtype_info[t->to].class == DTC_QUANT)
                quantize_rows(t->to, row, 1, WIDTH, importance, bytes);
            else
                dtype_info[t->to].encode(row, bytes, WIDTH);
            buf_put(out, bytes, (size_t)dtype_row_bytes(t->to, WIDTH));
        }
}

static void add_row(const void *by, int64_t r, float *row) {
    for (int i = 0; i < WIDTH; i++) row[i] += *(const float *)by * (float)r;
}

static void same_bytes(void **state) {
    (void)state;
    static const Dtype types[] = {DT_f32, DT_f16, DT_bf16, DT_q8_0, DT_q4_0, DT_q4_k};
    static const int threads[] = {1, 2, 5};
    float step = 0.001f, importance[EXPERTS * WIDTH];
    for (int i = 0; i < EXPERTS * WIDTH; i++) importance[i] = (float)(i % 7);
    for (size_t k = 0; k < 2 * COUNT_OF(types); k++) {
        Set s;
        Buf want = {0};
        set_open(&s, types[k / 2]);
        if (k % 2) {
            s.t[0].adjust = add_row, s.t[0].by = &step;
            s.t[3].importance = importance, s.t[3].group = 65;
        }
        by_hand(&s, &want);
        for (size_t i = 0; i < COUNT_OF(threads); i++) {
            Buf got = {0};
            Err e = {0};
            Told told = {0};
            ConvertSpec spec = {.threads = threads[i], .progress = on_progress, .used = on_used, .ctx = &told};
            OK(run(&s, spec, &got, &e), e);
            assert_int_equal(got.n, want.n);
            assert_memory_equal(got.s, want.s, want.n);
            assert_int_equal(told.done, told.total);
            assert_int_equal(told.total, (int64_t)want.n);
            assert_true(told.used >= (ROWS + 1 + 3 + EXPERTS * 65) * WIDTH * sizeof(float));
            buf_release(&got);
        }
        buf_release(&want);
        arena_release(&s.arena);
    }
}

/* The first bad row in the file's order, though later ones are found sooner. */
static void first_bad_row(void **state) {
    (void)state;
    static const struct {
        Dtype to;
        float value;
        const char *why;
    } rows[] = {{DT_f32, NAN, "NaN in row 300, column 5"},
                {DT_q4_0, NAN, "NaN in row 300, column 5"},
                {DT_bf16, -INFINITY, "an infinity in row 300, column 5"},
                {DT_f16, 65520, "a value in row 300 that f16 cannot hold"},
                {DT_bf16, FLT_MAX, "a value in row 300 that bf16 cannot hold"}};
    for (size_t k = 0; k < COUNT_OF(rows); k++) {
        Set s;
        set_open(&s, rows[k].to);
        set_data(&s, 0)[weight_row(&s.w[0], STORE_GGUF, 300) * WIDTH + 5] = rows[k].value;
        set_data(&s, 0)[weight_row(&s.w[0], STORE_GGUF, 301) * WIDTH] = rows[k].value;
        set_data(&s, 3)[7] = rows[k].value;
        for (int threads = 1; threads <= 4; threads++) {
            Buf out = {0};
            Err e = {0};
            assert_false(run(&s, (ConvertSpec){.threads = threads}, &out, &e));
            assert_int_equal(e.code, ERR_INPUT);
            if (!strstr(e.msg, "'large'") || !strstr(e.msg, rows[k].why)) fail_msg("%s", e.msg);
            buf_clear(&out);
            OK(run(&s, (ConvertSpec){.threads = threads, .allow_nonfinite = true}, &out, &e), e);
            buf_release(&out);
        }
        arena_release(&s.arena);
    }
}

/* What f16 and bf16 can just hold goes through. */
static void largest_values(void **state) {
    (void)state;
    Set s;
    Buf out = {0};
    Err e = {0};
    uint16_t h;
    set_open(&s, DT_f16);
    set_data(&s, 0)[0] = 65519;
    OK(run(&s, (ConvertSpec){.threads = 1}, &out, &e), e);
    memcpy(&h, out.s, 2);
    assert_int_equal(h, 0x7bff);
    buf_release(&out);
    arena_release(&s.arena);
}

/* Whole rows of f16 are widened as single values are, bit by bit. */
static void every_half(void **state) {
    (void)state;
    enum { HALVES = 1 << 16 };
    uint16_t *h = mem_alloc(HALVES, sizeof *h);
    float *row = mem_alloc(HALVES, sizeof *row);
    for (int i = 0; i < HALVES; i++) h[i] = (uint16_t)i;
    for (int skip = 0; skip < 16; skip += 5) {
        dtype_info[DT_f16].decode(h + skip, row, HALVES - skip);
        for (int i = skip; i < HALVES; i++) {
            float want = f16_to_f32(h[i]);
            if (memcmp(&row[i - skip], &want, sizeof want) != 0) fail_msg("%#x", (unsigned)i);
        }
    }
    free(h);
    free(row);
}

static void stops(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        Set s;
        Buf out = {0};
        Err e = {0};
        Told told = {.stop_at = 1};
        set_open(&s, DT_f32);
        assert_false(run(&s, (ConvertSpec){.threads = threads, .progress = on_progress, .ctx = &told}, &out, &e));
        assert_int_equal(e.code, ERR_INTERRUPT);
        assert_true(out.n > 0 && out.n < ROWS * WIDTH * sizeof(float));
        buf_release(&out);
        arena_release(&s.arena);
    }
}

static bool full(void *ctx, const void *bytes, size_t n, Err *e) {
    (void)ctx, (void)bytes, (void)n;
    return err_set(e, ERR_IO, "the disk is full");
}

static void write_fails(void **state) {
    (void)state;
    Set s;
    Err e = {0};
    Converter *c;
    set_open(&s, DT_q8_0);
    OK(convert_open(s.t, 4, &(ConvertSpec){.threads = 3}, &c, &e), e);
    assert_false(convert_write(c, 0, (Sink){full, NULL}, &e));
    assert_int_equal(e.code, ERR_IO);
    convert_close(c);
    arena_release(&s.arena);
}

/* ---- tokenizers ---- */

static LlmwsTokenizer *open_tokenizer(const char *path) {
    Err e = {0};
    LlmwsTokenizer *t = llmws_tokenizer_open(path, &e);
    if (!t) fail_msg("%s", e.msg);
    return t;
}

/* The GGUF file of a tokenizer alone, and the tokenizer.json that is made from it. */
static void write_both(const char *from, int64_t rows, const char *gguf, const char *json) {
    Err e = {0};
    TokSpec spec;
    TensorFile f;
    Arena a = {0};
    Buf text = {0};
    float zero = 0;
    OutTensor one = {.name = "none", .dtype = DT_f32, .ndim = 1, .ne = {1, 1, 1, 1}, .data = &zero};
    Value meta = {.kind = VALUE_OBJECT};
    OK(hf_tok_spec(from, &spec, &e), e);
    OK(gguf_tok_write(&spec, rows, NULL, &a, &meta, &e), e);
    OK(gguf_write(gguf, &meta, &one, 1, &e), e);
    tok_spec_release(&spec);
    arena_release(&a);
    OK(gguf_open(gguf, &f, &e), e);
    OK(gguf_tok_spec(&f, &spec, &e), e);
    assert_int_equal(spec.n_vocab, rows);
    OK(hf_tok_write(&spec, &text, &e), e);
    OK(write_text_file(json, buf_view(&text), &e), e);
    buf_release(&text);
    tok_spec_release(&spec);
    f.close(&f);
}

static void check_ids(const char *what, LlmwsTokenizer *t, Str text, int flags, const Value *want) {
    LlmwsTokens got;
    Err e = {0};
    OK(llmws_tokenize(t, text.s, text.n, flags, &got, &e), e);
    bool same = got.n == value_count(want);
    for (size_t i = 0; i < got.n && same; i++) same = got.ids[i] == value_item(want, i).i;
    if (!same) fail_msg("%s: other ids for '%.*s'", what, STR_ARG(text));
    llmws_tokens_free(&got);
}

static void check_tokenizer(const char *what, const char *path, const Value *cases) {
    Err e = {0};
    LlmwsTokenizer *t = open_tokenizer(path);
    for (size_t i = 0; i < value_count(cases); i++) {
        const Value *c = &cases->array.items[i];
        Str text = value_get(c, "text")->s, decoded = value_get(c, "decoded")->s;
        LlmwsTokens got;
        size_t n;
        check_ids(what, t, text, LLMWS_TOK_PARSE_SPECIAL, value_get(c, "ids"));
        check_ids(what, t, text, LLMWS_TOK_PARSE_SPECIAL | LLMWS_TOK_ADD_SPECIAL, value_get(c, "ids_special"));
        OK(llmws_tokenize(t, text.s, text.n, LLMWS_TOK_PARSE_SPECIAL, &got, &e), e);
        char *back = llmws_detokenize(t, got.ids, got.n, LLMWS_TEXT_BEGINS, &n, &e);
        if (!str_eq((Str){back, n}, decoded)) fail_msg("%s: '%.*s' became '%s'", what, STR_ARG(text), back);
        free(back);
        llmws_tokens_free(&got);
    }
    llmws_tokenizer_close(t);
}

/* Every tokenizer of the oracle's text models, through GGUF and back, gives the ids that the tokenizers package does.
 */
static void tokenizers(void **state) {
    (void)state;
    static const char *const names[] = {"llama2", "llama3", "phi2", "phi3", "qwen2", "gemma2"};
    static const char gguf[] = TEST_TMP "/test_convert.tok.gguf", json[] = TEST_TMP "/test_convert.tok.json";
    Arena a = {0};
    Mapping m;
    Value root;
    Err e = {0};
    OK(map_file(TEST_DATA "/tokenizer/oracle/cases.json", &m, &e), e);
    OK(json_parse((Str){m.bytes, m.n}, "cases.json", &a, &root, &e), e);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *path = arena_printf(&a, TEST_DATA "/tokenizer/oracle/%s.json", names[i]);
        const Value *cases = value_get(value_get(&root, "cases"), names[i]);
        assert_true(value_count(cases) > 5);
        write_both(path, 450, gguf, json);
        check_tokenizer(arena_printf(&a, "%s as GGUF", names[i]), gguf, cases);
        check_tokenizer(arena_printf(&a, "%s as tokenizer.json again", names[i]), json, cases);
    }
    unmap_file(&m);
    arena_release(&a);
    remove(gguf);
    remove(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes), cmocka_unit_test(first_bad_row), cmocka_unit_test(largest_values),
        cmocka_unit_test(every_half), cmocka_unit_test(stops),         cmocka_unit_test(write_fails),
        cmocka_unit_test(tokenizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
