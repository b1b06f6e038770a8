/* Rewrites of a graph, in the one order in which they may be used:
 *
 *     row -> graph (build.h) -> LoRA -> taps and patches -> autodiff (grad.h) -> cache -> rows -> compute -> fuse ->
 * plan
 *
 * Gradients come from the plain graph; the last four are for inference only and never cross a tap: a kept value is
 * computed as such. In training pass_bf16 stands in their place. */
#ifndef CORE_PASSES_H
#define CORE_PASSES_H

#include "core/graph.h"
#include "core/lora.h"

/* Beside every linear map from node `from` on whose weight l adapts, the low-rank maps of l are added to its output,
 * which keeps its names. A and B are leaves: weights of the dtype that their file has, or with `trainable` f32 state
 * whose gradients are wanted; those that stand before `from` are used again. Where a weight's rows have GGUF's order,
 * so has what is added. moved[i], which may be NULL, receives what stands for node i ([g->n] before); nodes before
 * `from` stay. */
bool pass_lora(Graph *g, const Lora *l, int from, bool trainable, int *moved, Err *e);

typedef struct PatchRule { /* at token indices [from, to) the named value x becomes fma(add, vec, mul * x) */
    const char *name;      /* a name or pattern (name_match) */
    PatchParams params;
    int64_t n; /* elements of vec, 0: none */
} PatchRule;

/* Changes named values; vecs[i] receives for rule i the NODE_INPUT that holds its vector (in file order of Hugging Face
 * rows), -1 for none. Every later reader sees the changed value, and so does a tap. A rule that matches nothing is an
 * error. */
bool pass_patch(Graph *g, const PatchRule *rules, int n, int *vecs, Err *e);

/* Keeps the values that match any of the patterns (NULL-terminated list, or NULL), in Hugging Face order; g->taps lists
 * them under the names by which they were found. A pattern that matches nothing is an error. */
bool pass_tap(Graph *g, const char *const *patterns, Err *e);

/* attention(q, k, v) of layer i becomes kv_store(k, v) and attention_kv(q), attn_scores and attn_mix likewise: keys and
 * values are read as the cache stores them. */
bool pass_cache(Graph *g, Err *e);

/* Where only the rows that `index` picks (OP_rows) are wanted of what ops make row by row (ROWS in ops.def), these ops
 * get those rows alone: rows(add(a, b)) becomes add(rows(a), rows(b)), and so on up to what needs other tokens too. Of
 * the last block of a model that is all behind its attention. Bits stay: a row never knows how many there are. */
bool pass_rows(Graph *g, int index, Err *e);

typedef enum Compute { COMPUTE_AUTO, COMPUTE_F32, COMPUTE_BF16, COMPUTE_INT8 } Compute;
bool compute_from_name(const char *name, Compute *out);
extern const char *const compute_names[];

/* Puts a cast before products: int8 products for quantised weights, bf16 for BF16 weights, f32 for the rest (auto). A
 * value cast once serves all its readers. */
bool pass_compute(Graph *g, Compute how, Err *e);

/* Two ops, of which the second alone reads what the first makes, become one that does the work of both in the same
 * order: an activation, the product with the values that it gates, and the cast before a product; a norm and that cast.
 * The table is in fuse.c; each such op in ops.def says which ops it stands for, and its bits are theirs. */
bool pass_fuse(Graph *g, Err *e);

/* Training in bf16: products of activations, gradients and weights of class FLOAT take both sides in bf16 and give f32.
 * moved[i] receives what stands for node i ([g->n] before). */
bool pass_bf16(Graph *g, int *moved, Err *e);

#endif
