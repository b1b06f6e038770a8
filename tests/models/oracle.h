/* The oracle: tiny models under tests/data with what transformers computes for them, see tests/make_goldens.py. */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/cpu/cpu.h"
#include "core/export.h"
#include "core/session.h"
#include "formats/formats.h"
#include "formats/json.h"

typedef struct Oracle {
    const char *name;
    Arena arena;
    Value expected;    /* the model's object of expected.json */
    TensorFile arrays; /* expected/<name>.safetensors */
} Oracle;

#define OK(call, e)                                                                                                    \
    do {                                                                                                               \
        if (!(call)) fail_msg("%s", (e).msg);                                                                          \
    } while (0)

static inline void oracle_open(Oracle *o, const char *name) {
    Err e = {0};
    Mapping m;
    Value all;
    *o = (Oracle){.name = name};
    OK(map_file(TEST_DATA "/expected/expected.json", &m, &e), e);
    OK(json_parse((Str){m.bytes, m.n}, "expected.json", &o->arena, &all, &e), e);
    unmap_file(&m);
    o->expected = *value_get(&all, name);
    OK(safetensors_open(arena_printf(&o->arena, TEST_DATA "/expected/%s.safetensors", name), &o->arrays, &e), e);
}

static inline void oracle_close(Oracle *o) {
    o->arrays.close(&o->arrays);
    arena_release(&o->arena);
}

static inline const Value *oracle_value(const Oracle *o, const char *path) {
    const Value *v = value_path(&o->expected, path);
    if (!v) fail_msg("%s: no expected value '%s'", o->name, path);
    return v;
}

static inline size_t oracle_ids(const Oracle *o, const char *path, int32_t *out, size_t most) {
    const Value *v = oracle_value(o, path);
    size_t n = value_count(v);
    assert_true(n <= most);
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)value_item(v, i).i;
    return n;
}

static inline double oracle_number(const Oracle *o, const char *path) {
    double f = 0;
    Err e = {0};
    OK(value_as_float(oracle_value(o, path), path, &f, &e), e);
    return f;
}

static inline const Tensor *oracle_array(const Oracle *o, const char *name) {
    const NamedTensor *t = tensor_file_find(&o->arrays, str_of(name));
    if (!t) fail_msg("%s: no expected array '%s'", o->name, name);
    return &t->t;
}

static inline void model_load(Model *m, const char *path) {
    Err e = {0};
    TensorFile f = {0};
    OK(tensor_file_open(path, &f, &e), e);
    OK(model_init(m, &f, (Log){0}, &e), e);
}

/* All tensors of an export with their data, in its arena. */
static inline OutTensor *oracle_outputs(Export *x) {
    OutTensor *out = ARENA_NEW(&x->arena, OutTensor, x->n);
    for (size_t i = 0; i < x->n; i++) {
        const ExportTensor *t = &x->tensors[i];
        int64_t bytes;
        assert_true(tensor_bytes(t->dtype, t->ndim, t->ne, &bytes));
        void *data = arena_alloc(&x->arena, (size_t)bytes, 1);
        export_rows(t, 0, export_row_count(t), data);
        out[i] = (OutTensor){.name = t->name, .dtype = t->dtype, .ndim = t->ndim, .data = data};
        memcpy(out[i].ne, t->ne, sizeof out[i].ne);
    }
    return out;
}

/* Weights of two dims and more in another dtype, as a file of that dtype has them; those that do not fit its blocks
 * stay.
 */
static inline void cast_weights(TensorFile *f, Dtype to) {
    for (size_t i = 0; i < f->n; i++) {
        Tensor *t = &f->tensors[i].t, from = *t;
        int64_t width = from.ne[from.ndim - 1], bytes;
        if (from.ndim < 2 || !dtype_info[from.dtype].decode || !tensor_bytes(to, from.ndim, from.ne, &bytes)) continue;
        float *row = mem_alloc((size_t)width, sizeof *row);
        *t = tensor_dense(to, from.ndim, from.ne, arena_alloc(&f->arena, (size_t)bytes, 1));
        for (int64_t r = 0; r < tensor_rows(t); r++) {
            dtype_info[from.dtype].decode(tensor_row(&from, r), row, width);
            dtype_info[to].encode(row, tensor_row(t, r), width);
        }
        free(row);
    }
}

static inline double max_diff(const float *a, const float *b, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = d; /* a NaN sticks */
    }
    return worst;
}

#endif
