/* Any bytes as the events of a run: what is kept is consistent, and can be drawn. */
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/chart.h"
#include "formats/run_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what) {
    if (!holds) BUG("%s", what);
}

static void check(const RunLog *log, const RunSeries *s) {
    int64_t n = 0;
    expect((s->n > 0) == (s->buckets != NULL), "values without buckets");
    for (int64_t i = 0; s->buckets && i < RUN_BUCKETS; i++) {
        const RunBucket *b = &s->buckets[i];
        n += b->n;
        if (b->n)
            expect(b->min <= b->max && b->min >= s->min && b->max <= s->max && isfinite(b->mean), "a bucket lies");
    }
    expect(n == s->n, "values were lost");
    expect(!n || (s->min <= s->last && s->max >= s->last && s->min_step >= s->first_step && s->min_step <= log->step &&
                  s->max_step >= s->first_step && s->max_step <= log->step),
           "a series lies");
}

static void draw(const RunSeries *s) {
    static double x[RUN_BUCKETS], y[RUN_BUCKETS], smooth[RUN_BUCKETS];
    Curve curve = {"loss", CURVE_LINE, 0, x, smooth, 0};
    Chart c = {"run", "step", "loss", "", &curve, 1};
    Buf b = {0};
    for (int i = 0; s->buckets && i < RUN_BUCKETS; i++)
        if (s->buckets[i].n) x[curve.n] = i, y[curve.n++] = s->buckets[i].mean;
    chart_smooth(y, curve.n, curve.n / 50, smooth);
    chart_svg(&c, &b);
    expect(!strstr(b.s, "nan") && !strstr(b.s, "inf"), "a picture of no number");
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    RunLog log = {0};
    Err e = {0};
    int fd = memfd_create("events", 0);
    expect(fd >= 0 && write(fd, data, n) == (ssize_t)n, "no file");
    expect(run_log_read(fd, &log, &e), e.msg);
    for (int m = 0; m < RUN_METRICS; m++) check(&log, &log.of[m]);
    expect(!(log.seconds < 0) && !(log.step_s < 0), "time runs backwards");
    draw(&log.of[RUN_LOSS]);
    run_log_release(&log);
    close(fd);
    return 0;
}
