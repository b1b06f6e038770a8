/* The first rows as text. */
#include "formats/dataset_impl.h"
#include "formats/json.h"

/* Tokens [from, to) of a row, which are learned or not alike. */
static void show_run(const Dataset *d, const PackRow *row, int64_t from, int64_t to, Buf *out) {
    Buf text = {0};
    const bool learned = row->index[from] > 0 && row->labels[from - 1] != LABEL_NONE;
    buf_printf(out, "    %c", learned ? '+' : '-');
    for (int64_t i = from; i < to; i++) {
        buf_printf(out, " %d", row->ids[i]);
        if (d->texts.piece) d->texts.piece(d->texts.ctx, row->ids[i], &text);
    }
    if (d->texts.piece) {
        buf_char(out, ' ');
        json_put_str(out, buf_view(&text));
    }
    buf_char(out, '\n');
    buf_release(&text);
}

static bool same_run(const PackRow *row, int64_t i, bool first) {
    bool before = !first && row->labels[i - 2] != LABEL_NONE;
    return before == (row->labels[i - 1] != LABEL_NONE);
}

static void show_doc(const Dataset *d, const PackRow *row, const DataDoc *doc, Buf *out) {
    const int64_t end = doc->from + doc->n;
    buf_printf(out, "  %s:%lld: %lld tokens\n", doc->path, (long long)doc->line, (long long)doc->n);
    for (int64_t from = doc->from, i; from < end; from = i) {
        for (i = from + 1; i < end && same_run(row, i, i == doc->from + 1); i++) continue;
        show_run(d, row, from, i, out);
    }
}

static bool show_rows(const Dataset *d, Reader *r, int64_t n, Buf *out, Err *e) {
    Row row;
    bool ok = true, end = false;
    row_open(&row, d->spec.seq_len);
    for (int64_t k = 0, docs = 0; ok && !end && docs < n; k++) {
        reader_row(r, &row);
        for (size_t i = 0; i < row.bad.n; i += strlen(row.bad.s + i) + 1)
            buf_printf(out, "skipped %s\n", row.bad.s + i);
        ok = !row.failed || (*e = row.err, false);
        end = !ok || row.end;
        if (end) break;
        buf_printf(out, "row %lld: %zu document%s, %lld of %lld tokens, loss on %lld\n", (long long)k, row.n_docs,
                   row.n_docs == 1 ? "" : "s", (long long)row.pack.n, (long long)row.pack.cap,
                   (long long)row.pack.n_labels);
        for (size_t i = 0; i < row.n_docs && docs < n; i++, docs++) show_doc(d, &row.pack, &row.docs[i], out);
    }
    row_release(&row);
    return ok;
}

bool dataset_preview(Dataset *d, int64_t n, Buf *out, Err *e) {
    Reader r;
    Place start = place_start();
    dataset_halt(d); /* the callbacks are not called by two threads at once */
    reader_open(&r, &d->spec, &d->texts, &d->corpus, &start);
    Err why = {0};
    bool ok = show_rows(d, &r, n, out, &why);
    reader_close(&r);
    if (!ok && e) *e = why;
    return ok;
}
