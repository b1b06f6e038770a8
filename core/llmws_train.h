/* A training as the facade's parts see it. */
#ifndef CORE_LLMWS_TRAIN_H
#define CORE_LLMWS_TRAIN_H

#include <pthread.h>

#include "core/llmws_objects.h"
#include "core/schedule.h"
#include "core/train.h"
#include "formats/dataset.h"

typedef struct Gathered {          /* the micro-steps of an update */
    int32_t *ids, *labels, *index; /* [grad_accum * batch_size * seq_len] */
    int64_t *n;                    /* [grad_accum] tokens of each */
    int64_t n_tokens, n_labels;
    DataDoc *docs; /* growable: of all of them */
    size_t n_docs, cap;
} Gathered;

struct LlmwsTrain {
    LlmwsModel *m;
    LlmwsTrainOptions o; /* lists and texts of it are not used after opening */
    Backend *b;
    Trainer t;
    Plan plan; /* until it is reserved */
    bool reserved;
    bool opened; /* from here on data are read to be learned */
    Schedule schedule;
    Dataset *data, *eval;  /* eval: NULL: none */
    pthread_mutex_t texts; /* held by a callback of theirs: the two read at the same time */
    TokenList tokens;      /* of the callbacks */
    Lora lora;             /* that is trained, of lora_spec; rank 0: the weights are */
    LoraSpec lora_spec;
    Buf beside; /* where the tokenizer's files are: the last checkpoint, which outlives those before */
    Gathered now;
    int64_t evaluated, best; /* updates before the last and the best evaluation, -1: none */
    double best_loss;
};

/* Whether what t is going to reserve is free; ERR_FIT says what is missing. */
bool train_check_fits(const LlmwsTrain *t, Err *e);
/* What the dataset needs to make ids of texts. */
DataTexts train_texts(LlmwsTrain *t);

#endif
