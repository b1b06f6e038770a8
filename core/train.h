/* Training: the forward pass, its gradients and the optimiser as one graph and one plan. An update is one or more
 * micro-steps, whose gradients add up in their state, then the norm of all gradients, then the optimiser.
 *
 * The head is in the graph once and runs for a few rows after the other: their logits, their loss, their gradients
 * (Graph.repeat). Logits of all rows never stand in memory at once, and rows without a label never meet the head. */
#ifndef CORE_TRAIN_H
#define CORE_TRAIN_H

#include "core/build.h"
#include "core/exec.h"
#include "core/lora.h"
#include "core/optimizer.h"

typedef enum Precision { PRECISION_FP32, PRECISION_BF16 } Precision; /* of products; weights and sums are f32 */
typedef enum Attention {
    ATTENTION_SDPA,  /* in one pass */
    ATTENTION_MANUAL /* scores and weights are values of their own */
} Attention;

typedef struct TrainSpec {
    int64_t tokens;      /* of a micro-step */
    int64_t longest;     /* tokens of a sequence at most; 0: all */
    int64_t head_tokens; /* rows that meet the head at once; 0: 256 */
    bool checkpoint;     /* blocks keep their input alone and are computed again for their gradients */
    Precision precision;
    Attention attention;
    double dropout;      /* as BuildSpec has it */
    Optimizer optimizer; /* NONE: gradients only */
    AdjustLr adjust_lr;  /* of muon */
    const Lora *lora;    /* borrowed: its maps are trained in place of the model's weights; NULL: those are */
    uint64_t seed;       /* of what is new in lora, and of dropout */
    /* Whether weight decay is on a weight; NULL: on all. */
    bool (*decays)(void *ctx, const char *name, int ndim);
    void *decays_ctx;
} TrainSpec;

typedef struct Hyper { /* of one update */
    double lr, beta1, beta2, eps, weight_decay;
    double momentum; /* of sgd and muon */
    double adamw_lr; /* of what AdamW changes beside muon */
    double clip;     /* norm that all gradients together may have, 0: any */
} Hyper;

typedef struct TrainParam {
    const char *name;       /* of the weight */
    int weight, grad;       /* nodes: f32 state in the row order of the model's or the adapter's file */
    const UpdateRule *rule; /* NULL: gradients only */
    int state[MAX_STATES];  /* [rule->n_states] nodes */
} TrainParam;

/* Groups of weights that have hypers of their own: without decay, and beside muon. */
enum { GROUP_NO_DECAY = 1, GROUP_BESIDE = 2, GROUP_COUNT = 4 };

typedef struct HeadNodes {
    int rows, labels, loss, weights; /* weights: what each loss counts */
} HeadNodes;

typedef struct Trainer {
    const Model *m;
    TrainSpec spec;
    Graph g;
    ModelGraph io;
    Exec x;
    TrainParam *params;
    size_t n_params;
    HeadNodes head;
    int hyper[GROUP_COUNT], clip, norm2; /* nodes */
    int step_end, norm_end, update_end;  /* nodes at which the micro-step, the norm and the update end */
    Step step;
    int32_t *index, *reach, *first_row; /* [tokens] */
    float *freq[2], *freq_local;        /* of sequences within the original context, and beyond */
    int draw;                           /* node: what dropout draws by, -1: nothing does */
    int64_t updates, micros;            /* so far; micro-steps of the next update so far */
} Trainer;

/* Plans a micro-step of spec->tokens tokens; train_reserve takes the memory and copies the weights. m and b are
 * borrowed. */
bool train_prepare(Trainer *t, const Model *m, const TrainSpec *spec, Backend *b, Plan *plan, Err *e);
bool train_reserve(Trainer *t, Plan *plan, Backend *b, Err *e);
bool train_open(Trainer *t, const Model *m, const TrainSpec *spec, Backend *b, Err *e); /* both */
void train_close(Trainer *t);

/* Tokens of a micro-step, as many as planned at most. Token i is the index[i]-th of its sequence: a 0 begins the next
 * one, and no token sees another sequence. labels[i] is what should follow ids[i], -100 for no loss. */
typedef struct TrainBatch {
    const int32_t *ids, *labels, *index;
    int64_t n;
} TrainBatch;

/* Adds the gradients of weight * (sum of the losses of all labels) to what is there since the last update; *loss is
 * that sum without weight. */
bool train_micro(Trainer *t, const TrainBatch *batch, double weight, double *loss, Err *e);
/* The sum of the losses of all labels and nothing else: no gradients, no dropout; an update that has begun goes on as
 * if it had not been asked. */
bool train_loss(Trainer *t, const TrainBatch *batch, double *loss, Err *e);
/* Norm of all gradients together, before clipping. */
double train_norm(Trainer *t);
/* Changes the weights by the gradients (after train_norm) and clears them. */
void train_update(Trainer *t, const Hyper *how);
void train_clear(Trainer *t); /* the gradients alone */

const TrainParam *train_param(const Trainer *t, const char *name); /* NULL: unknown */
/* Elements of a state of a parameter. */
int64_t train_count(const Trainer *t, const TrainParam *p);

#endif
