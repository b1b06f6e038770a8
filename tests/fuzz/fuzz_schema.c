/* Any bytes as a schema: refused with one line, or a grammar that the reader of grammars takes. What it may refuse is
 * left to it: schemas that no value satisfies, that begin with themselves, or that are too large. */
#include "core/grammar.h"
#include "formats/json_schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool may_refuse(const char *why) {
    static const char *const reasons[] = {"ever complete", "begin with itself", "too large",
                                          "repetitions",   "nested deeper",     "more than 20000 rules"};
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (strstr(why, reasons[i])) return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    Buf gbnf = {0};
    Grammar g;
    Err e = {0};
    bool ok = json_schema_to_gbnf((Str){(const char *)data, n}, "fuzz", &gbnf, &e);
    if (ok == (e.code != 0) || strchr(e.msg, '\n')) abort();
    if (ok && grammar_parse(buf_view(&gbnf), &g, &e))
        grammar_release(&g);
    else if (ok && !may_refuse(e.msg))
        abort();
    buf_release(&gbnf);
    return 0;
}
