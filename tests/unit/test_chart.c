/* Axes end where they should and have round ticks; smoothing keeps lines straight; an SVG is XML whatever it names. */
#include "formats/chart.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_axis(Axis a, int most, const char *want) {
    char tick[24];
    Buf got = {0};
    assert_true(a.ticks <= most && a.hi > a.lo);
    for (int i = 0; i < a.ticks; i++) {
        double v = a.first + i * a.step;
        assert_true(v >= a.lo - 1e-6 * a.step && v <= a.hi + 1e-6 * a.step);
        axis_tick(&a, i, tick);
        buf_printf(&got, i ? " %s" : "%s", tick);
    }
    assert_string_equal(buf_view(&got).s, want);
    buf_release(&got);
}

static void assert_ticks(double lo, double hi, int most, const char *want) {
    assert_axis(axis_make(lo, hi, most), most, want);
}

/* The axis of steps of a curve from one to the other. */
static void assert_steps(double from, double to, int most, const char *want) {
    const double x[] = {from, to}, y[] = {1, 2};
    const Curve curve = {"a", CURVE_LINE, 0, x, y, 2};
    Axis ax, ay, second;
    chart_axes(&(Chart){.curves = &curve, .n = 1}, most, 5, &ax, &ay, &second);
    assert_axis(ax, most, want);
}

static void test_ticks(void **state) {
    (void)state;
    assert_ticks(0, 10, 6, "0 2 4 6 8 10");
    assert_ticks(1, 18, 4, "5 10 15");
    assert_ticks(2.13, 7.28, 7, "3 4 5 6 7");
    assert_ticks(3.3, 4.7, 8, "3.4 3.6 3.8 4.0 4.2 4.4 4.6");
    assert_ticks(0, 20000, 5, "0 5k 10k 15k 20k");
    assert_ticks(1, 2500000, 6, "0.5M 1.0M 1.5M 2.0M 2.5M");
    assert_ticks(0, 2e-5, 5, "0 5e-06 1e-05 1.5e-05 2e-05");
    assert_ticks(0, 0.002, 5, "0.0000 0.0005 0.0010 0.0015 0.0020");
    assert_ticks(-2, 2, 5, "-2 -1 0 1 2");
    assert_ticks(5, 5, 5, "4.6 4.8 5.0 5.2 5.4"); /* one value has room around it */
    assert_ticks(NAN, NAN, 3, "-1 0 1");
    assert_ticks(0, 1e-323, 5, "-1.0 -0.5 0.0 0.5 1.0"); /* too little to divide */
    assert_ticks(1e-299, 1e-299 + 1e-310, 2, "1e-299");
    Axis far = axis_make(-1e30, 1e30, 7);
    assert_true(far.ticks >= 2 && far.ticks <= 7 && isfinite(far.step));
}

static void test_smooth(void **state) {
    (void)state;
    enum { N = 100 };
    double y[N], out[N], noise = 0, left = 0;
    for (int i = 0; i < N; i++) y[i] = 3 - 0.01 * i;
    chart_smooth(y, N, 0, out);
    assert_memory_equal(y, out, sizeof y);
    chart_smooth(y, N, 7, out);
    for (int i = 0; i < N - 7; i++) assert_float_equal(out[i], y[i], 1e-12); /* a line is one already */
    for (int i = 0; i < N; i++) y[i] = i % 2;
    chart_smooth(y, N, 7, out);
    for (int i = 10; i < N - 10; i++) noise = MAX(noise, fabs(y[i] - 0.5)), left = MAX(left, fabs(out[i] - 0.5));
    assert_true(left < noise / 20);
}

