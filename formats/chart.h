/* Curves over steps: what a terminal and an SVG draw alike. The axes leave out the top where few points lie far above
 * all others, as the first steps of a training do. */
#ifndef FORMATS_CHART_H
#define FORMATS_CHART_H

#include "core/base.h"

typedef enum CurveKind {
    CURVE_LINE,
    CURVE_FAINT,  /* behind the others; the range of y does not mind it */
    CURVE_POINTS, /* with marks, unconnected but for a thin line */
    CURVE_SECOND, /* a thin line on a y axis of its own; a terminal leaves it out */
} CurveKind;

typedef struct Curve {
    const char *name; /* of the legend; NULL: not in it */
    CurveKind kind;
    int color;           /* 0, 1, ...: of CHART_COLORS, and then again */
    const double *x, *y; /* finite, x ascending */
    size_t n;
} Curve;

enum { CHART_COLORS = 7 };

typedef struct Chart {
    const char *title, *x_name, *y_name, *second_name;
    const Curve *curves;
    size_t n;
} Chart;

typedef struct Axis { /* values from lo to hi, ticks at first + i * step */
    double lo, hi, first, step;
    int ticks;
} Axis;

/* At most `ticks` round numbers within [lo, hi]; what is no range becomes one. */
Axis axis_make(double lo, double hi, int ticks);
/* Tick i as text: "2.5", "40k". */
void axis_tick(const Axis *a, int i, char out[24]);
/* Where a value lies: 0 at lo, 1 at hi. */
double axis_at(const Axis *a, double v);

/* The axes of all curves (of CURVE_SECOND for `second`; its ticks are 0 where there is none). Ticks of x are whole. */
void chart_axes(const Chart *c, int x_ticks, int y_ticks, Axis *x, Axis *y, Axis *second);

/* out[i]: the mean of y around i with weights that fall to nothing `radius` points away; out is not y. */
void chart_smooth(const double *y, size_t n, size_t radius, double *out);

/* Appends a whole SVG document, which refers to nothing outside. */
void chart_svg(const Chart *c, Buf *out);

#endif
