/* What the events of a run come to: read from the end, whatever stands there, in bounded memory. */
#include "formats/run_read.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define RUN TEST_TMP "/test_run_read_dir"

static void write_all(const char *path, Str text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0 && write(fd, text.s, text.n) == (ssize_t)text.n);
    close(fd);
}

static void read_text_log(Str text, RunLog *log) {
    Err e = {0};
    write_all(TEST_TMP "/test_run_read.jsonl", text);
    int fd = open(TEST_TMP "/test_run_read.jsonl", O_RDONLY);
    *log = (RunLog){0};
    if (!run_log_read(fd, log, &e)) fail_msg("%s", e.msg);
    close(fd);
    unlink(TEST_TMP "/test_run_read.jsonl");
}

static void started(Buf *b, int64_t step, int64_t steps, double time) {
    buf_printf(b,
               "{\"event\":\"%s\",\"step\":%d,\"steps\":%d,\"family\":\"llama\",\"params\":7,\"batch_size\":2,"
               "\"grad_accum\":3,\"seq_len\":10,\"planned_bytes\":%d,\"time\":%.3f}\n",
               step ? "train_resumed" : "train_started", (int)step, (int)steps, step ? 900 : 1000, time);
}

static void progress(Buf *b, int64_t step, double loss, double time) {
    buf_printf(b, "{\"event\":\"train_progress\",\"step\":%d,\"epoch\":%d,\"loss\":%.6f,\"lr\":0.5,\"time\":%.3f}\n",
               (int)step, (int)step / 10, loss, time);
}

static void test_whole(void **state) {
    (void)state;
    Buf b = {0};
    RunLog log;
    started(&b, 0, 20, 1000);
    for (int s = 1; s <= 20; s++) {
        progress(&b, s, 10 - s * 0.25, 1000 + 2 * s);
        if (s % 10 == 0) buf_printf(&b, "{\"event\":\"train_eval\",\"step\":%d,\"loss\":%d,\"best\":true}\n", s, s);
        if (s % 5 == 0) buf_printf(&b, "{\"event\":\"checkpoint_saved\",\"step\":%d,\"path\":\"x\"}\n", s);
    }
    buf_str(&b, "{\"event\":\"train_done\",\"step\":20,\"seconds\":40}\n");
    read_text_log(buf_view(&b), &log);
    assert_int_equal(log.step, 20);
    assert_int_equal(log.steps, 20);
    assert_int_equal(log.epoch, 2);
    assert_int_equal(log.saved, 20);
    assert_int_equal(log.params, 7);
    assert_int_equal(log.step_tokens, 60);
    assert_int_equal(log.width, 1);
    assert_int_equal(log.bad, 0);
    assert_int_equal(log.resumed, 0);
    assert_true(log.done && str_is(log.family, "llama"));
    assert_float_equal(log.started, 1000, 0);
    assert_float_equal(log.seconds, 40, 1e-9);
    assert_float_equal(log.step_s, 2, 1e-9);
    const RunSeries *loss = &log.of[RUN_LOSS], *eval = &log.of[RUN_EVAL];
    assert_int_equal(loss->n, 20);
    assert_float_equal(loss->first, 9.75, 1e-9);
    assert_float_equal(loss->last, 5, 1e-9);
    assert_float_equal(loss->min, 5, 1e-9);
    assert_int_equal(loss->min_step, 20);
    assert_int_equal(loss->max_step, 1);
    assert_float_equal(loss->buckets[7].mean, 10 - 7 * 0.25, 1e-9);
    assert_int_equal(loss->buckets[0].n, 0);
    assert_int_equal(eval->n, 2);
    assert_int_equal(eval->min_step, 10);
    assert_float_equal(run_series_median(loss, 0), 10 - 10.5 * 0.25, 1e-9);
    assert_float_equal(run_series_median(loss, 3), 10 - 19 * 0.25, 1e-9);
    assert_true(isnan(log.of[RUN_MEM].last) && !log.of[RUN_MEM].buckets);
    assert_true(isnan(run_series_median(&log.of[RUN_MEM], 0)));
    run_log_release(&log);
    buf_release(&b);
}

