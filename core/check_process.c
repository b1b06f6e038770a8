#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "core/check.h"

static int64_t status_bytes(const char *key) {
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%lld", &kib) == 1) break;
    if (f) fclose(f);
    return (int64_t)kib * 1024;
}

static int64_t entries(const char *dir) {
    int64_t n = 0;
    DIR *d = opendir(dir);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static int64_t heap_in_use(void) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 m = mallinfo2();
    return (int64_t)(m.uordblks + m.hblkhd);
#else
    return 0;
#endif
}

ProcessUse process_use(void) {
    ProcessUse u = {.resident = status_bytes("VmRSS:"), .heap = heap_in_use()};
    u.files = entries("/proc/self/fd");
    u.threads = entries("/proc/self/task");
    return u;
}

bool process_peak_reset(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool ok = write(fd, "5", 1) == 1;
    return close(fd) == 0 && ok;
}

int64_t process_peak(void) { return status_bytes("VmHWM:"); }
