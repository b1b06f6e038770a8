/* What llmws test-models says: a row as soon as it is known, the sum at the end, the support matrix. */
#include <inttypes.h>
#include <math.h>

#include "cmd/json_out.h"
#include "cmd/test_models.h"
#include "core/dtype.h"
#include "formats/json.h"

static const char *const states[] = {"passed", "failed", "skipped"};
static const char *const colors[] = {"\033[32m", "\033[31m", "\033[33m"};

static void put_cell(Buf *b, int width, double x, int decimals) {
    if (x > 0)
        buf_printf(b, " %*.*f", width, decimals, x);
    else
        buf_printf(b, " %*s", width, "-");
}

static bool flush(Buf *b, Err *e) {
    bool ok = out_flush(b, e);
    buf_release(b);
    return ok;
}

bool put_test_head(const TestRows *t, const Ui *ui, Err *e) {
    Buf b = {0};
    if (ui->json) return true;
    buf_printf(&b, "%s%-*s %-8s %-11s %-7s %9s %9s %9s %9s  %s%s\n", ui->out_color ? "\033[1m" : "", t->name_width,
               "model", "family", "format", "backend", "ppl", "prompt/s", "decode/s", "memory", "result",
               ui->out_color ? "\033[0m" : "");
    return flush(&b, e);
}

static void put_text(Buf *b, const TestRows *t, const TestRow *r, const Ui *ui) {
    const CheckReport *c = &r->report;
    Buf size = {0};
    if (c->peak_bytes) put_bytes(&size, c->peak_bytes);
    Buf name = {0};
    put_inert(&name, str_of(r->absent ? "all" : path_end(r->model->path)), false);
    buf_printf(b, "%-*s %-8s %-11s %-7s", t->name_width, name.s, r->family, r->format, r->backend);
    put_cell(b, 9, c->ppl, c->ppl < 1000 ? 2 : 0);
    put_cell(b, 9, c->prompt_tok_s, 1);
    put_cell(b, 9, c->decode_tok_s, 1);
    buf_printf(b, " %9s  %s%s%s", size.s ? size.s : "-", ui->out_color ? colors[r->state] : "", states[r->state],
               ui->out_color ? "\033[0m" : "");
    if (r->state == CHECK_SKIPPED) buf_printf(b, ": %s", r->why);
    buf_char(b, '\n');
    for (size_t i = 0; i < c->n; i++)
        if (c->results[i].state == CHECK_FAILED || (ui->verbose && !ui->quiet))
            buf_printf(b, "  %-11s %s%s%s\n", c->results[i].name, states[c->results[i].state],
                       *c->results[i].why ? ": " : "", c->results[i].why);
    buf_release(&name);
    buf_release(&size);
}

static void put_json(Buf *b, const TestRow *r) {
    const CheckReport *c = &r->report;
    event_begin(b, "test");
    json_str(b, "model", str_of(path_end(r->model->path)));
    json_str(b, "path", str_of(r->model->path));
    json_str(b, "backend", str_of(r->backend));
    json_str(b, "result", str_of(states[r->state]));
    if (*r->why) json_str(b, "why", str_of(r->why));
    json_str(b, "family", str_of(r->family));
    json_str(b, "format", str_of(r->format));
    json_str(b, "dtypes", str_of(r->dtypes));
    json_int(b, "params", r->params);
    json_key(b, "checks");
    buf_char(b, '{');
    for (size_t i = 0; i < c->n; i++) json_str(b, c->results[i].name, str_of(states[c->results[i].state]));
    buf_char(b, '}');
    json_key(b, "notes");
    buf_char(b, '{');
    for (size_t i = 0; i < c->n; i++)
        if (*c->results[i].why) json_str(b, c->results[i].name, str_of(c->results[i].why));
    buf_char(b, '}');
    if (c->ppl > 0) json_num(b, "ppl", c->ppl);
    if (c->own_ppl > 0) json_num(b, "own_ppl", c->own_ppl);
    json_num(b, "apart", c->apart);
    json_num(b, "prompt_tok_s", round(c->prompt_tok_s * 10) / 10);
    json_num(b, "decode_tok_s", round(c->decode_tok_s * 10) / 10);
    json_int(b, "plan_bytes", c->plan_bytes);
    json_int(b, "peak_bytes", c->peak_bytes);
    json_num(b, "seconds", round(r->seconds * 1000) / 1000);
    event_end(b);
}