/* A kill after step 9, resumed from 5: steps stand twice, the later ones count; a day between is no time spent. */
static void test_resumed(void **state) {
    (void)state;
    Buf b = {0};
    RunLog log;
    progress(&b, 3, 99, 1); /* of an earlier run in the same file */
    started(&b, 0, 30, 1000);
    for (int s = 1; s <= 9; s++) progress(&b, s, s <= 5 ? 5 : 50, 1000 + s);
    started(&b, 5, 30, 90000);
    started(&b, 5, 30, 91000); /* killed before its first step */
    for (int s = 6; s <= 8; s++) progress(&b, s, 4, 91000 + 3 * (s - 5));
    buf_str(&b, "{\"event\":\"train_progress\",\"step\":9,\"loss\":1"); /* being written */
    read_text_log(buf_view(&b), &log);
    const RunSeries *loss = &log.of[RUN_LOSS];
    assert_int_equal(log.step, 8);
    assert_int_equal(log.resumed, 2);
    assert_int_equal(log.planned_bytes, 1000); /* the most of its processes: so is the peak */
    assert_false(log.done);
    assert_int_equal(log.bad, 0);
    assert_int_equal(loss->n, 8);
    assert_float_equal(loss->max, 5, 0);
    assert_float_equal(loss->last, 4, 0);
    assert_int_equal(loss->first_step, 1);
    assert_float_equal(log.step_s, 3, 1e-9);
    assert_float_equal(log.seconds, 5 + 9, 1e-9);
    run_log_release(&log);
    buf_release(&b);
}

/* Lines that are none of ours, and numbers that are none. */
static void test_strange(void **state) {
    (void)state;
    static const char text[] = "\n"
                               "{\"event\":\"train_started\",\"step\":0,\"steps\":1e300,\"family\":\"a\\u0000b\"}\n"
                               "{\"event\":\"train_progress\",\"step\":1,\"loss\":NaN}\n"
                               "{\"event\":\"train_progress\",\"step\":2,\"loss\":null}\n"
                               "{\"event\":\"train_progress\",\"step\":3,\"loss\":1e200,\"lr\":[1]}\n"
                               "{\"event\":\"train_progress\",\"step\":3,\"loss\":1e200,\"new\":[1,{\"a\":2}]}\n"
                               "{\"event\":\"train_progress\",\"step\":4,\"loss\":2,\"epoch\":0.5}\n"
                               "{\"event\":\"train_progress\",\"step\":-4,\"loss\":3}\n"
                               "{\"event\":\"train_progress\",\"loss\":3}\n"
                               "{\"event\":\"of_tomorrow\",\"step\":77,\"loss\":3}\n"
                               "[1,2]\n"
                               "\xff\xfe\n"
                               "{\"event\":\"checkpoint_saved\",\"step\":4}\n";
    RunLog log;
    read_text_log((Str){text, sizeof text - 1}, &log);
    assert_int_equal(log.bad, 4); /* NaN, a list for a number, a list, no UTF-8 */
    assert_int_equal(log.step, 4);
    assert_int_equal(log.steps, -1);
    assert_int_equal(log.epoch, 0);
    assert_int_equal(log.of[RUN_LOSS].n, 1);
    assert_int_equal(log.of[RUN_LOSS].missing, 2);
    assert_true(isnan(log.seconds) && isnan(log.step_s));
    run_log_release(&log);
    read_text_log(STR(""), &log);
    assert_int_equal(log.step, -1);
    run_log_release(&log);
    read_text_log(STR("{\"event\":\"train_done\",\"step\":1}"), &log);
    assert_int_equal(log.step, -1);
    run_log_release(&log);
}

/* What no clock says is not taken for a time. */
static void test_times(void **state) {
    (void)state;
    static const char *const times[] = {"null", "1e300", "-1e300", "-5", "0", "1e12"};
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        Buf b = {0};
        RunLog log;
        buf_printf(&b, "{\"event\":\"train_started\",\"step\":0,\"steps\":9,\"time\":%s}\n", times[i]);
        progress(&b, 1, 2, 1000);
        buf_printf(&b, "{\"event\":\"train_progress\",\"step\":2,\"loss\":1,\"time\":%s}\n", times[i]);
        progress(&b, 3, 2, 1004);
        read_text_log(buf_view(&b), &log);
        assert_int_equal(log.step, 3);
        assert_true(isnan(log.started));
        assert_float_equal(log.seconds, 4, 1e-9);
        assert_float_equal(log.step_s, 2, 1e-9);
        run_log_release(&log);
        buf_release(&b);
    }
}

