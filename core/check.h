/* Does a model work here? What `llmws test-models` asks of an open model on one backend. The public interface of the
 * library is all that it uses.
 *
 * Three answers to the same prompt are held together. The reference: f32 arithmetic, f32 keys and values, on the CPU,
 * token by token; its first logits are held to plain C (isa "ref") where that ends in seconds. The answer as the user
 * would get it, whole, token by token, in pieces, on another number of threads: equal bits. And, where there is one,
 * what was recorded of the reference on an earlier day. */
#ifndef CORE_CHECK_H
#define CORE_CHECK_H

#include "core/sha256.h"

typedef enum CheckState { CHECK_PASSED, CHECK_FAILED, CHECK_SKIPPED } CheckState;

typedef struct CheckResult {
    const char *name; /* "weights", "template", "prefill", ... */
    CheckState state;
    char why[300]; /* of what failed or was left out; "" */
} CheckResult;

enum { CHECK_NEW = 32, CHECK_PLACES = 4, CHECK_PROBES = 32, CHECK_RESULTS = 16 };

typedef struct CheckRecord {     /* what is kept of a model for later days */
    char templates[SHA256_TEXT]; /* of its chat templates; "" without any */
    int32_t ids[CHECK_NEW];      /* that the reference takes for the likeliest, one after the other */
    int64_t n_ids;
    float logits[CHECK_PLACES * CHECK_PROBES]; /* of the reference, at places of the prompt */
    double ppl;                                /* of the fixed text; 0: not measured */
} CheckRecord;

typedef struct CheckOptions {
    const char *backend, *isa, *compute, *kv_type; /* as in LlmwsSessionOptions */
    int threads;                                   /* 0: one per core */
    bool quick;                                    /* fewer tokens: seconds */
    double max_ppl;                                /* of the fixed text, where nothing is recorded */
    const CheckRecord *known;                      /* NULL: none */
} CheckOptions;

typedef struct CheckReport {
    CheckResult results[CHECK_RESULTS];
    size_t n;
    double ppl, own_ppl; /* of the fixed text, of its own answer; 0: not measured */
    double apart;        /* largest difference of a logit from the reference, in standard deviations of the logits */
    double prompt_tok_s, decode_tok_s;
    int64_t plan_bytes, peak_bytes; /* of the session that was timed */
    CheckRecord record;
} CheckReport;

/* Below so many parameters no model writes: its language is not judged, only what was recorded of it. */
#define CHECK_JUDGED_PARAMS 10000000

void check_model(LlmwsModel *m, const CheckOptions *o, CheckReport *r);
/* Opens and closes the model several times: memory in use, files and threads must be back after each. */
void check_leaks(const char *path, const CheckOptions *o, CheckReport *r);
/* Adds a result; the text is left out of what passed. */
void check_note(CheckReport *r, const char *name, CheckState state, const char *fmt, ...) PRINTF(4, 5);
bool check_failed(const CheckReport *r);

extern const char check_text[]; /* the fixed text, English */

/* What this process holds, as far as the system tells; 0 where it does not. */
typedef struct ProcessUse {
    int64_t resident, heap; /* bytes */
    int64_t files, threads;
} ProcessUse;
ProcessUse process_use(void);
/* Most resident bytes since process_peak_reset; false where the system cannot begin anew. */
bool process_peak_reset(void);
int64_t process_peak(void);

#endif
