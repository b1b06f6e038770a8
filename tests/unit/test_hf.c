/* Hugging Face directories: whole, sharded, and damaged. */
#include "formats/store.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DIR_NAME TEST_TMP "/test_hf_dir"

static const char *in_dir(const char *name) {
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", DIR_NAME, name);
    return path[turn];
}

static void put(const char *name, const char *text) {
    Err e = {0};
    if (!write_text_file(in_dir(name), str_of(text), &e)) fail_msg("%s", e.msg);
}

static void clean(void) {
    DIR *d = opendir(DIR_NAME);
    if (!d) return;
    for (struct dirent *x; (x = readdir(d));)
        if (x->d_name[0] != '.') unlink(in_dir(x->d_name));
    closedir(d);
    rmdir(DIR_NAME);
}

static int setup(void **state) {
    (void)state;
    clean();
    return mkdir(DIR_NAME, 0755);
}

static int teardown(void **state) {
    (void)state;
    clean();
    return 0;
}

static void test_read(void **state) {
    (void)state;
    static const char *const dirs[] = {TEST_DATA "/llama2", TEST_DATA "/llama3", TEST_DATA "/llama3/model.safetensors"};
    for (size_t i = 0; i < COUNT_OF(dirs); i++) {
        TensorFile f;
        Err e = {0};
        if (!tensor_file_open(dirs[i], &f, &e)) fail_msg("%s", e.msg);
        assert_int_equal(f.format, STORE_HF);
        assert_true(str_is(value_get(&f.meta, "model_type")->s, "llama"));
        assert_int_equal(f.generation.kind, VALUE_OBJECT);
        const NamedTensor *t = tensor_file_find(&f, STR("model.embed_tokens.weight"));
        assert_non_null(t);
        assert_int_equal(t->t.ne[0], value_get(&f.meta, "vocab_size")->i);
        assert_int_equal(t->t.ne[1], value_get(&f.meta, "hidden_size")->i);
        assert_int_equal(f.n_files, 1);
        f.close(&f);
        assert_null(f.mappings);
    }
}

/* The tensors of a model as what a writer takes; the caller frees them. */
static OutTensor *as_out(const TensorFile *f) {
    OutTensor *out = mem_alloc(f->n, sizeof *out);
    for (size_t i = 0; i < f->n; i++) {
        const Tensor *t = &f->tensors[i].t;
        out[i] = (OutTensor){.name = f->tensors[i].name.s, .dtype = t->dtype, .ndim = t->ndim, .data = t->data};
        memcpy(out[i].ne, t->ne, sizeof t->ne);
    }
    return out;
}

static void assert_same(const TensorFile *a, const TensorFile *b) {
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        const Tensor *x = &a->tensors[i].t;
        const NamedTensor *found = tensor_file_find(b, a->tensors[i].name);
        int64_t bytes;
        assert_non_null(found);
        assert_int_equal(x->dtype, found->t.dtype);
        assert_int_equal(x->ndim, found->t.ndim);
        assert_memory_equal(x->ne, found->t.ne, sizeof x->ne);
        assert_true(tensor_bytes(x->dtype, x->ndim, x->ne, &bytes));
        assert_memory_equal(x->data, found->t.data, (size_t)bytes);
    }
}

static int64_t total_bytes(const TensorFile *f) {
    int64_t total = 0, bytes;
    for (size_t i = 0; i < f->n; i++) {
        assert_true(tensor_bytes(f->tensors[i].t.dtype, f->tensors[i].t.ndim, f->tensors[i].t.ne, &bytes));
        total += bytes;
    }
    return total;
}

static void test_round_trip(void **state) {
    (void)state;
    TensorFile f, g;
    Err e = {0};
    assert_true(tensor_file_open(TEST_DATA "/llama2", &f, &e));
    OutTensor *out = as_out(&f);
    put("config.json", "{}");
    const int64_t total = total_bytes(&f), sizes[] = {total / 3, 1, total, 0}; /* the last two: one file */
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        if (!safetensors_write_dir(DIR_NAME, sizes[i], out, f.n, &e)) fail_msg("%s", e.msg);
        if (!hf_open(DIR_NAME, &g, &e)) fail_msg("%s", e.msg);
        assert_same(&f, &g);
        if (i == 0) assert_in_range(g.n_files, 3, 5);
        if (i == 1) assert_int_equal(g.n_files, f.n); /* a tensor that is larger than a shard gets its own */
        if (i >= 2) assert_int_equal(g.n_files, 1);
        for (size_t k = 0; k < g.n; k++) assert_in_range(g.tensors[k].file, 0, g.n_files - 1);
        assert_int_equal(g.generation.kind, VALUE_NULL);
        g.close(&g);
    }
    assert_false(safetensors_write_dir(DIR_NAME, 1, out, f.n, &e)); /* model.safetensors would hide the shards */
    assert_non_null(strstr(e.msg, "model.safetensors"));
    assert_false(safetensors_write_dir(DIR_NAME "/a/b", 0, out, f.n, &e));
    assert_int_equal(e.code, ERR_IO);
    free(out);
    f.close(&f);
}

