#include "cmd/table.h"

#include <stdlib.h>

#include "cmd/term.h"

/* Characters; what put_inert made is valid UTF-8. */
static int text_width(Str s) {
    int n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.s[i] & 0xc0) != 0x80;
    return n;
}

static void add(Table *t, const char *color, Str text) {
    Buf b = {0};
    put_inert(&b, text, false);
    if (!b.n) buf_char(&b, '-');
    t->cells = mem_grow(t->cells, t->n + 1, sizeof *t->cells);
    t->cells[t->n++] = (struct TableCell){{arena_strn(&t->arena, b.s, b.n), b.n}, color, false};
    t->row++;
    t->columns = MAX(t->columns, (int)t->row);
    if (t->columns > TABLE_COLUMNS) BUG("a table of more than %d columns", TABLE_COLUMNS);
    buf_release(&b);
}

void table_cell(Table *t, const char *fmt, ...) {
    Buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    add(t, NULL, buf_view(&b));
    buf_release(&b);
}

void table_color(Table *t, const char *color, const char *text) { add(t, color, str_of(text)); }

void table_end_row(Table *t) {
    if (t->row) t->cells[t->n - 1].last = true;
    t->row = 0;
}

static void measure(const Table *t, int width, int w[TABLE_COLUMNS]) {
    enum { LEAST = 6 };
    int c = 0, sum = 2 * (t->columns - 1);
    for (size_t i = 0; i < t->n; i++) {
        w[c] = MAX(w[c], text_width(t->cells[i].text));
        c = t->cells[i].last ? 0 : c + 1;
    }
    for (c = 0; c < t->columns; c++) sum += w[c];
    while (width > 0 && sum > width) {
        int widest = 0;
        for (c = 1; c < t->columns; c++)
            if (w[c] > w[widest]) widest = c;
        if (w[widest] <= LEAST) return;
        w[widest]--;
        sum--;
    }
}

/* At most n characters of a text; returns how many. */
static int put_cut(Buf *out, Str s, int n, bool utf8) {
    const char *dots = utf8 ? "\xe2\x80\xa6" : "~";
    size_t end = 0;
    bool cut = text_width(s) > n;
    for (int k = 0; end < s.n && k < n - cut; k++) end += (size_t)utf8_len(s.s + end, s.n - end);
    buf_put(out, s.s, end);
    if (cut) buf_str(out, dots);
    return cut ? n : text_width(s);
}

void table_put(const Table *t, int width, bool utf8, bool color, Buf *out) {
    int w[TABLE_COLUMNS] = {0}, c = 0;
    bool head = true;
    measure(t, width, w);
    for (size_t i = 0; i < t->n; i++) {
        const struct TableCell *cell = &t->cells[i];
        const char *sgr = !color ? NULL : head ? "1" : cell->color;
        size_t n_align = strlen(t->align);
        int space = MAX(w[c] - text_width(cell->text), 0);
        bool right = t->align[MIN((size_t)c, n_align - 1)] == 'r';
        buf_printf(out, "%*s", right ? space : 0, "");
        if (sgr) buf_printf(out, "\033[%sm", sgr);
        put_cut(out, cell->text, w[c], utf8);
        if (sgr) buf_str(out, "\033[0m");
        buf_printf(out, "%*s", cell->last ? 0 : 2 + (right ? 0 : space), "");
        if (cell->last) buf_char(out, '\n'), head = false;
        c = cell->last ? 0 : c + 1;
    }
}

void table_release(Table *t) {
    free(t->cells);
    arena_release(&t->arena);
    *t = (Table){.align = t->align};
}
