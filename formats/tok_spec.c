/* What the readers of tokenizers share, and the one that goes by path. */
#include "formats/formats.h"
#include "formats/hf_tok.h"
#include "formats/synthetic.h"

int32_t tok_spec_find(const TokSpec *spec, Str text) {
    for (int32_t id = 0; id < spec->n_vocab && text.n; id++)
        if (str_eq(spec->vocab[id], text)) return id;
    return -1;
}

const char tok_default_split[] = SPLIT_LLAMA3;

const char *tok_spec_kind(TokSpec *spec) {
    const char *name = spec->model == TOK_UNIGRAM   ? "unigram"
                       : spec->symbols == SYM_CHARS ? "SentencePiece BPE"
                                                    : "byte-level BPE";
    return arena_printf(&spec->arena, "%s, %d tokens", name, spec->n_vocab);
}

void tok_spec_release(TokSpec *spec) {
    arena_release(&spec->arena);
    *spec = (TokSpec){0};
}

static bool is_gguf(const char *path, Err *e, bool *yes) {
    Mapping m;
    TRY(map_model(path, &m, e));
    *yes = m.n >= 4 && memcmp(m.bytes, "GGUF", 4) == 0;
    unmap_file(&m);
    return true;
}

bool tok_spec_open(const char *path, TokSpec *spec, TensorFile *keep, Err *e) {
    bool gguf = synthetic_is(path);
    *keep = (TensorFile){0};
    *spec = (TokSpec){0};
    if (!gguf && !path_is_dir(path)) TRY(is_gguf(path, e, &gguf));
    if (!gguf) return hf_tok_spec(path, spec, e);
    TRY(gguf_open(path, keep, e));
    if (gguf_tok_spec(keep, spec, e)) return true;
    keep->close(keep);
    *keep = (TensorFile){0};
    return false;
}