/* The steep beginning is left out of the axis; a curve without one is shown whole. */
static void test_axes(void **state) {
    (void)state;
    enum { N = 200 };
    double x[N], y[N], e[2] = {1, 2}, at[2] = {50, 150};
    Axis ax, ay, second;
    for (int i = 0; i < N; i++) x[i] = i, y[i] = 3 + 60 * exp(-i) + 0.001 * i;
    Curve curves[] = {
        {"a", CURVE_LINE, 0, x, y, N}, {"e", CURVE_POINTS, 1, at, e, 2}, {"lr", CURVE_SECOND, 0, at, e, 2}};
    Chart c = {.curves = curves, .n = 1};
    chart_axes(&c, 5, 5, &ax, &ay, &second);
    assert_true(ay.hi < 4 && ay.lo < 3.1 && ay.lo > 2.9);
    assert_float_equal(ax.lo, 0, 0);
    assert_float_equal(ax.hi, N - 1, 0);
    assert_int_equal(second.ticks, 0);
    c.n = 3;
    chart_axes(&c, 5, 5, &ax, &ay, &second);
    assert_true(ay.lo < 1 && second.ticks > 0 && second.lo == 0 && second.hi >= 2);
    for (int i = 0; i < N; i++) y[i] = 7 - 0.02 * i;
    c.n = 1;
    chart_axes(&c, 5, 5, &ax, &ay, &second);
    assert_true(ay.hi >= 7 && ay.lo <= 7 - 0.02 * (N - 1));
    assert_steps(1, 1, 8, "0 1 2");
    assert_steps(1, 2, 8, "1 2");
    assert_steps(3, 7, 8, "3 4 5 6 7");
    assert_steps(1000, 1000, 5, "900 950 1000 1050 1100");
    c.n = 0;
    chart_axes(&c, 5, 5, &ax, &ay, &second);
    assert_true(ax.hi > ax.lo && ay.hi > ay.lo);
}

/* Tags open and close, texts hold no character that XML lacks or gives a meaning. */
static void assert_xml(Str s) {
    char open[16][16];
    int depth = 0;
    assert_true(utf8_valid(s));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.s[i];
        assert_true(ch >= 0x20 || ch == '\n');
        if (ch == '&') {
            static const char *const named[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
            bool known = false;
            for (size_t k = 0; k < COUNT_OF(named); k++) known |= strncmp(s.s + i, named[k], strlen(named[k])) == 0;
            assert_true(known);
        }
        if (ch != '<') continue;
        size_t end = i + strcspn(s.s + i, ">"), name = strcspn(s.s + i + 1, " />");
        assert_true(end < s.n);
        if (s.s[i + 1] == '/') {
            assert_true(depth > 0);
            depth--;
            assert_true(strncmp(s.s + i + 2, open[depth], strlen(open[depth])) == 0);
        } else if (s.s[end - 1] != '/') {
            assert_true(depth < 16 && name < 16);
            memcpy(open[depth], s.s + i + 1, name);
            open[depth++][name] = 0;
        }
        i = end;
    }
    assert_int_equal(depth, 0);
}

static void test_svg(void **state) {
    (void)state;
    const double x[] = {1, 2, 3}, y[] = {3, 2, 1e30};
    static const char hostile[] = "</text><script>alert(\"1\")</script>&\x1b[31m\xff\xef\xbf\xbe\n";
    Curve curves[] = {{hostile, CURVE_FAINT, 0, x, y, 3},
                      {hostile, CURVE_LINE, 0, x, y, 3},
                      {"eval", CURVE_POINTS, 8, x, y, 2},
                      {"lr", CURVE_SECOND, 0, x, y, 2},
                      {"none", CURVE_LINE, 9, NULL, NULL, 0}};
    Chart c = {hostile, "step", hostile, "lr", curves, COUNT_OF(curves)};
    Buf b = {0};
    chart_svg(&c, &b);
    assert_xml(buf_view(&b));
    assert_null(strstr(b.s, "<script"));
    assert_non_null(strstr(b.s, "&lt;script&gt;"));
    assert_non_null(strstr(b.s, "\\x1b[31m\\xff?"));
    assert_non_null(strstr(b.s, "<polyline"));
    assert_null(strstr(b.s, "inf"));
    assert_null(strstr(b.s, "nan"));
    buf_clear(&b);
    c.n = 0;
    chart_svg(&c, &b);
    assert_xml(buf_view(&b));
    buf_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ticks), cmocka_unit_test(test_smooth),
                                       cmocka_unit_test(test_axes), cmocka_unit_test(test_svg)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
