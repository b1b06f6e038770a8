/* Three JSON texts with a NUL byte between them: config.json and generation_config.json over the weights of a tiny
 * model, model.safetensors.index.json over two files of one tensor each. Taken, or refused with one line; what is taken
 * has sizes that a plan can be made of. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/cpu/cpu.h"
#include "core/sample.h"
#include "core/session.h"
#include "formats/json.h"
#include "formats/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what) {
    if (!holds) BUG("%s", what);
}

static void one_line(const Err *e) {
    expect(e->code != 0 && e->msg[0] && !strchr(e->msg, '\n'), "an error without a line");
}

static Str next_text(Str *rest) {
    const char *gap = rest->n ? memchr(rest->s, 0, rest->n) : NULL;
    Str text = {rest->s, gap ? (size_t)(gap - rest->s) : rest->n};
    *rest = gap ? (Str){gap + 1, rest->n - text.n - 1} : (Str){"", 0};
    return text;
}

/* ---- the settings ---- */

static void plan_session(const Model *m) {
    static Backend *b;
    Session s;
    LlmwsPlan plan;
    Err e = {0};
    if (!b) expect(cpu_backend_open(&(BackendOptions){.threads = 1, .isa = "ref"}, &b, &e), "no backend");
    if (session_prepare(&s, m, b, &(SessionSpec){.chunk = 4, .parallel = 1, .kv_type = DT_f32}, &e)) {
        session_plan(&s, &plan);
        for (size_t i = 0; i < plan.n; i++) expect(plan.rows[i].bytes >= 0, "a plan of negative size");
        session_release(&s);
    } else {
        one_line(&e);
    }
}

static void fuzz_config(Str config, Str generation) {
    static TensorFile tiny; /* opened once: its metadata are what changes */
    Err e = {0};
    if (!tiny.close) expect(tensor_file_open(TEST_DATA "/llama3", &tiny, &e), e.msg);
    TensorFile f = tiny;
    Arena a = {0};
    Model m;
    f.arena = (Arena){0};
    f.close = NULL;
    f.generation = (Value){.kind = VALUE_NULL};
    bool ok = json_parse(config, "config.json", &a, &f.meta, &e) &&
              (!generation.n || json_parse(generation, "generation_config.json", &a, &f.generation, &e));
    if (ok && f.meta.kind == VALUE_OBJECT && model_init(&m, &f, (Log){0}, &e)) {
        SampleDefaults d;
        if (!sample_defaults_read(&d, &m.file, &m.log, &e)) one_line(&e);
        if (hash_bytes(config.s, config.n, 0) % 16 == 0) plan_session(&m); /* slow beside the rest */
        Arena own = m.file.arena;
        model_release(&m);
        arena_release(&own);
    } else if (!ok) {
        one_line(&e);
    }
    arena_release(&f.arena);
    arena_release(&a);
}

/* ---- the index ---- */

static const char *in_dir(const char *name) {
    static char dir[] = "/tmp/fuzz_hf.XXXXXX", path[128];
    static bool made;
    if (!made) made = mkdtemp(dir) != NULL;
    expect(made, "no temporary folder");
    snprintf(path, sizeof path, "%s%s%s", dir, *name ? "/" : "", name);
    return path;
}

static void remove_dir(void) {
    static const char *const names[] = {"a.safetensors", "b.safetensors", "config.json",
                                        "model.safetensors.index.json"};
    for (size_t i = 0; i < COUNT_OF(names); i++) unlink(in_dir(names[i]));
    rmdir(in_dir(""));
}

static void put(const char *name, Str text) {
    FILE *f = fopen(in_dir(name), "wb");
    expect(f && fwrite(text.s, 1, text.n, f) == text.n && fclose(f) == 0, "cannot write");
}

static void fuzz_index(Str index) {
    static bool ready;
    TensorFile f;
    Err e = {0};
    if (!ready) {
        static const float x[2] = {1, 2};
        OutTensor a = {.name = "a", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = &x[0]};
        OutTensor b = {.name = "b", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = &x[1]};
        expect(safetensors_write(in_dir("a.safetensors"), NULL, &a, 1, &e), e.msg);
        expect(safetensors_write(in_dir("b.safetensors"), NULL, &b, 1, &e), e.msg);
        put("config.json", STR("{}"));
        ready = atexit(remove_dir) == 0;
    }
    put("model.safetensors.index.json", index);
    if (hf_open(in_dir(""), &f, &e)) {
        for (size_t i = 0; i < f.n; i++) expect(*(float *)f.tensors[i].t.data > 0, "a tensor that is not there");
        f.close(&f);
    } else {
        one_line(&e);
        expect(!f.close, "something is left to close");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    Str rest = {(const char *)data, n};
    Str config = next_text(&rest), generation = next_text(&rest), index = next_text(&rest);
    if (config.n) fuzz_config(config, generation);
    if (index.n) fuzz_index(index);
    return 0;
}
