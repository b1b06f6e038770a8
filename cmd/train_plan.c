/* What a training would reserve, and whether a device holds it. */
#include <inttypes.h>

#include "cmd/json_out.h"
#include "cmd/train.h"

static void put_json(Buf *b, const LlmwsTrainOptions *how, const LlmwsPlan *plan) {
    event_begin(b, "train_plan");
    json_int(b, "batch_size", how->batch_size);
    json_int(b, "grad_accum", how->grad_accum);
    json_int(b, "seq_len", how->seq_len);
    for (size_t i = 0; i < plan->n; i++) json_int(b, plan->rows[i].name, plan->rows[i].bytes);
    json_int(b, "total", plan->total_bytes);
    event_end(b);
}

static void put_text(Buf *b, const LlmwsTrainOptions *how, const LlmwsPlan *plan) {
    Buf size = {0};
    buf_printf(b, "batch %" PRId64 " x accumulation %" PRId64 " x %" PRId64 " tokens, %s, isa %s, %d threads\n\n",
               how->batch_size, how->grad_accum, how->seq_len, plan->compute, plan->isa, plan->threads);
    for (size_t i = 0; i <= plan->n; i++) {
        const LlmwsPlanRow *r = i < plan->n ? &plan->rows[i] : NULL;
        buf_clear(&size);
        put_bytes(&size, r ? r->bytes : plan->total_bytes);
        buf_printf(b, "%-16s %12s%s\n", r ? r->name : "total", size.s, r && r->mapped ? "  (mapped)" : "");
    }
    buf_release(&size);
}

static bool check_device(const Ui *ui, const LlmwsPlan *plan, const char *gpu_mem, Err *e) {
    size_t room;
    if (!gpu_mem) return true;
    TRY(parse_bytes(gpu_mem, "--gpu-mem", &room, e));
    if ((int64_t)room >= plan->total_bytes) {
        ui_note(ui, "it fits into %s (unverified: this build has no GPU to lay the plan out on)", gpu_mem);
        return true;
    }
    return err_set(e, ERR_FIT,
                   "the training does not fit into %s: %.1f MiB are missing; give --grad-checkpoint, a "
                   "smaller --batch-size with more --grad-accum, or --seq-len",
                   gpu_mem, (double)(plan->total_bytes - (int64_t)room) / 0x1p20);
}

bool train_plan_show(const Ui *ui, LlmwsModel *m, const LlmwsTrainOptions *how, const char *gpu_mem, Err *e) {
    LlmwsPlan plan;
    Buf b = {0};
    TRY(llmws_train_estimate(m, how, &plan, e));
    (ui->json ? put_json : put_text)(&b, how, &plan);
    bool ok = out_flush(&b, e) && check_device(ui, &plan, gpu_mem, e);
    buf_release(&b);
    return ok;
}
