/* Cases of bad input, each judged by what the program does with it: the right exit status, one line on stderr that
 * names the file, nothing on stdout, no control byte on either, no signal, under a second and 256 MB. A group of cases
 * is a function over tables; good files stand among the bad, so that a program that refuses everything fails too. */
#ifndef FAULT_HOSTILE_H
#define FAULT_HOSTILE_H

#include "core/base.h"

typedef struct Want {
    int status;        /* 0: taken, with something on stdout and nothing on stderr */
    const char *names; /* part of the line: the file */
    const char *says;  /* part of the line; NULL: any */
} Want;

/* Runs the program with these arguments (NULL-terminated) in the folder of the test, and judges. */
void judge(const char *name, Want want, const char *const *args);
/* generate with the model at this path, one token as JSON. */
void judge_model(const char *name, Want want, const char *model);
/* From here on without the rights of root, who may read every file; what others run is run as they are. */
void judge_as_nobody(bool yes);

/* Files in the folder of the test; a mistake of the test itself ends it. */
void put_file(const char *path, Str bytes);
void get_file(const char *path, Buf *out);
void must(bool ok, const char *what);

void gguf_cases(void);   /* hostile_gguf.c */
void hf_cases(void);     /* hostile_hf.c: config, safetensors, index, tokenizer; the folder "hf" stays behind, good */
void path_cases(void);   /* hostile_path.c: what a path may lead to instead of a file */
void option_cases(void); /* hostile_path.c: files that options name */

#endif
