/* Training data: what every form of line becomes, how rows are packed, and that the batches after any stop are those of
 * a reading that never stopped. */
#include "formats/dataset.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/rng.h"
#include "formats/formats.h"

#define DIR_NAME TEST_TMP "/dataset"

enum { BOS = 1, EOS = 2, USER = 3, ASSISTANT = 4, BYTE = 10 };

/* ---- a tokenizer of bytes ---- */

static bool encode_bytes(void *ctx, Str text, bool begin, IdList *out, Err *e) {
    (void)ctx;
    if (memmem(text.s, text.n, "REFUSE", 6)) return err_set(e, ERR_INPUT, "refused");
    if (begin) id_list_put(out, &(int32_t){BOS}, 1);
    for (size_t i = 0; i < text.n; i++) id_list_put(out, &(int32_t){BYTE + (unsigned char)text.s[i]}, 1);
    return true;
}

static bool encode_chat(void *ctx, const Value *messages, const Value *tools, IdList *out, IdRanges *answers, Err *e) {
    if (tools) TRY(encode_bytes(ctx, STR("T"), true, out, e));
    for (size_t i = 0; i < messages->array.n; i++) {
        Str role = {"", 0}, text = {"", 0};
        TRY(value_as_str(value_get(&messages->array.items[i], "role"), "role", &role, e));
        TRY(value_as_str(value_get(&messages->array.items[i], "content"), "content", &text, e));
        bool answer = str_is(role, "assistant");
        id_list_put(out, &(int32_t){answer ? ASSISTANT : USER}, 1);
        size_t from = out->n;
        TRY(encode_bytes(ctx, text, false, out, e));
        id_list_put(out, &(int32_t){EOS}, 1);
        if (answer) id_ranges_put(answers, from, out->n);
    }
    return true;
}

static void put_piece(void *ctx, int32_t id, Buf *out) {
    (void)ctx;
    if (id >= BYTE)
        buf_char(out, (char)(id - BYTE));
    else
        buf_printf(out, "<%d>", id);
}

static const DataTexts texts = {encode_bytes, encode_chat, put_piece, NULL};

/* ---- files ---- */

static const char *write_bytes(const char *name, const void *bytes, size_t n) {
    static char path[4][256];
    static int which;
    char *p = path[which++ % 4];
    Err e = {0};
    mkdir(DIR_NAME, 0777);
    snprintf(p, sizeof path[0], DIR_NAME "/%s", name);
    if (!write_text_file(p, (Str){bytes, n}, &e)) fail_msg("%s", e.msg);
    return p;
}

static const char *write_file(const char *name, const char *text) { return write_bytes(name, text, strlen(text)); }

static Dataset *open_data(const DataSpec *spec) {
    Dataset *d;
    Err e = {0};
    if (!dataset_open(spec, &texts, &d, &e)) fail_msg("%s", e.msg);
    return d;
}

static DataSpec spec_of(const char *const *path, int64_t seq_len) {
    return (DataSpec){.paths = path, .n_paths = 1, .seq_len = seq_len, .no_shuffle = true, .eos = EOS};
}

static DataBatch next_batch(Dataset *d, int64_t batch) {
    DataBatch b;
    Err e = {0};
    if (!dataset_next(d, batch, &b, &e)) fail_msg("%s", e.msg);
    return b;
}

/* A batch as text: "id:label" of every token, "|" before an index of 0. */
static void put_batch(Buf *out, const DataBatch *b) {
    int64_t labels = 0;
    for (int64_t i = 0; i < b->n; i++) {
        if (b->index[i])
            assert_int_equal(b->index[i], b->index[i - 1] + 1);
        else
            buf_str(out, "| ");
        labels += b->labels[i] != LABEL_NONE;
        buf_printf(out, "%d:%d ", b->ids[i], b->labels[i]);
    }
    assert_int_equal(labels, b->n_labels);
}

static void assert_epoch(const DataSpec *spec, const char *want) {
    Dataset *d = open_data(spec);
    Buf got = {0};
    for (DataBatch b; (b = next_batch(d, 1)).n; buf_str(&got, "/ ")) put_batch(&got, &b);
    assert_string_equal(got.s, want);
    buf_release(&got);
    dataset_close(d);
}