/* A file whose end is gone when it is read, however often: the kernel says 4096 bytes and has fewer. */
static void test_cut(void **state) {
    (void)state;
    char bytes[4096];
    struct stat st;
    int fd = open("/sys/devices/system/cpu/online", O_RDONLY);
    if (fd < 0) skip();
    if (fstat(fd, &st) == 0 && st.st_size > pread(fd, bytes, sizeof bytes, 0)) {
        RunLog log = {0};
        Err e = {0};
        assert_false(run_log_read(fd, &log, &e));
        assert_string_equal(e.msg, "cannot read a run's events: they are cut again and again; try later");
        run_log_release(&log);
    }
    close(fd);
}

/* Blocks of the reader end anywhere in a line; lines beyond a block are passed over; many steps share a bucket. */
static void test_long(void **state) {
    (void)state;
    enum { STEPS = 10000, LONG = 200000 };
    Buf b = {0};
    RunLog log;
    started(&b, 0, STEPS, 0);
    for (int s = 1; s <= STEPS; s++) {
        progress(&b, s, s, 0);
        if (s % 2500 == 0) { /* longer than a block, and than two */
            char *fill = mem_alloc(LONG, 1);
            memset(fill, ' ', LONG);
            buf_str(&b, "{\"event\":");
            buf_put(&b, fill, s == 2500 ? LONG : LONG / 3 + (size_t)s);
            buf_str(&b, "\"x\"}\n");
            free(fill);
        }
        if (s % 13 == 0) buf_printf(&b, "{\"event\":\"other\",\"pad\":\"%*d\"}\n", s % 700, s);
    }
    read_text_log(buf_view(&b), &log);
    const RunSeries *loss = &log.of[RUN_LOSS];
    assert_int_equal(log.steps, STEPS);
    assert_int_equal(log.step, STEPS);
    assert_int_equal(loss->n, STEPS);
    assert_int_equal(log.width, STEPS / RUN_BUCKETS + 1);
    int64_t n = 0;
    for (int i = 0; i < RUN_BUCKETS; i++) {
        const RunBucket *k = &loss->buckets[i];
        n += k->n;
        if (!k->n) continue;
        assert_float_equal(k->min, MAX(1, i * (int)log.width), 0);
        assert_float_equal(k->max, MIN(STEPS, (i + 1) * (int)log.width - 1), 0);
        assert_float_equal(k->mean, (k->min + k->max) / 2, 1e-6);
    }
    assert_int_equal(n, STEPS);
    assert_true(log.bad >= 1 && log.bad <= 4);
    run_log_release(&log);
    buf_release(&b);
}

static void test_states(void **state) {
    (void)state;
    RunRecord r = {0};
    Err e = {0};
    mkdir(RUN, 0755);
    assert_false(run_is(RUN));
    assert_false(run_read(RUN, &r, &e));
    assert_int_equal(e.code, ERR_INPUT);
    run_record_release(&r);
    write_all(RUN "/run.json", STR("{\"steps\":1}"));
    assert_false(run_read(RUN, &r, &e));
    assert_int_equal(e.code, ERR_INPUT);
    run_record_release(&r);
    write_all(RUN "/run.json", STR("{\"llmws\":\"0.0.1\"}"));
    assert_true(run_is(RUN) && run_read(RUN, &r, &e));
    assert_int_equal(r.state, RUN_DEAD);
    assert_int_equal(r.log.step, -1);
    run_record_release(&r);
    int lock = open(RUN "/lock", O_RDWR | O_CREAT, 0666);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    write_all(RUN "/events.jsonl", STR("{\"event\":\"train_progress\",\"step\":1,\"loss\":2}\n"));
    assert_true(run_read(RUN, &r, &e));
    assert_int_equal(r.state, RUN_RUNNING);
    run_record_release(&r);
    flock(lock, LOCK_UN);
    assert_true(run_read(RUN, &r, &e));
    assert_int_equal(r.state, RUN_DEAD);
    run_record_release(&r);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0); /* looking kept nothing */
    close(lock);
    write_all(RUN "/events.jsonl", STR("{\"event\":\"train_done\",\"step\":1}\n"));
    assert_true(run_read(RUN, &r, &e));
    assert_int_equal(r.state, RUN_DONE);
    run_record_release(&r);
    unlink(RUN "/events.jsonl");
    mkdir(RUN "/events.jsonl", 0755);
    assert_false(run_read(RUN, &r, &e));
    assert_int_equal(e.code, ERR_INPUT);
    run_record_release(&r);
    rmdir(RUN "/events.jsonl");
    unlink(RUN "/lock");
    unlink(RUN "/run.json");
    rmdir(RUN);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole),   cmocka_unit_test(test_resumed),
                                       cmocka_unit_test(test_strange), cmocka_unit_test(test_times),
                                       cmocka_unit_test(test_cut),     cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
