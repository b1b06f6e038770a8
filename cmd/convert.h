/* The parts of llmws convert: what each tensor becomes, which files stand beside the weights, adapters. */
#ifndef CMD_CONVERT_H
#define CMD_CONVERT_H

#include "cmd/run_opts.h"
#include "core/convert.h"
#include "core/sample.h"
#include "formats/dirs.h"
#include "formats/formats.h"
#include "formats/store.h"

typedef struct ConvertOpts {
    RunOpts run;
    const char *output, *type, *imatrix, *max_shard, *pre, *base;
    OptList lora;
    bool force, allow_nan;
} ConvertOpts;

typedef struct Job {
    const ConvertOpts *o;
    Ui ui;
    const char *in, *out;
    bool to_gguf;
    const Mix *mix; /* --type; NULL: dtypes are kept */
    size_t max_shard;
    Model m;
    Export x;
    ConvertTensor *tensors; /* [x.n] */
    OutTensor *outs;        /* [x.n] */
    Imatrix imatrix;
    int64_t unimportant; /* quantised tensors that the importance matrix has nothing for */
    TokSpec tok;         /* what the export's metadata borrows from */
    Converter *converter;
    Progress progress;
    int64_t bytes_before, bytes_after;
    int64_t start_ns;
    Arena arena;
} Job;

/* ---- convert.c ---- */

/* What was done, on stdout. */
bool convert_report(const Job *j, Err *e);

/* ---- convert_plan.c ---- */

/* Fills tensors and outs from the export: dtypes as --type and the target want them, importance where it is known. */
bool plan_tensors(Job *j, Err *e);

/* ---- convert_files.c ---- */

/* What a GGUF file says beside the settings of the family: name, sampling, tokenizer. Put into j->x.meta. */
bool gguf_rest(Job *j, Err *e);
/* Every file of a Hugging Face directory but the weights, into dir. */
bool hf_rest(Job *j, const char *dir, Err *e);
/* ---- convert_target.c ---- */

/* OUT may be written: it is not IN, nothing is in its way, and `bytes` fit on its disk. */
bool target_check(const Job *j, Err *e);
bool target_fits(const Job *j, int64_t bytes, Err *e);
/* ---- convert_lora.c ---- */

/* IN is an adapter: writes it in the other format. */
bool convert_adapter(Job *j, Err *e);
/* Makes the tensors add the adapters of --lora. */
bool plan_merges(Job *j, Err *e);

#endif