/* Two shards of one tensor each, and the index that fits them. */
static void put_shards(const char *index) {
    static const float one = 1, two = 2;
    OutTensor a = {.name = "a", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = &one};
    OutTensor b = {.name = "b", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = &two};
    Err e = {0};
    put("config.json", "{\"model_type\":\"llama\"}");
    assert_true(safetensors_write(in_dir("s1.safetensors"), NULL, &a, 1, &e));
    assert_true(safetensors_write(in_dir("s2.safetensors"), NULL, &b, 1, &e));
    put("model.safetensors.index.json", index);
}

static void assert_bad(const char *path, const char *names, const char *says) {
    TensorFile f;
    Err e = {0};
    assert_false(tensor_file_open(path, &f, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(f.close);
    assert_null(strchr(e.msg, '\n'));
    if (!strstr(e.msg, names)) fail_msg("'%s' does not name '%s'", e.msg, names);
    if (!strstr(e.msg, says)) fail_msg("'%s' does not say '%s'", e.msg, says);
}

static void test_index(void **state) {
    (void)state;
    static const char good[] = "{\"metadata\":{\"total_size\":8},\"weight_map\":{\"a\":\"s1.safetensors\","
                               "\"b\":\"s2.safetensors\"},\"more\":[1,{}]}";
    static const struct {
        const char *index, *says;
    } rows[] = {
        {"", "ends"},
        {"[]", "object"},
        {"{", "ends"},
        {"{}", "no weight_map"},
        {"{\"weight_map\":{}}", "no weight_map"},
        {"{\"weight_map\":[]}", "object"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}} x", "follows"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"},\"weight_map\":{}}", "one object"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\",\"a\":\"s1.safetensors\"}}", "twice"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\"}}", "'a' is not"}, /* replaced below */
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s1.safetensors\"}}", "'b' is not in"},
        {"{\"weight_map\":{\"a\":\"s2.safetensors\",\"b\":\"s1.safetensors\"}}", "'a' is not in"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\",\"c\":\"s2.safetensors\"}}", "'c' is not"},
        {"{\"weight_map\":{\"a\":1}}", "does not name a file"},
        {"{\"weight_map\":{\"a\":\"\"}}", "does not name a file"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "does not name a file"},
        {"{\"weight_map\":{\"a\":\"../test_hf_dir/s1.safetensors\"}}", "does not name a file"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "does not name a file"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\\u0000\"}}", "does not name a file"},
    };
    TensorFile f;
    Err e = {0};
    put_shards(good);
    if (!hf_open(DIR_NAME, &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.n_files, 2);
    assert_true(*(float *)tensor_file_find(&f, STR("b"))->t.data == 2);
    f.close(&f);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool fewer = strcmp(rows[i].says, "'a' is not") == 0;
        put("model.safetensors.index.json", rows[i].index);
        if (fewer) { /* a shard holds a tensor that the index does not name */
            static const float x[2];
            OutTensor two[] = {{.name = "a", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = x},
                               {.name = "extra", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = x}};
            assert_true(safetensors_write(in_dir("s1.safetensors"), NULL, two, 2, &e));
        }
        assert_bad(DIR_NAME, "model.safetensors.index.json", fewer ? "'extra'" : rows[i].says);
        if (fewer) put_shards(good);
    }
    put("model.safetensors.index.json", good);
    assert_int_equal(unlink(in_dir("s2.safetensors")), 0);
    assert_bad(DIR_NAME, "s2.safetensors", "No such file");
    put("s2.safetensors", "cut");
    assert_bad(DIR_NAME, "s2.safetensors", "too few");
    static const float one = 1;
    OutTensor a = {.name = "a", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = &one};
    assert_true(safetensors_write(in_dir("s2.safetensors"), NULL, &a, 1, &e));
    assert_bad(DIR_NAME, "s2.safetensors", "'a': it stands twice");
}

static void test_damaged(void **state) {
    (void)state;
    assert_bad(in_dir("nothing"), "nothing", "No such file");
    assert_bad(DIR_NAME, DIR_NAME, "config.json");
    put("config.json", "{\"a\":1,}");
    assert_bad(DIR_NAME, "config.json", "byte 7");
    put("config.json", "[]");
    assert_bad(DIR_NAME, "config.json", "object");
    put("config.json", "");
    assert_bad(DIR_NAME, "config.json", "ends");
    put("config.json", "{}");
    assert_bad(DIR_NAME, DIR_NAME, "neither model.safetensors nor");
    put("pytorch_model.bin", "PK\3\4");
    assert_bad(DIR_NAME, DIR_NAME, "pytorch_model.bin");
    assert_bad(in_dir("pytorch_model.bin"), "pytorch_model.bin", "PyTorch");
    put("model.safetensors", "");
    assert_bad(DIR_NAME, "model.safetensors", "too few");
    assert_bad(in_dir("model.safetensors"), "model.safetensors", "empty");
    put("model.safetensors", "some text that is no model");
    assert_bad(DIR_NAME, "model.safetensors", "header");
    assert_bad(in_dir("model.safetensors"), "model.safetensors", "neither");
    put("generation_config.json", "{\"temperature\": NaN}");
    assert_bad(DIR_NAME, "generation_config.json", "NaN");
    assert_int_equal(mkfifo(in_dir("fifo"), 0644), 0);
    assert_bad(in_dir("fifo"), "fifo", "FIFO");
    assert_bad("/dev/null", "/dev/null", "not a regular file");
    assert_bad("", "''", "No such file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
