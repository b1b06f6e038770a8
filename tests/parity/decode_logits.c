/* Writes the logits of a prompt's last token and of each token decoded after it, through the public library;
 * check_smollm2.py builds and runs it.
 *
 *     decode_logits MODEL IDS.i32 PROMPT THREADS OUT.f32
 *
 * The first PROMPT of the int32 ids are evaluated in chunks, the rest one by one; f32 arithmetic and an f32 cache.
 * OUT gets a row of V floats each. */
#include <stdio.h>
#include <stdlib.h>

#include "llmws.h"

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "decode_logits: %s\n", what);
    exit(1);
}

int main(int argc, char **argv) {
    check(argc == 6, "usage: MODEL IDS.i32 PROMPT THREADS OUT.f32");
    size_t n = 0, prompt = (size_t)atol(argv[3]), cap = 1 << 20;
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[5], "wb");
    check(in && out, "a file cannot be opened");
    int32_t *ids = malloc(cap * sizeof *ids);
    check(ids && (n = fread(ids, sizeof *ids, cap, in)) > prompt, "too few ids");
    LlmwsErr e = {0};
    LlmwsSessionOptions opt = {.compute = "f32", .kv_type = "f32", .ctx = (int64_t)n, .threads = atoi(argv[4])};
    LlmwsModel *m = llmws_model_open(argv[1], NULL, &e);
    check(m, e.msg);
    LlmwsSession *s = llmws_session_open(m, &opt, &e);
    check(s, e.msg);
    int seq = llmws_seq_open(s, &e);
    check(seq >= 0, e.msg);
    LlmwsModelInfo info;
    llmws_model_info(m, &info);
    for (size_t at = 0, step = prompt; at < n; at += step, step = 1) {
        check(llmws_eval(s, seq, ids + at, step, &e), e.msg);
        check(fwrite(llmws_logits(s, seq), sizeof(float), (size_t)info.vocab, out) == (size_t)info.vocab,
              "writing failed");
    }
    llmws_session_close(s);
    llmws_model_close(m);
    free(ids);
    fclose(in);
    check(fclose(out) == 0, "writing failed");
    return 0;
}
