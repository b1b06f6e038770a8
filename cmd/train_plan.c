/* What a training would reserve, whether there is room for it, and what would make it fit: each change is planned as
 * the run itself would be. */
#include <inttypes.h>

#include "cmd/json_out.h"
#include "cmd/train.h"
#include "core/host.h"

/* ---- the plan ---- */

/* What a device of its own would hold: the rows before those of the program's tables. */
static int64_t device_bytes(const LlmwsPlan *p) {
    int64_t bytes = 0;
    for (size_t i = 0; i < p->n && strcmp(p->rows[i].name, "batches") != 0; i++) bytes += p->rows[i].bytes;
    return bytes;
}

/* What memory there is for a plan, and whether it holds it. */
typedef struct Room {
    const char *what; /* it does not fit into .. */
    int64_t bytes;
    bool device; /* one of its own, which holds none of the program's tables */
} Room;

static int64_t need_of(const Room *r, const LlmwsPlan *p) { return r->device ? device_bytes(p) : p->total_bytes; }
static bool fits(const Room *r, const LlmwsPlan *p) { return need_of(r, p) <= r->bytes; }

static void put_json(Buf *b, const LlmwsTrainOptions *how, const LlmwsPlan *plan, const Room *room) {
    event_begin(b, "train_plan");
    json_int(b, "batch_size", how->batch_size);
    json_int(b, "grad_accum", how->grad_accum);
    json_int(b, "seq_len", how->seq_len);
    for (size_t i = 0; i < plan->n; i++) json_int(b, plan->rows[i].name, plan->rows[i].bytes);
    json_int(b, "device", device_bytes(plan));
    json_int(b, "total", plan->total_bytes);
    if (room->device) {
        json_int(b, "gpu_mem", room->bytes);
        json_bool(b, "fits", fits(room, plan));
        json_bool(b, "verified", false);
    }
    event_end(b);
}

static void put_row(Buf *b, const char *name, int64_t bytes, const char *more) {
    Buf size = {0};
    put_bytes(&size, bytes);
    buf_printf(b, "%-16s %12s%s\n", name, size.s, more);
    buf_release(&size);
}

static void put_text(Buf *b, const LlmwsTrainOptions *how, const LlmwsPlan *plan, const Room *room) {
    buf_printf(b, "batch %" PRId64 " x accumulation %" PRId64 " x %" PRId64 " tokens, %s, isa %s, %d threads\n\n",
               how->batch_size, how->grad_accum, how->seq_len, plan->compute, plan->isa, plan->threads);
    for (size_t i = 0; i < plan->n; i++)
        put_row(b, plan->rows[i].name, plan->rows[i].bytes, plan->rows[i].mapped ? "  (mapped)" : "");
    put_row(b, "total", plan->total_bytes, "");
    put_row(b, "device", device_bytes(plan), "  (what a GPU would hold of it: the rows above batches)");
    if (room->device && fits(room, plan))
        buf_printf(b, "\nit fits into %s (unverified: no GPU here has laid the plan out)\n", room->what);
}

/* ---- room ---- */

static bool room_find(Room *r, const char *gpu_mem, Err *e) {
    size_t bytes;
    *r = (Room){"what memory is free", (int64_t)MIN(host_free_bytes(), (size_t)INT64_MAX), false};
    if (!gpu_mem) return true;
    TRY(parse_bytes(gpu_mem, "--gpu-mem", &bytes, e));
    *r = (Room){gpu_mem, (int64_t)bytes, true};
    return true;
}

/* ---- changes ---- */

static bool is(const char *word, const char *what) { return word && strcmp(word, what) == 0; }

static bool to_one_pass(LlmwsTrainOptions *o) {
    if (!is(o->attention, "manual")) return false;
    return o->attention = "sdpa", true;
}

static bool to_bf16(LlmwsTrainOptions *o) {
    if (is(o->precision, "bf16")) return false;
    return o->precision = "bf16", true;
}