static void assert_fails(const DataSpec *spec, const char *want) {
    Dataset *d;
    Err e = {0};
    DataBatch b;
    bool ok = dataset_open(spec, &texts, &d, &e);
    for (int i = 0; ok && i < 1000; i++) ok = dataset_next(d, 2, &b, &e);
    assert_false(ok);
    if (!strstr(e.msg, want)) fail_msg("'%s' is not in '%s'", want, e.msg);
    if (d) {
        Err again = {0};
        assert_false(dataset_next(d, 2, &b, &again));
        assert_string_equal(again.msg, e.msg);
        assert_int_equal(b.n, 0);
    }
    dataset_close(d);
}

/* ---- forms ---- */

static void test_forms(void **state) {
    (void)state;
    const char *path = write_file(
        "forms.jsonl", "\xef\xbb\xbf{\"text\":\"ab\"}\n"
                       "\r\n"
                       "{\"prompt\":\"a\",\"completion\":\"b\",\"source\":{\"x\":[1]}}\r\n"
                       "{\"text\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
                       "{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
                       "{\"ids\":[5,6,7],\"text\":null}\n"
                       "{\"labels\":[9,-100,8],\"ids\":[5,6,7]}\n"
                       "{\"ids\":null,\"tools\":[],\"messages\":[{\"role\":\"assistant\",\"content\":\"\"}]}");
    DataSpec spec = spec_of(&path, 16);
    spec.no_pack = true;
    assert_epoch(&spec, "| 1:107 107:108 108:2 2:-100 / "
                        "| 1:-100 107:108 108:2 2:-100 / "
                        "| 3:-100 107:-100 2:-100 4:108 108:2 2:-100 / "
                        "| 5:6 6:7 7:-100 / "
                        "| 5:-100 6:8 7:-100 / "
                        "| 1:-100 94:-100 4:2 2:-100 / ");
    spec.train_on_prompt = true;
    spec.no_eos = true;
    assert_epoch(&spec, "| 1:107 107:108 108:-100 / "
                        "| 1:107 107:108 108:-100 / "
                        "| 3:107 107:2 2:4 4:108 108:2 2:-100 / "
                        "| 5:6 6:7 7:-100 / "
                        "| 5:-100 6:8 7:-100 / "
                        "| 1:94 94:4 4:2 2:-100 / ");
    spec.no_pack = false;
    assert_epoch(&spec, "| 1:107 107:108 108:-100 | 1:107 107:108 108:-100 | 3:107 107:2 2:4 4:108 108:2 2:-100 "
                        "| 5:6 6:7 7:-100 / | 5:-100 6:8 7:-100 | 1:94 94:4 4:2 2:-100 / ");
}

static void test_pieces(void **state) {
    (void)state;
    const char *path =
        write_file("pieces.jsonl", "{\"ids\":[20,21]}\n"
                                   "{\"ids\":[30,31,32,33,34,35,36,37,38]}\n"        /* 4 + 4 + 1: nothing left */
                                   "{\"prompt\":\"a\",\"completion\":\"bcdefgh\"}\n" /* truncated */
                                   "{\"prompt\":\"abcdef\",\"completion\":\"g\"}\n"  /* no answer left */
                                   "{\"ids\":[40,41,42,43,44,45],\"labels\":[0,0,-100,-100,-100,7]}\n"
                                   "{\"ids\":[50,51,52,53,54,55],\"labels\":[0,-100,-100,-100,-100,7]}\n"
                                   "{\"ids\":[]}\n"
                                   "{\"text\":\"ab\"}\n");
    DataSpec spec = spec_of(&path, 4);
    assert_epoch(&spec, "| 20:21 21:-100 / | 30:31 31:32 32:33 33:34 / | 34:35 35:36 36:37 37:38 / "
                        "| 1:-100 107:108 108:109 109:-100 / | 40:0 41:-100 42:-100 43:-100 / | 44:7 45:-100 "
                        "| 54:7 55:-100 / | 1:107 107:108 108:2 2:-100 / ");
    Dataset *d = open_data(&spec);
    while (next_batch(d, 3).n) continue;
    DataStats s;
    dataset_stats(d, &s);
    assert_int_equal(s.epoch, 1);
    assert_int_equal(s.samples, 6);
    assert_int_equal(s.rows, 7);
    assert_int_equal(s.tokens, 2 + 4 + 4 + 4 + 4 + 4 + 4);
    assert_int_equal(s.truncated, 1);
    assert_int_equal(s.cut, 3);
    assert_int_equal(s.unlearned, 2);
    dataset_close(d);
}

