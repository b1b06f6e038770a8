#include <inttypes.h>
#include <stdio.h>

#include "cmd/inspect.h"
#include "cmd/json_out.h"

static int64_t code_points(const char *s, size_t n) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

/* Spans count code points, as offsets do everywhere in this program's output. */
static void template_json(Buf *b, const LlmwsPrompt *p) {
    int64_t at = 0;
    event_begin(b, "template");
    json_str(b, "text", (Str){p->text, p->len});
    json_ids(b, "ids", p->ids, p->n);
    json_key(b, "spans");
    buf_char(b, '[');
    for (size_t i = 0; i < p->n_spans; i++) {
        const LlmwsTextSpan *s = &p->spans[i];
        int64_t end = at + code_points(p->text + s->begin, s->end - s->begin);
        buf_printf(b, "%s[%" PRId64 ",%" PRId64 ",\"%s\"]", i ? "," : "", at, end,
                   s->from_template ? "template" : "user");
        at = end;
    }
    buf_str(b, "]");
    json_key(b, "answers");
    buf_char(b, '[');
    for (size_t i = 0; i < p->n_answers; i++)
        buf_printf(b, "%s[%" PRId64 ",%" PRId64 "]", i ? "," : "", code_points(p->text, p->answers[i].begin),
                   code_points(p->text, p->answers[i].end));
    buf_char(b, ']');
    event_end(b);
}

/* The text; on a terminal special tokens stand out, in colour or in brackets. */
static void template_text(Buf *b, const Ui *ui, const LlmwsPrompt *p) {
    const char *open = ui->out_color ? "\033[36m" : "[", *close = ui->out_color ? "\033[0m" : "]";
    size_t byte = 0, from = 0;
    int64_t at = 0;
    for (size_t i = 0; i < p->n && (ui->out_tty || ui->out_color); i++) {
        if (!(p->marks[i] & LLMWS_ID_SPECIAL)) continue;
        size_t ends[2];
        for (int k = 0; k < 2; k++) {
            for (; byte < p->len && at < p->offsets[i][k]; at++)
                for (byte++; byte < p->len && ((unsigned char)p->text[byte] & 0xc0) == 0x80;) byte++;
            ends[k] = byte;
        }
        put_inert(b, (Str){p->text + from, ends[0] - from}, true);
        buf_str(b, open);
        put_inert(b, (Str){p->text + ends[0], ends[1] - ends[0]}, true);
        buf_str(b, close);
        from = ends[1];
    }
    if (ui->out_tty)
        put_inert(b, (Str){p->text + from, p->len - from}, true);
    else
        buf_put(b, p->text + from, p->len - from);
    buf_char(b, '\n');
}

bool inspect_template(const InspectOpts *o, const Ui *ui, const char *path, Err *e) {
    LlmwsTokenizer *t = llmws_tokenizer_open(path, e);
    if (!t) return false;
    const char *shown = strcmp(o->template, "-") == 0 ? "standard input" : o->template;
    Buf json = {0}, b = {0};
    LlmwsPrompt p = {0};
    bool ok = read_text(o->template, &json, e);
    if (ok && json.n != strlen(json.s ? json.s : ""))
        ok = err_set(e, ERR_INPUT, "'%s' is no JSON text: it holds a NUL byte", shown);
    if (ok && !llmws_chat_render(t, json.s ? json.s : "", NULL, 0, &p, e))
        ok = err_prefix(e, "cannot make a prompt of '%s'", shown);
    if (ok && ui->json) template_json(&b, &p);
    if (ok && !ui->json) template_text(&b, ui, &p);
    ok = ok && out_flush(&b, e);
    llmws_prompt_free(&p);
    buf_release(&json);
    buf_release(&b);
    llmws_tokenizer_close(t);
    return ok;
}
