/* The one Cache: keys and values in pages, the rope table's frequencies and the step that kernels read. Every family
 * and backend uses it.
 *
 * 1. A sequence is a list of pages of KV_PAGE tokens; page j holds tokens [64j, 64j+64) of every layer.
 * 2. A page is shared by as many sequences as its count says; only a page of count 1 is ever written (extend copies the
 * others first).
 * 3. Token t of a sequence was written by the step that held it and is never changed; forgetting is dropping the tail.
 * 4. The pool is reserved whole when the cache is made; a page that was never used was never touched.
 * 5. Freed pages are taken again lowest first, so that memory in use stays compact.
 *
 * States of a sequence: free -> open (length 0) -> extended, truncated, forked, loaded in any order -> free. */
#ifndef CORE_CACHE_H
#define CORE_CACHE_H

#include "core/arch.h"
#include "core/backend.h"

typedef struct CacheSpec {
    int64_t layers, kv_heads, head_dim;
    Dtype dtype;            /* of keys and values: CACHE_DTYPES */
    int64_t ctx;            /* tokens of one sequence */
    int64_t max_seq;        /* sequences that can be full at once */
    int64_t max_step;       /* tokens of one step */
    RopeConfig rope, local; /* local: theta 0 where there is none */
} CacheSpec;

typedef struct Cache Cache;

#define CACHE_DTYPES "f32, f16, bf16, q8_0"
bool cache_takes(Dtype t);

/* Bytes that cache_new reserves: pool and tables. */
bool cache_bytes(const CacheSpec *spec, int64_t *pool, int64_t *tables, Err *e);
bool cache_new(const CacheSpec *spec, Backend *b, Cache **out, Err *e);
void cache_free(Cache *c);

/* Sequences: ids from 0; -1 with *e when max_seq are open. */
int cache_seq_open(Cache *c, Err *e);
/* A new sequence with the same tokens; shares the pages. */
int cache_seq_fork(Cache *c, int seq, Err *e);
void cache_seq_close(Cache *c, int seq);
bool cache_seq_valid(const Cache *c, int seq);
int64_t cache_seq_len(const Cache *c, int seq);
/* Whether its rotary positions are those of long sequences (rope_for); set while it is empty. */
bool cache_seq_far(const Cache *c, int seq);
void cache_seq_set_far(Cache *c, int seq, bool far);
/* Forgets tokens from len on. */
bool cache_seq_truncate(Cache *c, int seq, int64_t len, Err *e);

/* One step: begin, add tokens (those of one sequence together and in order), then cache_step gives what kernels read
 * and what the graph's rope input holds. Adding takes pages; a full context or pool is ERR_FIT and leaves the step as
 * it was before that token. abort gives back what was added. */
void cache_begin(Cache *c);
bool cache_add(Cache *c, int seq, Err *e);
void cache_abort(Cache *c);
const Step *cache_step(const Cache *c);
/* Cos and sin of every token of the step, [n, dims/2, 2]. Angle = position x frequency, rounded to f32 as the reference
 * does. */
void cache_rope(const Cache *c, bool local, float *out);

/* A sequence to and from storage. The fingerprint stands for all that decides what is stored: weights, changes to the
 * graph, instruction set. The same tokens give the same bytes, whatever was forgotten before them. Loading replaces
 * seq's tokens; a stream of another fingerprint, dtype or shape is ERR_INPUT. */
bool cache_seq_save(const Cache *c, int seq, uint64_t fingerprint, Sink to, Err *e);
bool cache_seq_load(Cache *c, int seq, uint64_t fingerprint, Source from, Err *e);

#endif
