/* The graph of training (core/train.h): body, head in parts, gradients, norm, optimiser, in the order in which they
 * run. */
#ifndef CORE_TRAIN_GRAPH_H
#define CORE_TRAIN_GRAPH_H

#include "core/train.h"

/* Fills t->g and all node numbers of *t, whose model and spec are set. */
bool train_graph(Trainer *t, Err *e);

#endif
