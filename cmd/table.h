/* Columns of text as wide as what stands in them, two spaces apart. */
#ifndef CMD_TABLE_H
#define CMD_TABLE_H

#include "core/base.h"

enum { TABLE_COLUMNS = 32 };

typedef struct Table { /* all zero but for align: empty */
    const char *align; /* 'l' or 'r' a column; further ones are as the last */
    int columns;       /* of the widest row */
    size_t row;        /* cells of the row that is being made */
    struct TableCell {
        Str text;
        const char *color; /* "31", NULL: none */
        bool last;         /* of its row */
    } * cells;
    size_t n;
    Arena arena;
} Table;

/* The next cell of a row; what could steer a terminal is made inert, an empty text becomes "-". */
void table_cell(Table *t, const char *fmt, ...) PRINTF(2, 3);
/* The same, in a colour of SGR. */
void table_color(Table *t, const char *color, const char *text);
void table_end_row(Table *t);
/* Appends all rows. width > 0: the widest columns give way until a row has at most so many characters, cut texts end in
 * an ellipsis. color: colours count, and the first row is bold. */
void table_put(const Table *t, int width, bool utf8, bool color, Buf *out);
void table_release(Table *t);

#endif
