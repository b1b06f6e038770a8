/* A tokenizer made of the data of a training. */
#ifndef CORE_LLMWS_TOK_DATA_H
#define CORE_LLMWS_TOK_DATA_H

#include "core/llmws_objects.h"

/* Trains a byte-level BPE of so many tokens on the texts of files and folders: on those of a sample of their lines
 * where they are large, which the log says. <|endoftext|> begins and ends texts; where the data have conversations,
 * there is a chat template (ChatML), and *turn_end becomes the id of <|im_end|>, which ends answers; else -1. */
bool tok_from_data(const LlmwsNewModel *how, const Log *log, TokSpec *out, int32_t *turn_end, Err *e);

#endif
