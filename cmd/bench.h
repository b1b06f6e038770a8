/* llmws bench, in two files: measuring (bench.c) and holding two results side by side (bench_compare.c). */
#ifndef CMD_BENCH_H
#define CMD_BENCH_H

#include "cmd/run_opts.h"

/* Two files that `bench --json` wrote: a row for every test that both hold; ERR_INPUT where there is none. */
bool bench_compare(const Ui *ui, bool csv, const char *path_a, const char *path_b, Err *e);

#endif
