#include "formats/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- axes ---- */

/* Steps are no smaller than `least`. */
static Axis make_axis(double lo, double hi, int ticks, double least) {
    static const double divisible = 1e-300;
    if (!(hi - lo > divisible)) { /* one value, or none */
        double v = isfinite(lo) ? lo : 0, around = fabs(v) > divisible ? fabs(v) * 0.1 : 1;
        lo = v - MAX(around, least);
        hi = v + MAX(around, least);
    }
    Axis a = {.lo = lo, .hi = hi};
    double rough = (hi - lo) / MAX(ticks, 1), unit = MAX(pow(10, floor(log10(rough))), least);
    static const double round_steps[] = {1, 2, 5, 10, 20, 50};
    for (size_t i = 0; i < COUNT_OF(round_steps); i++) {
        a.step = unit * round_steps[i];
        a.first = ceil(lo / a.step - 1e-9) * a.step;
        a.ticks = (int)floor((hi - a.first) / a.step + 1e-9) + 1;
        if (a.ticks <= ticks) break;
    }
    return a;
}

Axis axis_make(double lo, double hi, int ticks) { return make_axis(lo, hi, ticks, 0); }

void axis_tick(const Axis *a, int i, char out[24]) {
    static const struct {
        double unit, from;
        const char *name;
    } units[] = {{1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e3, 1e4, "k"}, {1, 0, ""}};
    double v = a->first + i * a->step, high = MAX(fabs(a->first), fabs(a->first + (a->ticks - 1) * a->step));
    if (fabs(v) < a->step * 1e-6) v = 0;
    if (high >= 1e13 || high < 1e-3) { /* also of learning rates */
        snprintf(out, 24, v == 0 ? "0" : "%.3g", v);
        return;
    }
    size_t u = 0;
    while (u + 1 < COUNT_OF(units) && (high < units[u].from || a->step < units[u].unit / 100)) u++;
    int decimals = MAX(0, (int)ceil(-log10(a->step / units[u].unit) - 1e-9));
    snprintf(out, 24, "%.*f%s", MIN(decimals, 9), v / units[u].unit, v == 0 ? "" : units[u].name);
}

double axis_at(const Axis *a, double v) { return (v - a->lo) / (a->hi - a->lo); }

typedef struct Range {
    double lo, hi;
    int64_t n;
} Range;

