/* The objects behind the public header's handles. Only the facade knows them: core/llmws_*.c, one file for each part of
 * that header. The facade alone may tie all rooms together. */
#ifndef CORE_LLMWS_OBJECTS_H
#define CORE_LLMWS_OBJECTS_H

#include "core/grammar_mask.h"
#include "core/llmws.h"
#include "core/session.h"
#include "formats/formats.h"
#include "tokenizer/tokenizer.h"

enum { MAX_ENDS = 16 };

struct LlmwsTokenizer {
    TokSpec spec;
    TensorFile file; /* of a tokenizer opened alone from a .gguf file */
    Tokenizer *tok;
    Buf piece;
};

struct LlmwsModel {
    Model m;
    LlmwsTokenizer *tok;
    int32_t ends[MAX_ENDS];
    size_t n_ends;
    SampleDefaults defaults;
    int64_t program_bytes; /* resident before the model came */
    Packed *packed;
    char *dtypes;
    const char *rope;
    TokenTries tries;      /* of the vocabulary, once a constraint wanted it */
    LlmwsConstraint *open; /* constraints, a list */
    Graph graph;           /* for listing its values */
    NameList modules;
    void (*rewrite)(Graph *g); /* of its sessions' graphs; only tests set it */
    Arena arena;
};

struct LlmwsSession {
    Session s;
    LlmwsModel *m;
    Backend *b;
    Adapter *adapters;
    size_t n_adapters;
    Lora lora; /* borrows from them */
};

/* Makes the tokenizer of t->spec; closes t on failure and returns NULL. path: for the error. */
LlmwsTokenizer *llmws_tokenizer_finish(LlmwsTokenizer *t, const char *path, Err *e);

/* An empty model, which knows what the process held before it came. */
LlmwsModel *llmws_model_begin(void);
/* What a model knows beside its weights: ids that end an answer, sampling, descriptions. m->m is open. */
bool llmws_model_ready(LlmwsModel *m, Err *e);

/* The device of a session or a training. name NULL: "auto", the best that there is. */
bool llmws_backend_open(const char *name, int threads, const char *isa, Backend **b, Err *e);

/* Adds what a model brings beside its weights to a plan: tables of names and of the tokenizer, headers of files, the
 * program itself. */
void plan_add_tables(LlmwsPlan *plan, const LlmwsModel *m);

/* Bytes that the open constraints of m hold; those that were forked share theirs. */
size_t constraints_bytes(const LlmwsModel *m);

#endif