bool put_test_row(const TestRows *t, const TestRow *r, const Ui *ui, Err *e) {
    Buf b = {0};
    if (!ui->json && r->absent && r > t->rows && r[-1].absent) return true;
    if (ui->json)
        put_json(&b, r);
    else
        put_text(&b, t, r, ui);
    return flush(&b, e);
}

bool put_test_end(const TestRows *t, const Ui *ui, Err *e) {
    Buf b = {0};
    if (ui->json) {
        event_begin(&b, "done");
        for (int s = 0; s < 3; s++) json_int(&b, states[s], (int64_t)t->count[s]);
        event_end(&b);
    } else {
        buf_printf(&b, "%zu passed, %zu failed, %zu skipped\n", t->count[CHECK_PASSED], t->count[CHECK_FAILED],
                   t->count[CHECK_SKIPPED]);
    }
    return flush(&b, e);
}

/* ---- the support matrix ---- */

/* What this run says of a family in a format or on a backend; NULL: any. */
static const char *cell(const TestRows *t, const char *family, const char *format, const char *backend) {
    const char *said = "yes";
    for (size_t i = 0; i < t->n; i++) {
        const TestRow *r = &t->rows[i];
        if (strcmp(r->family, family) != 0 || r->state == CHECK_SKIPPED) continue;
        if ((format && strcmp(r->format, format) != 0) || (backend && strcmp(r->backend, backend) != 0)) continue;
        if (r->state == CHECK_FAILED) return "**failed**";
        said = "tested";
    }
    return said;
}

static void put_family(Buf *b, const TestRows *t, const LlmwsFamilyInfo *f) {
    buf_printf(b, "| %s | ", f->name);
    for (size_t i = 0; f->model_types[i]; i++) buf_printf(b, "%s`%s`", i ? ", " : "", f->model_types[i]);
    buf_printf(b, " | %s | %s | %s |\n", cell(t, f->name, "safetensors", NULL),
               f->gguf ? cell(t, f->name, "gguf", NULL) : "no", cell(t, f->name, NULL, "cpu"));
}

bool put_support(const TestRows *t, Err *e) {
    Buf b = {0};
    const char *gap = "";
    buf_str(&b,
            "# Models that llmws runs\n\n"
            "Written by `llmws test-models --markdown`, from the table of families and what was tested in that run: "
            "`tested` passed there, `yes` is supported and was not among the models. This page is of the tiny models "
            "of `tests/data`; a larger model is proved on the machine where it stands: `llmws test-models MODEL`.\n\n"
            "| family | `model_type` of config.json | safetensors | GGUF | CPU |\n"
            "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < llmws_family_count(); i++) {
        LlmwsFamilyInfo f;
        llmws_family_info(i, &f);
        put_family(&b, t, &f);
    }
    buf_str(&b, "\nWeights in GGUF files: ");
    for (int d = 0; d < DT_COUNT; d++)
        if (dtype_info[d].gguf_type >= 0 && dtype_info[d].decode) {
            buf_printf(&b, "%s%s", gap, dtype_info[d].name);
            gap = ", ";
        }
    gap = "";
    buf_str(&b, ".\nWeights in safetensors files: ");
    for (int d = 0; d < DT_COUNT; d++)
        if (dtype_info[d].st_tag && dtype_info[d].decode) {
            buf_printf(&b, "%s%s", gap, dtype_info[d].name);
            gap = ", ";
        }
    buf_str(&b, ".\n");
    return flush(&b, e);
}
