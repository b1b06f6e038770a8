/* An answer of the model, token by token: what generate and chat share between a prompt's ids and the end of the text.
 */
#ifndef CMD_ANSWER_H
#define CMD_ANSWER_H

#include "cmd/capture.h"
#include "cmd/sample_opts.h"
#include "cmd/think.h"
#include "tokenizer/stop.h"

typedef struct AnswerOpts { /* first field of the options of a command that answers */
    SampleOpts sample;
    const char *system, *reasoning;
    int64_t max_tokens, logprobs;
    OptList stop;
} AnswerOpts;

extern const OptTable opts_answer;

typedef struct Answer {
    /* filled by the command before answer_open */
    const AnswerOpts *o;
    const Ui *ui;
    LlmwsModel *model;
    LlmwsTokenizer *tok; /* NULL: the model has none that is known; ids are printed instead of text */
    LlmwsSession *session;
    Capture *capture; /* NULL: none */
    int seq;
    int64_t ctx, chunk, vocab; /* of the session's plan; of the model */
    Sampling sampling;
    Progress progress;
    bool think;    /* spans of reasoning are told apart */
    bool end_line; /* the text ends with a newline; else only on a terminal */
    bool count_cached;
    Buf *event;         /* NULL: output goes to stdout; else the done event is all of it, and is put here, ... */
    const char *labels; /* ... with these members of JSON, and the tokens where logprobs were asked for */

    /* of the answer at hand */
    Ids ids;
    Buf all, reasoning; /* its text; what of it was thinking */
    size_t n_prompt, cached;
    int64_t start_ns, prompt_ns, decode_ns, ttft_ns;
    int64_t step_ns; /* when the last token was done with */
    int64_t decode_steps;
    const char *stop_reason; /* "eos", "length", "stop", "context" or "interrupt" */

    /* private */
    LlmwsDecoder *decoder;
    StopHold stop;
    Think split;
    Buf line, piece, thought; /* one piece of output; what a token let through the stop texts, and of it thinking */
    Buf tokens;               /* of an event: its tokens */
    int32_t *likely;          /* [logprobs] */
    float *masked;            /* [vocab] logits where a grammar bounds the answer */
} Answer;

/* ERR_USAGE for options that do not go together; before anything is opened. */
bool answer_check(const AnswerOpts *o, Err *e);
/* The system text of --system, appended; a file behind "@FILE". */
bool answer_system(const AnswerOpts *o, Buf *out, Err *e);
/* A new answer: forgets the last one. */
bool answer_begin(Answer *a, Err *e);
/* Computes the last n tokens of the prompt; a signal that cuts this short is no failure. */
bool answer_prompt(Answer *a, const int32_t *ids, size_t n, Err *e);
/* The prompt is computed: tokens may be drawn. */
void answer_prompted(Answer *a);
/* Draws and shows the token behind those that are computed. a->stop_reason tells whether that was the end; else the
 * last id of a->ids is to be computed next. */
bool answer_next(Answer *a, Err *e);
/* What ends the output: the rest of the text, a newline or an event. */
bool answer_end(Answer *a, Err *e);
/* From the computed prompt to the end. */
bool answer_run(Answer *a, Err *e);
/* Text to stdout; a terminal gets no control characters but newline and tab. */
bool answer_show_text(Answer *a, Str text, Err *e);
void answer_show_times(const Answer *a);
double answer_decode_rate(const Answer *a); /* tokens per second; NAN where there were none */
/* Not the model, tokenizer and session. */
void answer_release(Answer *a);

#endif
