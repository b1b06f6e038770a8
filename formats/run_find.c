/* Checkpoints of runs by name. */
#include "formats/run_find.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "formats/formats.h"
#include "formats/run_read.h"
#include "formats/store.h"

static const char step_prefix[] = "step-";

const char *run_checkpoint(Arena *a, const char *dir, int64_t step) {
    return store_join(a, store_join(a, dir, "checkpoints"), arena_printf(a, "%s%" PRId64, step_prefix, step));
}

static int64_t step_of(const char *name) {
    char *end;
    if (!str_starts(str_of(name), step_prefix)) return -1;
    const char *digits = name + sizeof step_prefix - 1;
    long long n = strtoll(digits, &end, 10);
    return *digits >= '0' && *digits <= '9' && !*end ? n : -1;
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

size_t run_steps(const char *dir, int64_t **steps) {
    Arena a = {0};
    size_t n = 0;
    DIR *d = opendir(store_join(&a, dir, "checkpoints"));
    *steps = NULL;
    for (struct dirent *x; d && (x = readdir(d));) {
        int64_t step = step_of(x->d_name);
        if (step < 0) continue;
        *steps = mem_grow(*steps, n + 1, sizeof **steps);
        (*steps)[n++] = step;
    }
    if (d) closedir(d);
    arena_release(&a);
    if (n) qsort(*steps, n, sizeof **steps, newest_first);
    return n;
}

int64_t run_last(const char *dir) {
    int64_t *steps, last = run_steps(dir, &steps) ? steps[0] : -1;
    free(steps);
    return last;
}

/* The step that the link leads to, -1: there is none. */
static int64_t best_of(const char *dir) {
    Arena a = {0};
    char name[64];
    ssize_t n = readlink(store_join(&a, store_join(&a, dir, "checkpoints"), "best"), name, sizeof name - 1);
    arena_release(&a);
    if (n <= 0) return -1;
    name[n] = 0;
    return step_of(name);
}

/* "7", "step-7" or "best". */
static bool step_word(const char *dir, const char *word, int64_t *step, Err *e) {
    Arena a = {0};
    const bool best = strcmp(word, "best") == 0, whole = str_starts(str_of(word), step_prefix);
    *step = best ? best_of(dir) : step_of(whole ? word : arena_printf(&a, "%s%s", step_prefix, word));
    arena_release(&a);
    if (*step >= 0) return true;
    return best ? err_set(e, ERR_INPUT, "the run '%s' has no best checkpoint: it was never evaluated", dir)
                : err_set(e, ERR_USAGE, "'%s@%s': '%s' is no step", dir, word, word);
}

bool run_find(const char *word, Arena *a, const char **path, Err *e) {
    const char *at = strrchr(word, '@'), *dir = word;
    int64_t step = -1;
    *path = NULL;
    const bool at_step = at && !path_exists(word);
    if (at_step) dir = arena_strn(a, word, (size_t)(at - word));
    if (!run_is(dir)) return true;
    if (at_step) TRY(step_word(dir, at + 1, &step, e));
    int64_t last = run_last(dir);
    if (last < 0) return err_set(e, ERR_INPUT, "the run '%s' has no checkpoint", dir);
    *path = run_checkpoint(a, dir, step < 0 ? last : step);
    return path_exists(*path) ||
           err_set(e, ERR_INPUT, "the run '%s' has no checkpoint of step %" PRId64 "; the last is %" PRId64, dir, step,
                   last);
}