static bool halve_batch(LlmwsTrainOptions *o) {
    const int64_t by = o->batch_size % 2 ? o->batch_size : 2; /* the update stays the same */
    o->batch_size /= by;
    return by > 1 && mul_i64(o->grad_accum, by, &o->grad_accum);
}

static bool to_checkpoints(LlmwsTrainOptions *o) {
    if (o->grad_checkpoint) return false;
    return o->grad_checkpoint = true;
}

static bool to_sgd(LlmwsTrainOptions *o) {
    if (is(o->optimizer, "sgd") && !(o->momentum > 0)) return false;
    return o->optimizer = "sgd", o->momentum = 0, true;
}

static bool to_adapter(LlmwsTrainOptions *o) {
    if (o->lora.rank) return false;
    return o->lora = (LlmwsLora){.rank = 8, .alpha = 16}, true;
}

static bool halve_rows(LlmwsTrainOptions *o) {
    enum { LEAST = 64 };
    return o->seq_len >= 2 * LEAST && (o->seq_len /= 2);
}

typedef struct Change {
    bool (*make)(LlmwsTrainOptions *o); /* false: there is nothing to change */
    bool often;                         /* again and again, until it fits */
    const char *cost;
    bool needs_model; /* that was trained before */
} Change;

/* The cheapest in speed first; then those that change what is learned. */
static const Change changes[] = {
    {to_one_pass, false, "faster, the same values"},
    {to_bf16, false, "faster; products are rounded"},
    {halve_batch, true, "about as fast, the same updates"},
    {to_checkpoints, false, "a third more time"},
    {to_sgd, false, "another optimizer, without state"},
    {to_adapter, false, "trains an adapter alone", true},
    {halve_rows, true, "shorter rows"},
};

/* The options by which two trainings differ. */
static void put_options(Buf *b, const LlmwsTrainOptions *was, const LlmwsTrainOptions *now) {
    const struct {
        const char *name;
        int64_t was, now;
    } sizes[] = {{"batch-size", was->batch_size, now->batch_size},
                 {"grad-accum", was->grad_accum, now->grad_accum},
                 {"seq-len", was->seq_len, now->seq_len}};
    const size_t begin = b->n;
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        if (sizes[i].was != sizes[i].now) buf_printf(b, " --%s %" PRId64, sizes[i].name, sizes[i].now);
    if (was->attention != now->attention) buf_printf(b, " --attention %s", now->attention);
    if (was->precision != now->precision) buf_printf(b, " --precision %s", now->precision);
    if (was->optimizer != now->optimizer) buf_printf(b, " --optimizer %s", now->optimizer);
    if (was->momentum > now->momentum) buf_str(b, " --momentum 0");
    if (was->lora.rank != now->lora.rank) buf_printf(b, " --lora r=%" PRId64, now->lora.rank);
    if (was->grad_checkpoint != now->grad_checkpoint) buf_str(b, " --grad-checkpoint");
    if (b->n > begin) memmove(b->s + begin, b->s + begin + 1, b->n - begin), b->n--; /* the first space */
}

typedef struct Advice {
    const Ui *ui;
    LlmwsModel *m;
    const LlmwsTrainOptions *how;
    Room room;
    bool is_new;  /* the model, which an adapter could not do without */
    int64_t need; /* of how */
    Buf *out;
    Buf best; /* options that make it fit, the cheapest */
} Advice;

static bool is_new(const LlmwsModel *m) {
    LlmwsModelInfo info;
    llmws_model_info(m, &info);
    return info.files == 0;
}

/* Makes a change of *o, as often as it takes; *need is then what it needs. false: it frees nothing. */
static bool change(const Advice *a, const Change *c, LlmwsTrainOptions *o, int64_t *need) {
    LlmwsTrainOptions next = *o;
    const int64_t before = *need;
    LlmwsPlan p;
    Err none;
    if (c->needs_model && a->is_new) return false;
    do {
        if (!c->make(&next) || !llmws_train_estimate(a->m, &next, &p, &none)) break;
        if (need_of(&a->room, &p) < *need) *o = next, *need = need_of(&a->room, &p);
    } while (c->often && *need > a->room.bytes);
    return *need < before;
}

