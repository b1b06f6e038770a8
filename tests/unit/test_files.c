/* Mappings, streams and atomic files: what is refused, what is kept, what is left behind. */
#include "formats/formats.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DIR_NAME TEST_TMP "/test_files_dir"

static const char *in_dir(const char *name) {
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", DIR_NAME, name);
    return path[turn];
}

/* Entries of the directory, "." and ".." not counted; removes them when asked. */
static int entries(bool clean) {
    int n = 0;
    DIR *d = opendir(DIR_NAME);
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d));) {
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0) continue;
        n++;
        if (clean) unlink(in_dir(x->d_name));
    }
    closedir(d);
    return n;
}

static int setup(void **state) {
    (void)state;
    mkdir(DIR_NAME, 0755);
    entries(true);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    entries(true);
    rmdir(DIR_NAME);
    return 0;
}

static void assert_holds(const char *path, Str want) {
    Mapping m;
    Err e = {0};
    if (!map_file(path, &m, &e)) fail_msg("%s", e.msg);
    assert_true(str_eq((Str){m.bytes, m.n}, want));
    unmap_file(&m);
}

static void assert_refused(bool ok, const Err *e, int code, const char *name, const char *why) {
    assert_false(ok);
    assert_int_equal(e->code, code);
    assert_null(strchr(e->msg, '\n'));
    if (!strstr(e->msg, name)) fail_msg("'%s' does not name '%s'", e->msg, name);
    if (!strstr(e->msg, why)) fail_msg("'%s' does not say '%s'", e->msg, why);
}

static void test_map(void **state) {
    (void)state;
    Mapping m;
    FileSource *s;
    Err e = {0};
    assert_true(write_text_file(in_dir("a"), STR("hello"), &e));
    assert_holds(in_dir("a"), STR("hello"));
    assert_true(write_text_file(in_dir("empty"), STR(""), &e));
    assert_holds(in_dir("empty"), STR(""));
    assert_refused(map_file(in_dir("none"), &m, &e), &e, ERR_INPUT, "none", "No such file");
    assert_refused(map_file(DIR_NAME, &m, &e), &e, ERR_INPUT, DIR_NAME, "directory");
    assert_refused(map_file("/dev/null", &m, &e), &e, ERR_INPUT, "/dev/null", "not a regular file");
    assert_int_equal(mkfifo(in_dir("fifo"), 0644), 0);
    assert_refused(map_file(in_dir("fifo"), &m, &e), &e, ERR_INPUT, "fifo", "FIFO");
    assert_refused(file_source_open(in_dir("fifo"), &s, &e), &e, ERR_INPUT, "fifo", "FIFO");
    assert_null(s);
    assert_int_equal(m.n, 0);
    unmap_file(&m);
}