static void range_take(Range *r, const double *v, size_t n) {
    for (size_t i = 0; i < n; i++, r->n++) {
        r->lo = r->n ? MIN(r->lo, v[i]) : v[i];
        r->hi = r->n ? MAX(r->hi, v[i]) : v[i];
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Where the twentieth part that lies highest takes more than half of the axis, the axis ends below it. */
static double leave_out_top(const Chart *c, const Range *r) {
    enum { PART = 20 };
    double *v = mem_alloc((size_t)r->n, sizeof *v), hi = r->hi;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const Curve *k = &c->curves[i];
        if (k->kind != CURVE_LINE || !k->n) continue;
        memcpy(v + n, k->y, k->n * sizeof *v);
        n += k->n;
    }
    if (n >= PART) {
        qsort(v, n, sizeof *v, by_value);
        double below = v[n - 1 - n / PART];
        if (below > r->lo && (r->hi - r->lo) > 2 * (below - r->lo)) hi = below;
    }
    free(v);
    return hi;
}

void chart_axes(const Chart *c, int x_ticks, int y_ticks, Axis *x, Axis *y, Axis *second) {
    Range rx = {0}, ry = {0}, rs = {0};
    for (size_t i = 0; i < c->n; i++) {
        const Curve *k = &c->curves[i];
        range_take(&rx, k->x, k->n);
        if (k->kind == CURVE_LINE || k->kind == CURVE_POINTS) range_take(&ry, k->y, k->n);
        if (k->kind == CURVE_SECOND) range_take(&rs, k->y, k->n);
    }
    double top = ry.n ? leave_out_top(c, &ry) : 0, pad = (top - ry.lo) * 0.04;
    *x = make_axis(rx.lo, rx.hi, x_ticks, 1); /* steps are whole */
    *y = axis_make(ry.lo - pad, top + pad, y_ticks);
    *second = axis_make(MIN(rs.lo, 0), rs.hi * 1.04, y_ticks);
    if (!rs.n) second->ticks = 0;
}

/* At the beginning, where losses fall steeply, the weights stay even on both sides; at the end they lean on what is
 * there. */
void chart_smooth(const double *y, size_t n, size_t radius, double *out) {
    for (size_t i = 0; i < n; i++) {
        size_t r = MIN(radius, i), end = MIN(n - 1, i + r);
        double sum = 0, weight = 0;
        for (size_t j = i - r; j <= end; j++) {
            double w = (double)(r + 1 - (j > i ? j - i : i - j));
            sum += w * y[j];
            weight += w;
        }
        out[i] = sum / weight;
    }
}

/* ---- SVG ---- */

enum { WIDTH = 960, HEIGHT = 540, TOP = 48, BOTTOM = 56, LEFT = 72, RIGHT = 72, NAME_MAX_ = 40 };

/* Okabe and Ito's palette, which colour-blind readers tell apart. */
static const char *const palette[CHART_COLORS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                  "#e69f00", "#56b4e9", "#000000"};
static const char *const dashes[] = {"", " stroke-dasharray=\"8 3\"", " stroke-dasharray=\"2 3\""};

typedef struct Frame {
    Axis x, y, second;
    Buf *out;
} Frame;

static double px(const Frame *f, double x) { return LEFT + axis_at(&f->x, x) * (WIDTH - LEFT - RIGHT); }
static double py(const Axis *y, double v) { return HEIGHT - BOTTOM - axis_at(y, v) * (HEIGHT - TOP - BOTTOM); }

/* Text between tags or in quotes; XML has no control characters at all. At most `max` characters. */
static void put_text(Buf *out, const char *text, size_t max) {
    Str s = str_of(text);
    char one[INERT_MAX];
    for (size_t i = 0, n = 0; i < s.n; n++) {
        if (n == max) return buf_str(out, "\xe2\x80\xa6");
        i += inert_char(s.s + i, s.n - i, false, one);
        switch (one[0]) {
        case '&': buf_str(out, "&amp;"); break;
        case '<': buf_str(out, "&lt;"); break;
        case '>': buf_str(out, "&gt;"); break;
        case '"': buf_str(out, "&quot;"); break;
        default:
            if (strcmp(one, "\xef\xbf\xbe") == 0 || strcmp(one, "\xef\xbf\xbf") == 0) /* U+FFFE and U+FFFF */
                buf_char(out, '?');
            else
                buf_str(out, one);
        }
    }
}

static void put_label(const Frame *f, double x, double y, const char *rest, const char *text, size_t max) {
    buf_printf(f->out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, rest);
    put_text(f->out, text, max);
    buf_str(f->out, "</text>\n");
}

static void put_grid(const Frame *f, const Chart *c) {
    char tick[24];
    for (int i = 0; i < f->y.ticks; i++) {
        double y = py(&f->y, f->y.first + i * f->y.step);
        buf_printf(f->out, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>\n", LEFT, y, WIDTH - RIGHT);
        axis_tick(&f->y, i, tick);
        put_label(f, LEFT - 8, y + 4, " text-anchor=\"end\"", tick, sizeof tick);
    }
    for (int i = 0; i < f->x.ticks; i++) {
        double x = px(f, f->x.first + i * f->x.step);
        buf_printf(f->out, "<path d=\"M%.1f %dv5\" stroke=\"#444\"/>\n", x, HEIGHT - BOTTOM);
        axis_tick(&f->x, i, tick);
        put_label(f, x, HEIGHT - BOTTOM + 20, " text-anchor=\"middle\"", tick, sizeof tick);
    }
    for (int i = 0; i < f->second.ticks; i++) {
        axis_tick(&f->second, i, tick);
        put_label(f, WIDTH - RIGHT + 8, py(&f->second, f->second.first + i * f->second.step) + 4, " fill=\"#777\"",
                  tick, sizeof tick);
    }
    buf_printf(f->out, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#444\"/>\n", LEFT, TOP, HEIGHT - BOTTOM,
               WIDTH - RIGHT);
    put_label(f, WIDTH / 2.0, HEIGHT - 14, " text-anchor=\"middle\"", c->x_name, NAME_MAX_);
    put_label(f, LEFT, TOP - 10, " text-anchor=\"middle\"", c->y_name, NAME_MAX_);
    if (f->second.ticks) put_label(f, WIDTH - RIGHT, TOP - 10, " fill=\"#777\"", c->second_name, NAME_MAX_);
}

static const char *stroke_of(CurveKind kind) {
    return kind == CURVE_LINE     ? " stroke-width=\"2\""
           : kind == CURVE_FAINT  ? " stroke-opacity=\"0.3\""
           : kind == CURVE_SECOND ? " stroke-opacity=\"0.5\" stroke-dasharray=\"4 3\""
                                  : "";
}

static const char *color_of(const Curve *k) {
    return k->kind == CURVE_SECOND ? "#777" : palette[k->color % CHART_COLORS];
}

static const char *dash_of(const Curve *k) {
    return k->kind == CURVE_LINE ? dashes[(size_t)(k->color / CHART_COLORS) % COUNT_OF(dashes)] : "";
}

static void put_curve(const Frame *f, const Curve *k) {
    const Axis *y = k->kind == CURVE_SECOND ? &f->second : &f->y;
    buf_printf(f->out, "<polyline fill=\"none\" stroke-linejoin=\"round\" stroke=\"%s\"%s%s points=\"", color_of(k),
               stroke_of(k->kind), dash_of(k));
    for (size_t i = 0; i < k->n; i++)
        buf_printf(f->out, i ? " %.1f,%.1f" : "%.1f,%.1f", px(f, k->x[i]), py(y, k->y[i]));
    buf_str(f->out, "\"/>\n");
    for (size_t i = 0; k->kind == CURVE_POINTS && i < k->n; i++)
        buf_printf(f->out,
                   "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\" stroke=\"#fff\"><title>%.0f: %.6g</title>"
                   "</circle>\n",
                   px(f, k->x[i]), py(y, k->y[i]), color_of(k), k->x[i], k->y[i]);
}

/* At the top right, where losses leave room. */
static void put_legend(const Frame *f, const Chart *c) {
    size_t rows = 0, longest = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->curves[i].name) rows++, longest = MAX(longest, MIN(strlen(c->curves[i].name), (size_t)NAME_MAX_));
    double x = WIDTH - RIGHT - 52 - 7.5 * (double)longest, y = TOP + 18;
    buf_printf(f->out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%zu\" fill=\"#fff\" fill-opacity=\"0.8\"/>\n",
               x - 8, TOP + 2, WIDTH - RIGHT - x + 8, rows * 20 + 6);
    for (size_t i = 0; i < c->n; i++) {
        const Curve *k = &c->curves[i];
        if (!k->name) continue;
        buf_printf(f->out, "<path d=\"M%.1f %.1fh32\" stroke=\"%s\"%s%s/>\n", x, y - 4, color_of(k), stroke_of(k->kind),
                   dash_of(k));
        if (k->kind == CURVE_POINTS)
            buf_printf(f->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x + 16, y - 4, color_of(k));
        put_label(f, x + 40, y, "", k->name, NAME_MAX_);
        y += 20;
    }
}

void chart_svg(const Chart *c, Buf *out) {
    Frame f = {.out = out};
    chart_axes(c, 8, 7, &f.x, &f.y, &f.second);
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
               "font-size=\"13\" fill=\"#222\" role=\"img\">\n<title>",
               WIDTH, HEIGHT);
    put_text(out, c->title, SIZE_MAX);
    buf_printf(out,
               "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n<clipPath id=\"plot\"><rect x=\"%d\" "
               "y=\"%d\" width=\"%d\" height=\"%d\"/></clipPath>\n",
               WIDTH, HEIGHT, LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    put_label(&f, WIDTH / 2.0, 24, " text-anchor=\"middle\" font-size=\"16\"", c->title, 90);
    put_grid(&f, c);
    buf_str(out, "<g clip-path=\"url(#plot)\">\n");
    for (size_t i = 0; i < c->n; i++)
        if (c->curves[i].n) put_curve(&f, &c->curves[i]);
    buf_str(out, "</g>\n");
    put_legend(&f, c);
    buf_str(out, "</svg>\n");
}
