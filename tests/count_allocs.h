/* Counts allocations of the whole program, for tests that promise to make none. Included by one file of a program. */
#ifndef TESTS_COUNT_ALLOCS_H
#define TESTS_COUNT_ALLOCS_H

#include <stddef.h>

static _Atomic long n_allocs;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
#define COUNTS_ALLOCS 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n) {
    n_allocs++;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    n_allocs++;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    n_allocs++;
    return __libc_realloc(p, n);
}
#else
#define COUNTS_ALLOCS 0
#endif

#endif
