/* Writes the logits that llama.cpp computes, in full float32; for check_smollm2.py (llama-perplexity stores 16 bits and
 * raises the tail).
 *
 *     llama_logits MODEL.gguf IDS.i32 WINDOW FIRST THREADS OUT.f32
 *
 * IDS holds int32 token ids, cut into windows of WINDOW; OUT gets the logits of positions FIRST .. WINDOW-2 of each.
 *
 * With S the source of llama.cpp and B the tree it was built in:
 *
 *     cc -O2 -c llama_logits.c -I S/include -I S/ggml/include
 *     L="B/src/libllama.a B/ggml/src/libggml.a B/ggml/src/libggml-cpu.a B/ggml/src/libggml-base.a"
 *     c++ -o llama_logits llama_logits.o $L -fopenmp -ldl -lpthread */
#include <stdio.h>
#include <stdlib.h>

#include "llama.h"

static void quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void fail(const char *what) {
    fprintf(stderr, "llama_logits: %s failed\n", what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 7) fail("reading the arguments MODEL IDS WINDOW FIRST THREADS OUT");
    int window = atoi(argv[3]), first = atoi(argv[4]), threads = atoi(argv[5]);
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model) fail("loading the model");
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = (uint32_t)window;
    p.n_threads = p.n_threads_batch = threads;
    struct llama_context *ctx = llama_init_from_model(model, p);
    if (!ctx) fail("making the context");
    int vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[6], "wb");
    if (!in || !out) fail("opening a file");
    llama_token *ids = malloc(sizeof(*ids) * (size_t)window);
    struct llama_batch b = llama_batch_init(window, 0, 1);
    while (fread(ids, sizeof(*ids), (size_t)window, in) == (size_t)window) {
        llama_memory_clear(llama_get_memory(ctx), true);
        b.n_tokens = window;
        for (int i = 0; i < window; i++) {
            b.token[i] = ids[i];
            b.pos[i] = i;
            b.n_seq_id[i] = 1;
            b.seq_id[i][0] = 0;
            b.logits[i] = i >= first;
        }
        if (llama_decode(ctx, b)) fail("decoding");
        for (int i = first; i < window - 1; i++)
            if (fwrite(llama_get_logits_ith(ctx, i), sizeof(float), (size_t)vocab, out) != (size_t)vocab)
                fail("writing");
    }
    if (fclose(out)) fail("writing");
    return 0;
}
