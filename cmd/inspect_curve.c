/* A chart in the cells of a terminal: one curve in braille dots, several in marks of their own; ASCII where the locale
 * has nothing else. */
#include <math.h>
#include <stdlib.h>

#include "cmd/inspect_runs.h"

static const char *const marks_utf8[CHART_COLORS] = {"●", "○", "▲", "△", "■", "□", "◆"};
static const char *const marks_ascii[CHART_COLORS] = {"*", "o", "+", "x", "#", "@", "%"};
static const char *const colors[CHART_COLORS] = {"36", "33", "32", "35", "34", "31", "37"};

typedef struct Cell {
    uint8_t dots; /* of braille, as Unicode counts them */
    int8_t mark;  /* 1 + index into the marks; 0: none */
    int8_t color; /* 1 + colour */
} Cell;

typedef struct Canvas {
    const CurveStyle *style;
    int w, h, sub_x, sub_y; /* cells; dots of a cell */
    int curves;             /* that share it */
    Axis x, y;
    Cell *cells;
} Canvas;

/* ---- dots ---- */

static void put_dot(Canvas *c, int x, int y, int color, int turn) {
    static const uint8_t bits[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    if (x < 0 || y < 0 || x >= c->w * c->sub_x || y >= c->h * c->sub_y) return;
    Cell *cell = &c->cells[y / c->sub_y * c->w + x / c->sub_x];
    if (c->sub_x > 1) {
        cell->dots |= bits[y % 4][x % 2];
        cell->color = (int8_t)(1 + color % CHART_COLORS);
    } else if (!cell->mark || x % c->curves == turn) { /* where curves lie on each other they take turns */
        cell->mark = (int8_t)(1 + color % CHART_COLORS);
        cell->color = cell->mark;
    }
}

static int column(const Canvas *c, double x) {
    return (int)lround(MAX(0, MIN(axis_at(&c->x, x), 1)) * (c->w * c->sub_x - 1));
}

/* Rows from the top; what lies outside is one row outside. */
static int row(const Canvas *c, double y) {
    return (int)lround((1 - MAX(-1, MIN(axis_at(&c->y, y), 2))) * (c->h * c->sub_y - 1));
}

static void put_curve(Canvas *c, const Curve *k, int turn) {
    for (size_t i = 0; i < k->n; i++) {
        int x = column(c, k->x[i]), y = row(c, k->y[i]);
        int from_x = i ? column(c, k->x[i - 1]) : x, from_y = i ? row(c, k->y[i - 1]) : y;
        int steps = MAX(MAX(x - from_x, abs(y - from_y)), 1);
        for (int s = i ? 1 : steps; s <= steps; s++)
            put_dot(c, from_x + (x - from_x) * s / steps, from_y + (y - from_y) * s / steps, k->color, turn);
    }
}

/* One mark a point, over what is there. */
static void put_points(Canvas *c, const Curve *k) {
    for (size_t i = 0; i < k->n; i++) {
        int x = column(c, k->x[i]) / c->sub_x, y = row(c, k->y[i]);
        if (y < 0 || y >= c->h * c->sub_y) continue;
        Cell *cell = &c->cells[y / c->sub_y * c->w + x];
        cell->mark = cell->color = (int8_t)(1 + k->color % CHART_COLORS);
    }
}

/* ---- the frame ---- */

static const char *mark_of(const CurveStyle *s, int color) {
    return (s->utf8 ? marks_utf8 : marks_ascii)[color % CHART_COLORS];
}

static void put_cell(const Canvas *c, const Cell *cell, Buf *out) {
    char braille[4];
    bool color = c->style->color && (cell->mark || cell->dots);
    if (color) buf_printf(out, "\033[%sm", colors[cell->color - 1]);
    if (cell->mark)
        buf_str(out, mark_of(c->style, cell->mark - 1));
    else if (cell->dots)
        buf_put(out, braille, (size_t)utf8_encode(0x2800u + cell->dots, braille));
    else
        buf_char(out, ' ');
    if (color) buf_str(out, "\033[0m");
}

/* The tick of the y axis that stands in a row of cells, -1: none. */
static int tick_in_row(const Canvas *c, int y) {
    for (int i = 0; i < c->y.ticks; i++)
        if (row(c, c->y.first + i * c->y.step) / c->sub_y == y) return i;
    return -1;
}

static void put_rows(const Canvas *c, int margin, Buf *out) {
    char tick[24];
    for (int y = 0; y < c->h; y++) {
        int i = tick_in_row(c, y), used = c->w;
        if (i >= 0)
            axis_tick(&c->y, i, tick);
        else
            *tick = 0;
        const char *bar = c->style->utf8 ? (i < 0 ? "│" : "┤") : (i < 0 ? "|" : "+");
        buf_printf(out, "%*s %s", margin, tick, bar);
        const Cell *line = c->cells + y * c->w;
        while (used && !line[used - 1].mark && !line[used - 1].dots) used--;
        for (int x = 0; x < used; x++) put_cell(c, &line[x], out);
        buf_char(out, '\n');
    }
}

static void put_x_axis(const Canvas *c, const char *name, int margin, Buf *out) {
    char tick[24];
    bool *at = mem_alloc((size_t)c->w, sizeof *at);
    Buf labels = {0};
    for (int i = 0; i < c->x.ticks; i++) {
        int x = column(c, c->x.first + i * c->x.step) / c->sub_x;
        axis_tick(&c->x, i, tick);
        int from = margin + 2 + x - (int)strlen(tick) / 2;
        at[x] = true;
        if (from > (int)labels.n) buf_printf(&labels, "%*s%s", from - (int)labels.n, "", tick);
    }
    buf_printf(out, "%*s %s", margin, "", c->style->utf8 ? "└" : "+");
    for (int x = 0; x < c->w; x++) buf_str(out, c->style->utf8 ? (at[x] ? "┬" : "─") : (at[x] ? "+" : "-"));
    buf_printf(out, "\n%s  %s\n", buf_view(&labels).s, name);
    buf_release(&labels);
    free(at);
}

static void put_legend(const Canvas *c, const Chart *chart, bool braille, Buf *out) {
    bool above = false;
    for (size_t i = 0; i < chart->n; i++) {
        const Curve *k = &chart->curves[i];
        if (k->kind != CURVE_LINE && k->kind != CURVE_POINTS) continue;
        for (size_t j = 0; j < k->n; j++) above |= k->y[j] > c->y.hi;
        if (!k->name) continue;
        const char *mark = braille && k->kind == CURVE_LINE ? "⠤⠒" : mark_of(c->style, k->color);
        if (c->style->color) buf_printf(out, "\033[%sm", colors[k->color % CHART_COLORS]);
        buf_str(out, mark);
        buf_str(out, c->style->color ? "\033[0m " : " ");
        put_inert(out, str_of(k->name), false);
        buf_str(out, "   ");
    }
    if (above) buf_str(out, "(what lies higher is left out)");
    while (out->n && out->s[out->n - 1] == ' ') out->s[--out->n] = 0;
    buf_char(out, '\n');
}

void curve_put(const Chart *chart, const CurveStyle *style, Buf *out) {
    enum { HEIGHT = 14 };
    Canvas c = {.style = style, .h = HEIGHT, .sub_x = 1, .sub_y = 1};
    Axis second;
    char tick[24];
    int margin = 0, turn = 0;
    for (size_t i = 0; i < chart->n; i++) c.curves += chart->curves[i].kind == CURVE_LINE;
    bool braille = style->utf8 && c.curves == 1;
    if (braille) c.sub_x = 2, c.sub_y = 4;
    chart_axes(chart, MAX(style->width / 12, 2), HEIGHT / 2, &c.x, &c.y, &second);
    for (int i = 0; i < c.y.ticks; i++) {
        axis_tick(&c.y, i, tick);
        margin = MAX(margin, (int)strlen(tick));
    }
    c.w = MAX(style->width - margin - 7 - (int)strlen(chart->x_name), 8); /* the last tick and the name behind it */
    c.cells = mem_alloc((size_t)(c.w * c.h), sizeof *c.cells);
    for (size_t i = 0; i < chart->n; i++)
        if (chart->curves[i].kind == CURVE_LINE) put_curve(&c, &chart->curves[i], turn++);
    for (size_t i = 0; i < chart->n; i++)
        if (chart->curves[i].kind == CURVE_POINTS) put_points(&c, &chart->curves[i]);
    buf_printf(out, "%*s\n", margin, chart->y_name);
    put_rows(&c, margin, out);
    put_x_axis(&c, chart->x_name, margin, out);
    put_legend(&c, chart, braille, out);
    free(c.cells);
}
