/* Runs every file of a directory through a fuzz target once: the seeds as a plain test, where no libFuzzer is. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A block that ends where the file ends, so that a sanitizer sees a read past it. */
static int run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) return 1;
    long n = ftell(f);
    uint8_t *data = n >= 0 ? malloc((size_t)n + !n) : NULL;
    int bad = !data || fseek(f, 0, SEEK_SET) != 0 || fread(data, 1, (size_t)n, f) != (size_t)n;
    if (!bad) LLVMFuzzerTestOneInput(data, (size_t)n);
    free(data);
    fclose(f);
    return bad;
}

int main(int argc, char **argv) {
    char path[4096];
    int files = 0, bad = 0;
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    if (!d) return fprintf(stderr, "usage: %s DIR (of seeds)\n", argv[0]), 2;
    for (struct dirent *x; (x = readdir(d));) {
        if (x->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], x->d_name);
        bad += run_file(path);
        files++;
    }
    closedir(d);
    printf("%d seeds, %d unreadable\n", files, bad);
    return files == 0 || bad;
}
