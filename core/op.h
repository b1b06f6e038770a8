/* What an op is: its place in the list, its rules, and how a backend computes it. */
#ifndef CORE_OP_H
#define CORE_OP_H

#include "core/op_params.h"
#include "core/tensor.h"

typedef enum Op {
#define OP(name, params, min_in, max_in, flags) OP_##name,
#include "core/ops.def"
#undef OP
    OP_COUNT
} Op;

enum { MAX_IN = 6 };
enum { OPF_INPLACE = 1, OPF_VIEW = 2, OPF_NOGRAD = 4, OPF_EFFECT = 8, OPF_SUMS = 16, OPF_SCORES = 32, OPF_ROWS = 64 };

typedef union OpParams {
    NoParams none;
    EmbedParams embed;
    ViewParams view;
    CastParams cast;
    NormParams norm;
    GatedParams gated;
    RouteParams route;
    ExpertsParams experts;
    ScaleParams scale;
    DropoutParams dropout;
    CapParams cap;
    RopeParams rope;
    RopeOrderParams rope_order;
    AttnParams attn;
    KvParams kv;
    PatchParams patch;
    MixParams mix;
    MuonParams muon;
} OpParams;

typedef struct Graph Graph;
typedef struct Grad Grad;
typedef struct Node Node;

typedef struct OpInfo {
    const char *name;
    int min_in, max_in, flags;
    /* Fills ne, sym, ndim and dtype of n from its inputs, or says in *e what does not fit. */
    bool (*shape)(const Graph *g, Node *n, Err *e);
    /* Adds to the graph what the gradient of node id contributes to its inputs (grad_of, grad_give). */
    void (*grad)(Grad *gr, int id);
} OpInfo;

extern const OpInfo op_info[OP_COUNT];

/* ---- what a kernel sees ---- */

/* The tokens of one step, flat, whatever sequences they belong to; filled by the Cache (or by the trainer, without
 * pages). Token t is the index-th of sequence seq. In a step the tokens of one sequence are contiguous and ascending;
 * first_row is the row of the first of them, so that key j of the same sequence stands in row step_row0 + j when it is
 * in the step. */
typedef struct Step {
    int64_t n;                /* T */
    const int32_t *index;     /* [T] position in its sequence, 0-based */
    const int32_t *reach;     /* [T] end of its span, 0: none */
    const int32_t *first_row; /* [T] */
    /* paged keys and values, NULL in training */
    const int32_t *const *pages; /* [T] page table of the token's sequence: key j is in page pages[t][j / KV_PAGE] */
    char *const *kv;             /* [L] base of each layer's pool of pages */
    int64_t kv_page_bytes;       /* of one layer: K of all heads, then V of all heads */
    Dtype kv_dtype;
} Step;

/* The row of key 0 of token t's sequence, as if that were in the step. */
static inline int64_t step_row0(const Step *s, int64_t t) {
    const int64_t first = s->first_row[t];
    return first - s->index[first];
}

/* Keys [*lo, *hi) of its sequence that token t may attend to. */
static inline void step_keys(const Step *s, int64_t t, MaskRule mask, int64_t *lo, int64_t *hi) {
    mask_range(mask, s->index[t], s->reach[t], lo, hi);
}

/* A page of one layer holds KV_PAGE keys: K of each kv head, then V of each kv head, KV_PAGE * kv_row_bytes each time,
 * without padding. Floats: K [KV_PAGE/16][E][16] (16 keys in the lanes), V [KV_PAGE][E]. q8_0, with P = E rounded up to
 * blocks of 32, zeros behind E: K int8 [KV_PAGE/16][P/4][16][4], then f16 scales [KV_PAGE/16][P/32][16]; V int8
 * [KV_PAGE/4][P][4] (4 keys side by side), then scales [P/32][KV_PAGE]: what an integer product adds up is 4 bytes. */
enum { KV_PAGE = 64, KV_LANES = 16, ATTN_PARTITION = 256, ATTN_STRANDS = 8 };
/* A step of no more tokens has its strands computed apart from each other, by as many threads. */
enum { ATTN_SPLIT = 4 };

/* The first partition of a strand that holds any of the keys [lo, hi); one at or behind hi: there is none. */
static inline int64_t strand_first(int64_t lo, int strand) {
    const int64_t p = lo / ATTN_PARTITION;
    return p + (strand + ATTN_STRANDS - p % ATTN_STRANDS) % ATTN_STRANDS;
}
static inline bool strand_empty(int64_t lo, int64_t hi, int strand) {
    return strand_first(lo, strand) * ATTN_PARTITION >= hi;
}

/* Elements and bytes that a row of E keys or values takes in a page. */
static inline int64_t kv_row_len(Dtype t, int64_t E) {
    int64_t block = dtype_info[t].block;
    return (E + block - 1) / block * block;
}
static inline int64_t kv_row_bytes(Dtype t, int64_t E) { return dtype_row_bytes(t, kv_row_len(t, E)); }

typedef struct OpArgs {
    OpParams params;
    Tensor out;
    Tensor in[MAX_IN]; /* an absent input has ndim 0 */
    int n_in;
    const Step *step;
} OpArgs;

/* A kernel computes units [u0, u1) of its output. Units are independent of each other and may run in any order, on any
 * thread, twice: which thread computes a unit never changes a bit. scratch is private to the call, of the size asked
 * for, 64-byte aligned. */
typedef struct Kernel {
    const char *name; /* "ref", "avx512", ... */
    int64_t (*units)(const OpArgs *a);
    void (*run)(const OpArgs *a, int64_t u0, int64_t u1, void *scratch);
    size_t (*scratch)(const OpArgs *a); /* NULL: none. With the largest shapes that the plan allows */
    /* Moves units [u0, u1) into the output from memory of the same layout, where run had been told to put them. With it
     * a helper may be late: it computes beside the output, and what comes too late is left there. Such a kernel reads
     * inputs that may be changing meanwhile, so whatever they hold it stays inside of them. NULL: never late. */
    void (*copy)(const OpArgs *a, const char *staged, int64_t u0, int64_t u1);
    bool takes_packed; /* input 1, a weight, may be packed */
} Kernel;

#endif
