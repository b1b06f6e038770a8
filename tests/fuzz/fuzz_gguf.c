/* Any bytes as a GGUF file, or as the parts of a model where SPLIT stands between them: taken or refused with one line,
 * and all that is taken lies inside the bytes. What was taken is then asked for its tokenizer, which reads a text. */
#include <stdlib.h>

#include "formats/store.h"
#include "tokenizer/tokenizer.h"

#define SPLIT "-NEXT PART-"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what) {
    if (!holds) BUG("%s", what);
}

/* Walks a value to its last byte. */
static uint64_t touch(const Value *v) {
    uint64_t h = 0;
    size_t cursor = 0;
    Value item;
    if (v->kind == VALUE_STR) h = hash_bytes(v->s.s, v->s.n, 0);
    while (value_next(v, &cursor, &item)) h += touch(&item);
    for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->object.n; i++) h += touch(&v->object.items[i]);
    return h;
}

/* Each part in a block of its own, so that a sanitizer sees a read past it. */
static bool parse_parts(TensorFile *f, Str input, char **blocks, size_t max, Buf *list) {
    bool ok = true;
    for (size_t i = 0; ok && i < max; i++) {
        const char *gap = input.n ? memmem(input.s, input.n, SPLIT, sizeof SPLIT - 1) : NULL;
        Str part = {input.s, gap ? (size_t)(gap - input.s) : input.n};
        GgufSplit split = {-1, -1, -1};
        Err e = {0};
        blocks[i] = malloc(part.n + !part.n);
        if (part.n) memcpy(blocks[i], part.s, part.n);
        ok = gguf_parse(f, (Str){blocks[i], part.n}, list, &split, &e);
        expect(ok == (e.code == 0) && !strchr(e.msg, '\n'), "an error without a line");
        expect(!ok || (split.no >= 0 && split.no < split.count), "a part outside its model");
        if (!gap) break;
        input = (Str){gap + sizeof SPLIT - 1, input.n - part.n - (sizeof SPLIT - 1)};
    }
    return ok;
}

static void use_tokenizer(const TensorFile *f) {
    TokSpec spec;
    Tokenizer *t;
    TokenList ids = {0};
    Err e = {0};
    if (gguf_tok_spec(f, &spec, &e) && tokenizer_new(&spec, &t, &e)) {
        bool ok = tokenizer_encode(t, STR("ab <x>a 12\xff the\t\n \xe6\x97\xa5"), LLMWS_TOK_ADD_SPECIAL, &ids, &e);
        for (size_t i = 0; ok && i < ids.n; i++)
            expect(ids.ids[i] >= 0 && ids.ids[i] < spec.n_vocab, "an id lies outside the vocabulary");
        token_list_release(&ids);
        tokenizer_free(t);
    } else {
        expect(e.code == ERR_INPUT && e.msg[0] && !strchr(e.msg, '\n'), "an error without a line");
    }
    tok_spec_release(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TensorFile f;
    Buf list = {0};
    char *blocks[4] = {0};
    uint64_t h = 0;
    store_begin(&f, STORE_GGUF, "fuzz");
    bool ok = parse_parts(&f, (Str){(const char *)data, n}, blocks, COUNT_OF(blocks), &list);
    if (ok) {
        store_take_list(&f, &list);
        h = touch(&f.meta);
        use_tokenizer(&f);
    }
    for (size_t i = 0; ok && i < f.n; i++) {
        const Tensor *t = &f.tensors[i].t;
        int64_t bytes;
        expect(tensor_bytes(t->dtype, t->ndim, t->ne, &bytes), "a shape that is too large was taken");
        expect(tensor_file_find(&f, f.tensors[i].name) == &f.tensors[i], "the index does not find a tensor");
        h += hash_bytes(t->data, (size_t)bytes, 0);
    }
    volatile uint64_t seen = h; /* keeps the reads */
    (void)seen;
    buf_release(&list);
    f.close(&f);
    for (size_t i = 0; i < COUNT_OF(blocks); i++) free(blocks[i]);
    return 0;
}