static void test_docs(void **state) {
    (void)state;
    const char *path = write_file("docs.jsonl", "{\"ids\":[20,21]}\n\n{\"ids\":[22,23,24]}\n{\"ids\":[25,26]}\n");
    DataSpec spec = spec_of(&path, 5);
    Dataset *d = open_data(&spec);
    DataBatch b = next_batch(d, 8);
    static const DataDoc want[] = {{0, 2, NULL, 1}, {2, 3, NULL, 3}, {5, 2, NULL, 4}};
    assert_int_equal(b.n, 7);
    assert_int_equal(b.rows, 2);
    assert_int_equal(b.n_docs, COUNT_OF(want));
    for (size_t i = 0; i < b.n_docs; i++) {
        assert_int_equal(b.docs[i].from, want[i].from);
        assert_int_equal(b.docs[i].n, want[i].n);
        assert_int_equal(b.docs[i].line, want[i].line);
        assert_string_equal(b.docs[i].path, path);
    }
    assert_int_equal(next_batch(d, 8).n, 0);
    assert_int_equal(next_batch(d, 8).n, 7);
    char hash[SHA256_TEXT];
    size_t n;
    assert_true(dataset_sha256(d, 0, hash, NULL));
    assert_int_equal(strlen(hash), 64);
    assert_int_equal(dataset_files(d, &n)[0].bytes, 52);
    assert_int_equal(n, 1);
    dataset_close(d);
}

/* ---- text files ---- */

/* The documents of an epoch put together again. */
static void gather_text(const DataSpec *spec, Buf *out) {
    Dataset *d = open_data(spec);
    for (DataBatch b; (b = next_batch(d, 2)).n;)
        for (int64_t i = 0; i < b.n; i++) put_piece(NULL, b.ids[i], out);
    dataset_close(d);
}

static void test_text(void **state) {
    (void)state;
    const char *path = write_file("a.txt", "\xef\xbb\xbfOnce\nupon");
    DataSpec spec = spec_of(&path, 8);
    Buf got = {0}, want = {0}, text = {0};
    gather_text(&spec, &got);
    assert_string_equal(got.s, "<1>Once\nupon<2>");
    /* Long ones: parts end behind lines, before words, between characters; nothing is lost, BOS and EOS stand once. */
    for (int i = 0; i < 30000; i++) buf_printf(&text, "line %d\n%s", i, i % 7 ? "" : "\n\n");
    for (int i = 0; i < 30000; i++) buf_printf(&text, " word%d", i);
    for (int i = 0; i < 70001; i++) buf_str(&text, "\xe2\x82\xac");
    path = write_bytes("long.txt", text.s, text.n);
    buf_printf(&want, "<1>%s<2>", text.s);
    buf_clear(&got);
    spec = spec_of(&path, 4096);
    gather_text(&spec, &got);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.s, want.s, want.n);
    buf_release(&got);
    buf_release(&want);
    buf_release(&text);
}

/* ---- bad lines ---- */

typedef struct Told {
    int n;
    Buf text;
} Told;

static void tell(void *ctx, const char *message) {
    Told *t = ctx;
    t->n++;
    buf_printf(&t->text, "%s\n", message);
}