static void put_advice(Advice *a, const LlmwsTrainOptions *o, int64_t need, const char *cost) {
    const bool enough = need <= a->room.bytes;
    Buf options = {0}, frees = {0}, then = {0};
    put_options(&options, a->how, o);
    put_bytes(&frees, a->need - need);
    put_bytes(&then, need);
    if (a->ui->json) {
        event_begin(a->out, "train_change");
        json_str(a->out, "options", buf_view(&options));
        json_int(a->out, "frees", a->need - need);
        json_int(a->out, "needs", need);
        json_bool(a->out, "fits", enough);
        event_end(a->out);
    } else {
        buf_printf(a->out, "  %-34s frees %10s, needs %10s %s  (%s)\n", options.s, frees.s, then.s,
                   enough ? "and fits" : "        ", cost);
    }
    if (enough && !a->best.n) buf_put(&a->best, options.s, options.n);
    buf_release(&options);
    buf_release(&frees);
    buf_release(&then);
}

static void advise(Advice *a) {
    LlmwsTrainOptions all = *a->how;
    int64_t need = a->need;
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        LlmwsTrainOptions one = *a->how;
        int64_t then = a->need;
        if (change(a, &changes[i], &one, &then)) put_advice(a, &one, then, changes[i].cost);
    }
    if (a->best.n) return;
    for (size_t i = 0; i < COUNT_OF(changes) && need > a->room.bytes; i++) change(a, &changes[i], &all, &need);
    if (need < a->need) put_advice(a, &all, need, "together");
}

/* ERR_FIT, and what would help in `out`, where the plan is larger than the room. */
static bool check_room(Advice *a, const LlmwsPlan *plan, Err *e) {
    Buf missing = {0};
    a->need = need_of(&a->room, plan);
    if (a->need <= a->room.bytes) return true;
    put_bytes(&missing, a->need - a->room.bytes);
    if (!a->ui->json)
        buf_printf(a->out, "\n%s more than %s. What would help, the cheapest in speed first:\n", missing.s,
                   a->room.what);
    advise(a);
    if (a->best.n)
        err_set(e, ERR_FIT, "the training does not fit into %s: %s are missing; give %s", a->room.what, missing.s,
                a->best.s);
    else
        err_set(e, ERR_FIT, "the training does not fit into %s: %s are missing; take a smaller model or more memory",
                a->room.what, missing.s);
    buf_release(&missing);
    buf_release(&a->best);
    return false;
}

bool train_plan_show(const Ui *ui, LlmwsModel *m, const LlmwsTrainOptions *how, const char *gpu_mem, Err *e) {
    LlmwsPlan plan;
    Buf b = {0};
    Advice a = {.ui = ui, .m = m, .how = how, .is_new = is_new(m), .out = &b};
    TRY(llmws_train_estimate(m, how, &plan, e) && room_find(&a.room, gpu_mem, e));
    (ui->json ? put_json : put_text)(&b, how, &plan, &a.room);
    bool there_is = check_room(&a, &plan, e);
    Err late;
    bool ok = out_flush(&b, there_is ? e : &late) && there_is;
    buf_release(&b);
    return ok;
}

bool train_plan_check(const Ui *ui, LlmwsModel *m, const LlmwsTrainOptions *how, Err *e) {
    LlmwsPlan plan;
    Buf b = {0};
    Advice a = {.ui = ui, .m = m, .how = how, .is_new = is_new(m), .out = &b};
    TRY(llmws_train_estimate(m, how, &plan, e) && room_find(&a.room, NULL, e));
    bool there_is = check_room(&a, &plan, e);
    Err late;
    if (!ui->json && b.n)
        err_text(ui, buf_view(&b));
    else
        out_flush(&b, &late);
    buf_release(&b);
    return there_is;
}
