/* Any bytes as a grammar: taken or refused with one line, and of what is taken every token that the mask allows can
 * come and leads to a place where something may come. */
#include "core/grammar_mask.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { V = 258, END = 256, STEPS = 12 };

/* Every byte is a token, then the end, then one of two bytes. */
static void vocabulary(TokenTries *t) {
    static char bytes[256];
    Str pieces[V] = {{0}};
    for (int i = 0; i < 256; i++) bytes[i] = (char)i, pieces[i] = (Str){bytes + i, 1};
    pieces[257] = STR("a\"");
    token_tries_make(t, pieces, V);
}

static void follow(Matcher *m, uint64_t seed) {
    Err e = {0};
    for (int i = 0; i < STEPS; i++) {
        const uint64_t *mask = matcher_mask(m, &e);
        if (!mask) {
            if (!strstr(e.msg, "too many ways")) abort(); /* every byte is a token: there are no dead ends */
            return;
        }
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int32_t id = (int32_t)(seed >> 33) % V;
        for (int k = 0; k < V && !(mask[id >> 6] >> (id & 63) & 1); k++) id = (id + 1) % V;
        if (!matcher_accept(m, id, &e) && !strstr(e.msg, "too many ways")) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    Grammar g;
    Err e = {0};
    bool ok = grammar_parse((Str){(const char *)data, n}, &g, &e);
    if (ok == (e.code != 0) || strchr(e.msg, '\n')) abort();
    if (!ok) return 0;
    TokenTries t;
    int32_t end = END;
    vocabulary(&t);
    Masker *k = masker_make(&g, &t, &end, 1);
    Matcher *m = matcher_new(k, &e);
    if (m) follow(m, n);
    matcher_free(m);
    masker_free(k);
    token_tries_release(&t);
    return 0;
}