static void test_source(void **state) {
    (void)state;
    enum { N = 300000 };
    static unsigned char want[N], got[N];
    FileSource *s;
    Err e = {0};
    for (int i = 0; i < N; i++) want[i] = (unsigned char)(i * 7 + i / 251);
    assert_true(write_text_file(in_dir("s"), (Str){(char *)want, N}, &e));
    assert_true(file_source_open(in_dir("s"), &s, &e));
    Source from = file_source(s);
    size_t at = 0, sizes[] = {1, 100, 0, 65535, 65536, 65537, 3, 100000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_true(from.read(from.ctx, got + at, sizes[i], &e));
        at += sizes[i];
    }
    assert_true(from.read(from.ctx, got + at, N - at, &e));
    assert_memory_equal(got, want, N);
    assert_refused(from.read(from.ctx, got, 1, &e), &e, ERR_INPUT, "/s'", "300000 bytes");
    file_source_close(s);
    file_source_close(NULL);
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void test_atomic(void **state) {
    (void)state;
    enum { N = 200000 };
    static char big[N];
    AtomicFile *f;
    Err e = {0};
    mode_t old = umask(027);
    for (int i = 0; i < N; i++) big[i] = (char)(i % 97);
    assert_true(atomic_open(in_dir("f"), &f, &e));
    Sink to = atomic_sink(f);
    for (size_t at = 0, n = 1; at < N; at += n, n = n * 3 + 1) { /* small and large writes */
        n = MIN(n, N - at);
        assert_true(to.write(to.ctx, big + at, n, &e));
        assert_int_equal(access(in_dir("f"), F_OK), -1); /* not there before it is whole */
    }
    assert_true(atomic_commit(f, &e));
    assert_holds(in_dir("f"), (Str){big, N});
    assert_int_equal(mode_of(in_dir("f")), 0640);
    assert_int_equal(chmod(in_dir("f"), 0604), 0);
    assert_true(write_text_file(in_dir("f"), STR("new"), &e)); /* keeps the mode of what it replaces */
    assert_int_equal(mode_of(in_dir("f")), 0604);
    assert_holds(in_dir("f"), STR("new"));

    assert_true(atomic_open(in_dir("f"), &f, &e));
    to = atomic_sink(f);
    assert_true(to.write(to.ctx, big, N, &e));
    atomic_abort(f);
    assert_holds(in_dir("f"), STR("new"));
    assert_int_equal(entries(false), 1);
    umask(old);
}

static void test_two_at_once(void **state) {
    (void)state;
    AtomicFile *f, *g;
    Err e = {0};
    assert_true(atomic_open(in_dir("x"), &f, &e));
    assert_true(atomic_open(in_dir("x"), &g, &e));
    Sink a = atomic_sink(f), b = atomic_sink(g);
    assert_true(a.write(a.ctx, "one", 3, &e) && b.write(b.ctx, "two", 3, &e));
    assert_true(atomic_commit(g, &e));
    assert_holds(in_dir("x"), STR("two"));
    assert_true(atomic_commit(f, &e));
    assert_holds(in_dir("x"), STR("one"));
    assert_int_equal(entries(false), 1);
}

static void test_targets(void **state) {
    (void)state;
    Err e = {0};
    struct stat st;
    assert_true(write_text_file(in_dir("real"), STR("old"), &e));
    assert_int_equal(symlink("real", in_dir("link")), 0);
    assert_true(write_text_file(in_dir("link"), STR("new"), &e));
    assert_holds(in_dir("real"), STR("new"));
    assert_int_equal(lstat(in_dir("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode)); /* still a link */
    assert_int_equal(symlink("nowhere", in_dir("dangling")), 0);
    assert_refused(write_text_file(in_dir("dangling"), STR("x"), &e), &e, ERR_IO, "dangling", "symbolic link");
    assert_refused(write_text_file("/dev/null", STR("x"), &e), &e, ERR_IO, "/dev/null", "not a regular file");
    assert_refused(write_text_file(DIR_NAME, STR("x"), &e), &e, ERR_IO, DIR_NAME, "directory");
    assert_refused(write_text_file(in_dir("no/such/dir"), STR("x"), &e), &e, ERR_IO, "no/such/dir", "No such file");
    assert_refused(write_text_file(in_dir("real/x"), STR("x"), &e), &e, ERR_IO, "real/x", "Not a directory");
    assert_refused(write_text_file("", STR("x"), &e), &e, ERR_IO, "''", "No such file");
    assert_int_equal(entries(false), 3);
}

/* A disk that fills up, by way of the limit on file sizes. */
static void test_full(void **state) {
    (void)state;
    enum { N = 400000 };
    static char big[N];
    struct rlimit old, small;
    AtomicFile *f;
    Err e = {0};
    assert_true(write_text_file(in_dir("keep"), STR("old"), &e));
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){100000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool whole = write_text_file(in_dir("keep"), (Str){big, N}, &e);
    Err buffered = {0}, again = {0};
    assert_true(atomic_open(in_dir("keep"), &f, &buffered));
    Sink to = atomic_sink(f);
    bool ok = true;
    for (int i = 0; i < N && ok; i += 1000) ok = to.write(to.ctx, big, 1000, &buffered);
    bool more = to.write(to.ctx, big, 1, &again), committed = atomic_commit(f, &again);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_refused(whole, &e, ERR_IO, "keep", "File too large");
    assert_refused(ok, &buffered, ERR_IO, "keep", "File too large");
    assert_false(more);
    assert_refused(committed, &again, ERR_IO, "keep", "File too large");
    assert_holds(in_dir("keep"), STR("old"));
    assert_int_equal(entries(false), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_map, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source, setup, teardown),
        cmocka_unit_test_setup_teardown(test_atomic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_targets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
