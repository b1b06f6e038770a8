/* Optimisers: how gradients change weights. An optimiser is a row of rules: one for the matrices between embeddings and
 * head, one for all other weights. A rule is what it keeps beside a weight and the nodes that change the weight.
 *
 * To add one: an op (core/ops.def), a rule and a row in core/optimizer.c. States may have any dtype; trainer_state
 * (core/llmws_train_save.c) and the plan take their names and sizes from here. */
#ifndef CORE_OPTIMIZER_H
#define CORE_OPTIMIZER_H

#include "core/graph.h"

typedef enum Optimizer {
    OPTIMIZER_NONE,
    OPTIMIZER_ADAMW,        /* Loshchilov & Hutter 2019, as torch.optim.AdamW */
    OPTIMIZER_SGD,          /* as torch.optim.SGD: decay is added to the gradient */
    OPTIMIZER_SGD_MOMENTUM, /* its momentum, without dampening */
    OPTIMIZER_MUON,         /* Jordan et al. 2024, as torch.optim.Muon; what is no hidden matrix by AdamW */
    OPTIMIZER_COUNT
} Optimizer;

/* What the learning rate of muon is multiplied with for a matrix of A rows and B columns, by torch's names. */
typedef enum AdjustLr {
    ADJUST_LR_ORIGINAL,        /* sqrt(max(1, A / B)) */
    ADJUST_LR_MATCH_RMS_ADAMW, /* 0.2 * sqrt(max(A, B)): learning rates of AdamW serve (Liu et al. 2025) */
    ADJUST_LR_COUNT
} AdjustLr;
extern const char *const adjust_lr_names[ADJUST_LR_COUNT];

enum { MAX_STATES = 2 };

typedef struct UpdateNodes {
    int weight, grad, state[MAX_STATES]; /* of one shape; f32 but for states */
    int hyper;                           /* f32 [8], see core/op_params.h */
    int scale;                           /* f32 [1] that gradients are multiplied with */
    AdjustLr adjust;
} UpdateNodes;

typedef struct StateSpec {
    const char *name; /* as torch calls it; checkpoints have it behind the weight's name */
    Dtype dtype;
} StateSpec;

typedef struct UpdateRule {
    StateSpec states[MAX_STATES];
    int n_states;
    void (*build)(Graph *g, const UpdateNodes *u);
} UpdateRule;

typedef struct OptimizerRow {
    const char *name; /* in checkpoints */
    const UpdateRule *matrices, *others;
} OptimizerRow;

extern const OptimizerRow optimizer_rows[OPTIMIZER_COUNT];

/* By the name that users know; with momentum sgd is another one than without. */
bool optimizer_from_name(const char *name, bool momentum, Optimizer *out);
bool adjust_lr_from_name(const char *name, AdjustLr *out);

#endif
