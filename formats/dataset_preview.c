/* The first rows, for people and as JSON. */
#include "formats/dataset_impl.h"
#include "formats/json.h"

static bool is_learned(const PackRow *row, int64_t i) { return row->index[i] > 0 && row->labels[i - 1] != LABEL_NONE; }

/* Tokens [from, to) of a row, which are learned or not alike. */
static void show_run(const Dataset *d, const PackRow *row, int64_t from, int64_t to, Buf *out) {
    Buf text = {0};
    buf_printf(out, "    %c", is_learned(row, from) ? '+' : '-');
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

static void show_doc(const Dataset *d, const PackRow *row, const DataDoc *doc, Buf *out) {
    const int64_t end = doc->from + doc->n;
    buf_printf(out, "  %s:%lld: %lld tokens\n", doc->path, (long long)doc->line, (long long)doc->n);
    for (int64_t from = doc->from, i; from < end; from = i) {
        for (i = from + 1; i < end && is_learned(row, i) == is_learned(row, from); i++) continue;
        show_run(d, row, from, i, out);
    }
}

/* Labels align with ids, as in the lines of data files. */
static void put_doc(const Dataset *d, const PackRow *row, const DataDoc *doc, int64_t k, Buf *out) {
    const int64_t end = doc->from + doc->n;
    Buf text = {0};
    buf_printf(out, "{\"event\":\"train_sample\",\"row\":%lld,\"file\":", (long long)k);
    json_put_str(out, str_of(doc->path));
    buf_printf(out, ",\"line\":%lld", (long long)doc->line);
    for (int labels = 0; labels < 2; labels++) {
        buf_str(out, labels ? ",\"labels\":[" : ",\"ids\":[");
        for (int64_t i = doc->from; i < end; i++)
            buf_printf(out, i > doc->from ? ",%d" : "%d", labels && !is_learned(row, i) ? LABEL_NONE : row->ids[i]);
        buf_char(out, ']');
    }
    for (int64_t i = doc->from; d->texts.piece && i < end; i++) d->texts.piece(d->texts.ctx, row->ids[i], &text);
    if (d->texts.piece) buf_str(out, ",\"text\":"), json_put_str(out, buf_view(&text));
    buf_str(out, "}\n");
    buf_release(&text);
}

static void show_row(const Row *row, int64_t k, Buf *out) {
    buf_printf(out, "row %lld: %zu document%s, %lld of %lld tokens, loss on %lld\n", (long long)k, row->n_docs,
               row->n_docs == 1 ? "" : "s", (long long)row->pack.n, (long long)row->pack.cap,
               (long long)row->pack.n_labels);
}

static void show_skipped(const char *why, bool json, Buf *out) {
    if (!json) return buf_printf(out, "skipped %s\n", why);
    buf_str(out, "{\"event\":\"train_skipped\",\"why\":");
    json_put_str(out, str_of(why));
    buf_str(out, "}\n");
}

static bool show_rows(const Dataset *d, Reader *r, int64_t n, bool json, Buf *out, Err *e) {
    Row row;
    bool ok = true, end = false;
    row_open(&row, d->spec.seq_len);
    for (int64_t k = 0, docs = 0; ok && !end && docs < n; k++) {
        reader_row(r, &row);
        for (size_t i = 0; i < row.bad.n; i += strlen(row.bad.s + i) + 1) show_skipped(row.bad.s + i, json, out);
        ok = !row.failed || (*e = row.err, false);
        end = !ok || row.end;
        if (end) break;
        if (!json) show_row(&row, k, out);
        for (size_t i = 0; i < row.n_docs && docs < n; i++, docs++)
            if (json)
                put_doc(d, &row.pack, &row.docs[i], k, out);
            else
                show_doc(d, &row.pack, &row.docs[i], out);
    }
    row_release(&row);
    return ok;
}

bool dataset_preview(Dataset *d, int64_t n, bool json, Buf *out, Err *e) {
    Reader r;
    Place start = place_start();
    dataset_halt(d); /* the callbacks are not called by two threads at once */
    reader_open(&r, &d->spec, &d->texts, &d->corpus, &start);
    Err why = {0};
    bool ok = show_rows(d, &r, n, json, out, &why);
    reader_close(&r);
    if (!ok && e) *e = why;
    return ok;
}
