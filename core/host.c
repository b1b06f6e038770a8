#include "core/host.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- small files of /proc and /sys ---- */

/* First bytes of a file; false when it cannot be read. */
static bool slurp(const char *path, char *text, size_t cap) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(text, 1, cap - 1, f);
    text[n] = 0;
    fclose(f);
    return n > 0;
}

/* The number after `key` at the start of a line; false when absent. */
static bool field(const char *text, const char *key, int64_t *out) {
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, key, n) == 0) return sscanf(line + n, "%" SCNd64, out) == 1;
    return false;
}

static bool number(const char *dir, const char *name, int64_t *out) {
    char path[4200], text[64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return slurp(path, text, sizeof text) && field(text, "", out);
}

/* ---- control groups ---- */

typedef struct Limits {
    int64_t free_bytes; /* least of limit - used over all levels */
    int64_t cores;
} Limits;

/* memory.stat of both versions names the page cache that the group would give back. */
static void take_memory(Limits *l, const char *dir, const char *limit, const char *used, const char *prefix) {
    char path[4200], text[8192], key[64];
    int64_t max, now, cache = 0, part;
    if (!number(dir, limit, &max) || !number(dir, used, &now)) return; /* "max": no limit */
    snprintf(path, sizeof path, "%s/memory.stat", dir);
    if (slurp(path, text, sizeof text))
        for (int i = 0; i < 2; i++) {
            snprintf(key, sizeof key, "%s%s_file ", prefix, i ? "inactive" : "active");
            if (field(text, key, &part)) cache += part;
        }
    l->free_bytes = MIN(l->free_bytes, MAX(max - MAX(now - cache, 0), 0));
}

static void take_cores(Limits *l, int64_t quota, int64_t period) {
    if (quota > 0 && period > 0) l->cores = MIN(l->cores, MAX(div_up(quota, period), 1));
}

static void take_v2(Limits *l, const char *dir) {
    char path[4200], text[64];
    int64_t quota, period;
    take_memory(l, dir, "memory.max", "memory.current", "");
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (slurp(path, text, sizeof text) && sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) == 2)
        take_cores(l, quota, period);
}

static void take_v1_memory(Limits *l, const char *dir) {
    take_memory(l, dir, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_");
}

static void take_v1_cpu(Limits *l, const char *dir) {
    int64_t quota, period;
    if (number(dir, "cpu.cfs_quota_us", &quota) && number(dir, "cpu.cfs_period_us", &period))
        take_cores(l, quota, period);
}

/* Every level from the group at path up to the root of the mount. Inside a container the path may not exist below the
 * mount; the root then is the container's own group. */
static void walk(Limits *l, const char *mount, const char *path, void (*take)(Limits *, const char *)) {
    char dir[4096];
    int n = snprintf(dir, sizeof dir, "%s%s", mount, path);
    size_t floor = strlen(mount);
    if (n < 0 || (size_t)n >= sizeof dir) return;
    for (char *slash; take(l, dir), (slash = strrchr(dir, '/')) && (size_t)(slash - dir) >= floor;) *slash = 0;
}

/* True when `name` is one of the comma-separated controllers. */
static bool lists(const char *controllers, const char *name) {
    size_t n = strlen(name);
    for (const char *p = controllers; p; p = strchr(p, ','), p += p != NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == 0)) return true;
    return false;
}

static Limits cgroup_limits(void) {
    Limits l = {INT64_MAX, INT64_MAX};
    char text[8192], *save = NULL;
    if (!slurp("/proc/self/cgroup", text, sizeof text)) return l;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        controllers++;
        if (!*controllers) walk(&l, "/sys/fs/cgroup", path, take_v2);
        if (lists(controllers, "memory")) walk(&l, "/sys/fs/cgroup/memory", path, take_v1_memory);
        if (lists(controllers, "cpu")) walk(&l, "/sys/fs/cgroup/cpu", path, take_v1_cpu);
    }
    return l;
}

size_t host_free_bytes(void) {
    char text[4096];
    int64_t kib, limit = cgroup_limits().free_bytes;
    if (slurp("/proc/meminfo", text, sizeof text) && field(text, "MemAvailable:", &kib)) limit = MIN(limit, kib * 1024);
    return limit == INT64_MAX ? SIZE_MAX : (size_t)limit;
}

/* ---- cores ---- */

int host_thread(void) { return (int)syscall(SYS_gettid); }

void host_thread_idle(int thread, bool idle) {
    sched_setscheduler(thread, idle ? SCHED_IDLE : SCHED_OTHER, &(struct sched_param){0});
}

/* True when cpu is the first one of its core that may be used: siblings share a core. */
static bool leads_core(int cpu, const cpu_set_t *set, size_t size) {
    char path[128], text[256];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    if (!slurp(path, text, sizeof text)) return true;
    for (char *p = text; *p >= '0' && *p <= '9'; p += *p == ',') { /* "0,64" or "0-1" */
        long lo = strtol(p, &p, 10), hi = *p == '-' ? strtol(p + 1, &p, 10) : lo;
        for (long c = lo; c <= hi && c < cpu; c++)
            if (CPU_ISSET_S((size_t)c, size, set)) return false;
    }
    return true;
}

int host_cores(void) {
    int cores = 0;
    for (int cap = 1024; !cores && cap <= 1 << 20; cap *= 2) { /* the kernel refuses a set smaller than its own */
        cpu_set_t *set = CPU_ALLOC((size_t)cap);
        size_t size = CPU_ALLOC_SIZE((size_t)cap);
        if (set && sched_getaffinity(0, size, set) == 0)
            for (int c = 0; c < cap; c++) cores += CPU_ISSET_S((size_t)c, size, set) && leads_core(c, set, size);
        CPU_FREE(set);
    }
    return (int)MIN((int64_t)MAX(cores, 1), cgroup_limits().cores);
}
