/* A session: one Cache, one plan, one way to sample, over a model that it borrows. The plan is made by session_prepare,
 * the memory is taken by session_reserve; in between, session_plan tells what it will be. Nothing is allocated
 * afterwards. */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include <stdatomic.h>

#include "core/build.h"
#include "core/cache.h"
#include "core/exec.h"
#include "core/packed.h"
#include "core/passes.h"
#include "core/sample.h"

typedef struct SessionSpec {
    int64_t ctx; /* 0: the trained length, cut to what free memory holds */
    int64_t chunk, parallel;
    Dtype kv_type;
    Compute compute;
    bool all_logits;
    const char *const *taps; /* borrowed while preparing */
    const LlmwsPatch *patches;
    size_t n_patches;
    Packed *packed;            /* the model's; NULL: weights stay as they are */
    bool pack_now;             /* while reserving, not while tokens flow */
    const Lora *lora;          /* adapters, borrowed while the session lives; NULL: none */
    void (*rewrite)(Graph *g); /* NULL: none; tests change with it what the family's row gave */
    bool plain;                /* without the passes that only save work: tests compare with them */
    LlmwsProgressFn *progress; /* NULL: nobody is told */
    void *progress_ctx;
} SessionSpec;

typedef struct Session {
    const Model *m;
    Backend *b;       /* borrowed */
    SessionSpec spec; /* resolved; pointers to taps and patches cleared */
    CacheSpec cache_spec;
    Graph g;
    ModelGraph io;
    Plan plan; /* until reserved, then exec's */
    Exec x;
    Cache *cache;
    int *patch_leaf; /* [n_patches] node of each vector, -1: none */
    float **patch_vec;
    size_t n_patches;
    uint64_t changes; /* hash of patches, compute and ISA: with the model's, the fingerprint of what the cache holds */
    /* one block: */
    char *tables;
    size_t table_bytes;
    Sampler sampler;
    int32_t *history;   /* [parallel][ctx] tokens of each sequence */
    int64_t *owed;      /* [parallel] tokens of a sequence whose recomputation was stopped, 0: none is owed */
    int64_t *logit_row; /* [parallel] row of the last step's logits, -1: none */
    int64_t last_rows;  /* rows of logits of the last step */
    size_t pack_at;     /* the next op whose weight may want another layout */
    int64_t light;      /* light steps so far */
    atomic_bool interrupted;
} Session;

/* Builds the graph and its plan. Fails with ERR_FIT, numbers and remedies where memory is short. */
bool session_prepare(Session *s, const Model *m, Backend *b, const SessionSpec *spec, Err *e);
bool session_reserve(Session *s, Err *e);
/* Lays out anew what is left of about so many bytes of weights. */
void session_pack(Session *s, int64_t bytes);
void session_release(Session *s);

void plan_add_row(LlmwsPlan *p, LlmwsPlanRow row);
/* Bytes by class, as they are or will be reserved: rows of *plan. */
void session_plan(const Session *s, LlmwsPlan *plan);
/* Bytes of the graph, its plan and the resolved steps: small blocks that are not part of the plan's classes. */
int64_t session_graph_bytes(const Session *s);

/* As the cache's; a sequence keeps its tokens where an interrupt stops their recomputation with other rotary positions
 * (longrope): the next evaluation goes on with it. */
int session_seq_open(Session *s, Err *e);
int64_t session_len(const Session *s, int seq);
bool session_truncate(Session *s, int seq, int64_t len, Err *e);

bool session_eval(Session *s, int seq, const int32_t *ids, size_t n, Err *e);
bool session_eval_batch(Session *s, const int *seqs, const int32_t *ids, size_t n, Err *e);
const float *session_logits(const Session *s, int seq);
bool session_sample(Session *s, int seq, const LlmwsSampling *how, const int32_t *banned, size_t n_banned, int32_t *id,
                    Err *e);
bool session_save(const Session *s, int seq, Sink to, Err *e);
/* On failure the sequence is open and empty. */
bool session_load(Session *s, int seq, Source from, Err *e);
int session_fork(Session *s, int seq, Err *e);

#endif