static void test_bad_lines(void **state) {
    (void)state;
    static const struct {
        Str line;
        const char *why;
    } cases[] = {
        {STR("{\"text\":\"a"), "ends inside a string"},
        {STR("[]"), "must be a JSON object"},
        {STR("7"), "must be a JSON object"},
        {STR("{}"), "there is no 'text'"},
        {STR("{\"prompt\":\"a\"}"), "there is no 'text'"},
        {STR("{\"text\":7}"), "'text' must be a string"},
        {STR("{\"text\":\"a\",\"text\":\"b\"}"), "'text' stands twice"},
        {STR("{\"text\":\"a\"} {}"), "invalid JSON"},
        {STR("{\"text\":\"REFUSE\"}"), "refused"},
        {STR("{\"messages\":{}}"), "'messages' must be a list"},
        {STR("{\"messages\":[{\"role\":1}]}"), "'role' must be a string"},
        {STR("{\"ids\":7}"), "'ids' must be a list"},
        {STR("{\"ids\":[1,2.5]}"), "'ids' must be a list"},
        {STR("{\"ids\":[1,[2]]}"), "'ids' must be a list"},
        {STR("{\"ids\":[1,-1]}"), "'ids' number 2 is -1"},
        {STR("{\"ids\":[1,1000]}"), "'ids' number 2 is 1000: must be 0 to 999"},
        {STR("{\"ids\":[1,2],\"labels\":[1]}"), "'labels' has 1 numbers, 'ids' 2"},
        {STR("{\"ids\":[1,2],\"labels\":[1,-99]}"), "or -100"},
        {STR("{\"ids\":[1,99999999999999999999]}"), "'ids'"},
        {STR("{\"text\":\"\0\"}"), "control character"},
        {STR("\0"), "invalid JSON"},
        {STR("{\"text\":\"\xff\"}"), "invalid UTF-8"},
        {STR("\xff\xfe"), "invalid JSON"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Buf file = {0}, where = {0};
        buf_str(&file, "{\"text\":\"first\"}\n\n");
        buf_put(&file, cases[i].line.s, cases[i].line.n);
        buf_str(&file, "\n{\"text\":\"last\"}\n");
        const char *path = write_bytes("bad.jsonl", file.s, file.n);
        buf_printf(&where, "%s:3: ", path);
        DataSpec spec = spec_of(&path, 16);
        spec.vocab = 1000;
        assert_fails(&spec, where.s);
        assert_fails(&spec, cases[i].why);
        Told told = {0};
        spec.skip_bad = true;
        spec.on_bad = tell;
        spec.on_bad_ctx = &told;
        Dataset *d = open_data(&spec);
        DataStats s;
        assert_int_equal(next_batch(d, 9).n_docs, 2);
        assert_int_equal(next_batch(d, 9).n, 0);
        dataset_stats(d, &s);
        assert_int_equal(s.bad, 1);
        assert_int_equal(told.n, 1);
        if (!strstr(told.text.s, cases[i].why) || !strstr(told.text.s, where.s)) fail_msg("%s", told.text.s);
        dataset_close(d);
        buf_release(&told.text);
        buf_release(&file);
        buf_release(&where);
    }
}

/* Where a batch failed half-way, the place is before it: nothing is lost to who goes on without the bad line. */
static void test_place_of_failure(void **state) {
    (void)state;
    const char *path =
        write_file("half.jsonl", "{\"ids\":[20,21]}\n{\"ids\":[22,23]}\n{\"ids\":[24,25]}\nx\n{\"ids\":[26,27]}\n");
    DataSpec spec = spec_of(&path, 8);
    spec.no_pack = true;
    Dataset *d = open_data(&spec);
    DataBatch b;
    Buf place = {0};
    assert_int_equal(next_batch(d, 2).rows, 2);
    assert_false(dataset_next(d, 2, &b, NULL));
    dataset_save(d, &place);
    dataset_close(d);
    spec.skip_bad = true;
    d = open_data(&spec);
    assert_true(dataset_restore(d, buf_view(&place), NULL));
    b = next_batch(d, 2);
    assert_int_equal(b.rows, 2);
    assert_int_equal(b.ids[0], 24);
    assert_int_equal(b.ids[2], 26);
    buf_release(&place);
    dataset_close(d);
}

static void repeat(Buf *b, const char *s, int n) {
    while (n--) buf_str(b, s);
}

static void test_hostile(void **state) {
    (void)state;
    Buf b = {0};
    repeat(&b, "{\"x\":", 100000);
    buf_str(&b, "\n{\"messages\":");
    repeat(&b, "[", 100000);
    buf_str(&b, "\n{\"text\":\"");
    repeat(&b, "0123456789abcdef", (32 << 20) / 16);
    buf_str(&b, "\"}\n{\"text\":\"");
    repeat(&b, "a", 1 << 20); /* long but fine */
    buf_str(&b, "\"}");
    const char *path = write_bytes("hostile.jsonl", b.s, b.n);
    DataSpec spec = spec_of(&path, 1 << 20);
    Told told = {0};
    spec.skip_bad = true;
    spec.on_bad = tell;
    spec.on_bad_ctx = &told;
    Dataset *d = open_data(&spec);
    assert_int_equal(next_batch(d, 2).n, (1 << 20) + 2);
    assert_int_equal(told.n, 3);
    assert_non_null(strstr(told.text.s, ":1: invalid JSON"));
    assert_non_null(strstr(told.text.s, ":2: invalid JSON"));
    assert_non_null(strstr(told.text.s, ":3: the line has 33554443 bytes"));
    dataset_close(d);
    buf_release(&told.text);
    path = write_file("broken.txt", "one\ntwo\n\xe2\x82");
    spec = spec_of(&path, 8);
    assert_fails(&spec, "broken.txt:3: invalid UTF-8");
    buf_release(&b);
}

/* ---- files and folders ---- */

static void test_files(void **state) {
    (void)state;
    const char *path = write_file("empty.jsonl", "");
    DataSpec spec = spec_of(&path, 8);
    assert_fails(&spec, "empty.jsonl': it is empty");
    path = write_file("blank.jsonl", "\n \n\n");
    assert_fails(&spec, "nothing to train on");
    path = write_file("no_label.jsonl", "{\"ids\":[5,6],\"labels\":[-100,-100]}\n");
    assert_fails(&spec, "1 samples without loss");
    path = write_bytes("binary.bin", "ab\0cd", 5);
    assert_fails(&spec, "neither text nor JSON lines");
    path = DIR_NAME "/absent";
    assert_fails(&spec, "cannot open");
    path = DIR_NAME "/none";
    mkdir(path, 0777);
    assert_fails(&spec, "holds no file");
    spec.n_paths = 0;
    assert_fails(&spec, "no file is named");
    spec.n_paths = 1;
    spec.seq_len = 1;
    assert_fails(&spec, "rows of 1 tokens");
    spec.seq_len = 8;
    spec.valid_part = 1;
    assert_fails(&spec, "held out");

    mkdir(DIR_NAME "/tree", 0777);
    mkdir(DIR_NAME "/tree/b", 0777);
    write_file("tree/c.txt", "3");
    write_file("tree/b/lines", " {\"text\":\"2\"}");
    write_file("tree/a", "1");
    write_file("tree/.hidden", "x");
    path = DIR_NAME "/tree";
    spec = spec_of(&path, 16);
    assert_epoch(&spec, "| 1:59 59:2 2:-100 | 1:60 60:2 2:-100 | 1:61 61:2 2:-100 / ");
}

/* ---- a corpus to shuffle ---- */

enum { LINES = 400 };

/* Two files: lines of every length and form, some of them bad, and a text. */
static void write_corpus(const char *paths[2]) {
    Buf b = {0};
    for (int i = 0; i < LINES; i++) {
        int n = (int)(rng_u64(7, 0, (uint64_t)i, RNG_SHUFFLE) % 60);
        if (i % 29 == 3)
            buf_str(&b, "{\"text\": broken}\n");
        else if (i % 3)
            buf_printf(&b, "{\"text\":\"%d %.*s\"}\n", i, n,
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567");
        else
            buf_printf(&b, "{\"prompt\":\"%d\",\"completion\":\"%.*s\"}\n", i, n,
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ01234567");
    }
    paths[0] = write_bytes("corpus.jsonl", b.s, b.n);
    paths[1] = write_file("corpus.txt", "A text of some length, which needs more than one row of the batch.");
    buf_release(&b);
}

static DataSpec corpus_spec(const char *const *paths) {
    return (DataSpec){
        .paths = paths, .n_paths = 2, .seq_len = 32, .seed = 5, .buffer = 50, .skip_bad = true, .eos = EOS};
}

/* Calls of dataset_next, each as text of its own. */
static void read_calls(Dataset *d, int64_t batch, int from, int to, Buf *calls) {
    for (int i = from; i < to; i++) {
        DataBatch b = next_batch(d, batch);
        put_batch(&calls[i], &b);
        buf_printf(&calls[i], "%zu documents", b.n_docs);
    }
}

static void release_all(Buf *bufs, int n) {
    for (int i = 0; i < n; i++) buf_release(&bufs[i]);
}

static void test_resume(void **state) {
    (void)state;
    enum { CALLS = 170, STOPS = 20 };
    const char *paths[2];
    write_corpus(paths);
    for (int kind = 0; kind < 5; kind++) {
        DataSpec spec = corpus_spec(paths);
        static Buf want[CALLS], got[CALLS];
        spec.no_pack = kind == 1;
        spec.no_shuffle = kind == 2;
        spec.ahead = kind == 3 ? -1 : kind == 4 ? 2 : 0;
        Dataset *d = open_data(&spec);
        DataStats end, now;
        read_calls(d, 4, 0, CALLS, want);
        dataset_stats(d, &end);
        assert_true(end.epoch > 0 && end.bad > 0 && end.cut > 0 && end.truncated > 0);
        dataset_close(d);
        for (uint64_t k = 0; k < STOPS; k++) {
            Buf place = {0};
            int stop = (int)(rng_u64(1, (uint64_t)kind, k, RNG_SHUFFLE) % CALLS);
            if (k < 3) stop = (int)k;
            d = open_data(&spec);
            read_calls(d, 4, 0, stop, got);
            dataset_save(d, &place);
            dataset_close(d);
            spec.ahead = k % 2 ? -1 : 3;
            d = open_data(&spec);
            if (k % 3 == 0) next_batch(d, 7); /* forgotten */
            assert_true(dataset_restore(d, buf_view(&place), NULL));
            read_calls(d, 4, stop, CALLS, got);
            dataset_stats(d, &now);
            assert_memory_equal(&now, &end, sizeof end);
            dataset_close(d);
            buf_release(&place);
            for (int i = 0; i < CALLS; i++) assert_string_equal(got[i].s, want[i].s);
            release_all(got, CALLS);
        }
        release_all(want, CALLS);
        memset(want, 0, sizeof want);
        memset(got, 0, sizeof got);
    }
}

static void test_rewind(void **state) {
    (void)state;
    const char *paths[2];
    write_corpus(paths);
    DataSpec spec = corpus_spec(paths);
    Dataset *d = open_data(&spec);
    Buf calls[2] = {0};
    Buf preview[2] = {0};
    read_calls(d, 8, 0, 1, calls);
    for (int i = 0; i < 9; i++) next_batch(d, 8);
    dataset_rewind(d);
    assert_true(dataset_preview(d, 9, false, &preview[0], NULL));
    read_calls(d, 8, 1, 2, calls);
    assert_true(dataset_preview(d, 9, false, &preview[1], NULL));
    assert_string_equal(calls[0].s, calls[1].s);
    assert_string_equal(preview[0].s, preview[1].s);
    release_all(calls, 2);
    release_all(preview, 2);
    dataset_close(d);
}

static void test_states(void **state) {
    (void)state;
    const char *paths[2];
    write_corpus(paths);
    DataSpec spec = corpus_spec(paths), other = spec;
    Dataset *d = open_data(&spec);
    Buf place = {0}, broken = {0};
    Err e = {0};
    for (int i = 0; i < 20; i++) next_batch(d, 4);
    dataset_save(d, &place);
    other.seed++;
    Dataset *x = open_data(&other);
    assert_false(dataset_restore(x, buf_view(&place), &e));
    assert_non_null(strstr(e.msg, "its options are others"));
    dataset_close(x);
    write_file("corpus.txt", "other");
    x = open_data(&spec);
    assert_false(dataset_restore(x, buf_view(&place), &e));
    assert_non_null(strstr(e.msg, "its files are others"));
    dataset_close(x);
    /* Whatever the bytes are: refused, or read on without harm. */
    for (uint64_t k = 0; k < 600; k++) {
        DataBatch b;
        buf_clear(&broken);
        buf_put(&broken, place.s, place.n);
        for (uint64_t i = 0; i <= k % 3; i++) {
            uint64_t u = rng_u64(2, k, i, RNG_SHUFFLE);
            broken.s[u % broken.n] = "0123456789-,\"}"[u / broken.n % 14];
        }
        if (k % 5 == 0) broken.n = k / 5 * broken.n / 120;
        if (dataset_restore(d, buf_view(&broken), &e))
            for (int i = 0; i < 3 && dataset_next(d, 4, &b, &e); i++) assert_true(b.n <= 4 * 32);
    }
    buf_release(&place);
    buf_release(&broken);
    dataset_close(d);
}

/* Samples of an epoch: how often each line is begun; returns a hash of their order. */
static uint64_t read_epoch(Dataset *d, int64_t batch, int *seen) {
    uint64_t order = 0;
    memset(seen, 0, (LINES + 1) * sizeof *seen);
    for (DataBatch b; (b = next_batch(d, batch)).n;)
        for (size_t i = 0; i < b.n_docs; i++) {
            const DataDoc *doc = &b.docs[i];
            int line = str_ends(str_of(doc->path), ".txt") ? 0 : (int)doc->line;
            order = hash_bytes(&line, sizeof line, order);
            if (b.index[doc->from] == 0 && (i == 0 || b.docs[i - 1].line != doc->line)) seen[line]++;
            assert_int_equal(b.index[doc->from], 0);
            assert_int_equal(b.index[doc->from + doc->n - 1], doc->n - 1);
        }
    return order;
}

static void test_shuffle(void **state) {
    (void)state;
    const char *paths[2];
    int first[LINES + 1], seen[LINES + 1];
    write_corpus(paths);
    DataSpec spec = corpus_spec(paths);
    spec.seq_len = 256; /* no sample is cut */
    Dataset *d = open_data(&spec);
    uint64_t a = read_epoch(d, 3, first), b = read_epoch(d, 5, seen);
    assert_true(a != b);
    assert_memory_equal(first, seen, sizeof first);
    for (int i = 1; i <= LINES; i++) assert_int_equal(first[i], (i - 1) % 29 != 3);
    dataset_close(d);
    spec.seed++;
    d = open_data(&spec);
    assert_true(read_epoch(d, 3, seen) != a);
    assert_memory_equal(first, seen, sizeof first);
    dataset_close(d);
    spec.seed--;
    spec.ahead = -1;
    d = open_data(&spec);
    assert_true(read_epoch(d, 4, seen) == a);
    assert_true(read_epoch(d, 1, seen) == b);
    dataset_close(d);
}

static void test_split(void **state) {
    (void)state;
    const char *paths[2];
    int train[LINES + 1], valid[LINES + 1];
    int held = 0;
    write_corpus(paths);
    DataSpec spec = corpus_spec(paths);
    spec.n_paths = 1;
    spec.seq_len = 256;
    spec.valid_part = 0.25;
    Dataset *d = open_data(&spec);
    read_epoch(d, 3, train);
    dataset_close(d);
    spec.want_valid = true;
    d = open_data(&spec);
    read_epoch(d, 3, valid);
    dataset_close(d);
    for (int i = 1; i <= LINES; i++) {
        assert_int_equal(train[i] + valid[i], (i - 1) % 29 != 3);
        held += valid[i];
    }
    assert_in_range(held, LINES / 4 - 45, LINES / 4 + 30); /* 3.5 deviations, and the bad lines */
    spec.valid_part = 0;
    assert_fails(&spec, "no held-out sample");
}

/* ---- packing changes what stands side by side, and nothing else ---- */

static void test_packed_equals_unpacked(void **state) {
    (void)state;
    const char *paths[2];
    Buf out[2] = {0};
    int64_t rows[2];
    write_corpus(paths);
    for (int k = 0; k < 2; k++) {
        DataSpec spec = corpus_spec(paths);
        spec.no_pack = k;
        Dataset *d = open_data(&spec);
        for (DataBatch b; (b = next_batch(d, 5)).n;) put_batch(&out[k], &b);
        DataStats s;
        dataset_stats(d, &s);
        rows[k] = s.rows;
        dataset_close(d);
    }
    assert_string_equal(out[0].s, out[1].s);
    assert_true(rows[0] < rows[1]);
    release_all(out, 2);
}

static void test_preview(void **state) {
    (void)state;
    const char *path = write_file("preview.jsonl", "{\"prompt\":\"hi\",\"completion\":\"ab\"}\nx\n{\"text\":\"c\"}\n");
    DataSpec spec = spec_of(&path, 32);
    Buf out = {0}, want = {0};
    spec.skip_bad = true;
    Dataset *d = open_data(&spec);
    assert_true(dataset_preview(d, 5, false, &out, NULL));
    buf_printf(&want,
               "skipped %s:2: invalid JSON at byte 0 (line 1): expected a value\n"
               "row 0: 2 documents, 9 of 32 tokens, loss on 5\n"
               "  %s:1: 6 tokens\n    - 1 114 115 \"<1>hi\"\n    + 107 108 2 \"ab<2>\"\n"
               "  %s:3: 3 tokens\n    - 1 \"<1>\"\n    + 109 2 \"c<2>\"\n",
               path, path, path);
    assert_string_equal(out.s, want.s);
    buf_clear(&out);
    buf_clear(&want);
    assert_true(dataset_preview(d, 5, true, &out, NULL));
    buf_printf(&want,
               "{\"event\":\"train_skipped\",\"why\":\"%s:2: invalid JSON at byte 0 (line 1): expected a value\"}\n"
               "{\"event\":\"train_sample\",\"row\":0,\"file\":\"%s\",\"line\":1,\"ids\":[1,114,115,107,108,2],"
               "\"labels\":[-100,-100,-100,107,108,2],\"text\":\"<1>hiab<2>\"}\n"
               "{\"event\":\"train_sample\",\"row\":0,\"file\":\"%s\",\"line\":3,\"ids\":[1,109,2],"
               "\"labels\":[-100,109,2],\"text\":\"<1>c<2>\"}\n",
               path, path, path);
    assert_string_equal(out.s, want.s);
    buf_release(&out);
    buf_release(&want);
    dataset_close(d);
}

/* ---- memory ---- */

static bool encode_words(void *ctx, Str text, bool begin, IdList *out, Err *e) {
    (void)ctx, (void)begin, (void)e;
    for (size_t i = 0; i + 4 <= text.n; i += 4) id_list_put(out, &(int32_t){BYTE + text.s[i]}, 1);
    return true;
}

/* Sanitizers have a heap of their own, of which nothing is told. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static size_t heap_bytes(void) {
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Pages of files in this process; 0 where only an emulator's would be seen. */
static size_t file_bytes(void) {
    char line[128];
    size_t kib = 0;
    FILE *f = getenv("LLMWS_EMULATOR") ? NULL : fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssFile: %zu", &kib) == 1) break;
    if (f) fclose(f);
    return kib << 10;
}

/* 50 MB of lines and of text: what is held is a block of places, a sample and a row, and of the files some pages. */
static void test_memory(void **state) {
    (void)state;
    enum { BYTES = 50 << 20, LIMIT = 2 << 20 };
    static const char *const names[] = {"big.jsonl", "big.txt"}; /* the lines are far shorter than a page */
    static const DataTexts words = {.encode = encode_words};
    if (SANITIZED) skip();
    for (int k = 0; k < 2; k++) {
        char path[256];
        snprintf(path, sizeof path, DIR_NAME "/%s", names[k]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        for (int64_t i = 0; ftell(f) < BYTES; i++)
            fprintf(f,
                    k ? "The story number %lld goes on and on, as stories do.\n"
                      : "{\"text\":\"The story number %lld goes on and on, as stories do, and it never ends.\"}\n",
                    (long long)i);
        assert_int_equal(fclose(f), 0);
        const char *p = path;
        DataSpec spec = {.paths = &p, .n_paths = 1, .seq_len = 512, .ahead = -1, .eos = EOS};
        size_t before = heap_bytes(), most = before, pages_before, pages;
        Dataset *d;
        assert_true(dataset_open(&spec, &words, &d, NULL));
        next_batch(d, 16); /* what runs is in memory then: code is a file, too */
        pages = pages_before = file_bytes();
        for (DataBatch b; (b = next_batch(d, 16)).n;) {
            most = MAX(most, heap_bytes());
            pages = MAX(pages, file_bytes());
        }
        DataStats s;
        dataset_stats(d, &s);
        assert_true(s.tokens > BYTES / 5);
        dataset_close(d);
        unlink(path);
        if (most - before > LIMIT) fail_msg("%s: %zu bytes were held", names[k], most - before);
        if (pages - pages_before > LIMIT) fail_msg("%s: %zu bytes of pages", names[k], pages - pages_before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),     cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_docs),      cmocka_unit_test(test_text),
        cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_place_of_failure),
        cmocka_unit_test(test_hostile),   cmocka_unit_test(test_files),
        cmocka_unit_test(test_resume),    cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_states),    cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_split),     cmocka_unit_test(test_packed_equals_unpacked),
        cmocka_unit_test(test_preview),   cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
