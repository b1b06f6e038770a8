/* What a model's path is: a file, a directory, one that is part of the program or made by it, or a run of training. */
#include "formats/formats.h"
#include "formats/run_find.h"
#include "formats/store.h"
#include "formats/synthetic.h"

static bool open_checkpoint(const char *run, const char *path, TensorFile *f, Err *e) {
    return adapter_is(path) ? err_set(e, ERR_INPUT,
                                      "cannot read '%s': the run trains an adapter; give the model that it is for, and "
                                      "--lora %s",
                                      run, run)
                            : hf_open(path, f, e);
}

static bool open_alone(const char *path, TensorFile *f, Err *e) {
    Mapping m;
    char head[9] = {0};
    if (synthetic_is(path)) return gguf_open(path, f, e);
    if (path_is_dir(path)) return hf_open(path, f, e);
    TRY(map_model(path, &m, e));
    const size_t n = m.n;
    memcpy(head, m.bytes, MIN(n, sizeof head));
    unmap_file(&m);
    if (memcmp(head, "GGUF", 4) == 0) return gguf_open(path, f, e);
    if (head[8] == '{') return hf_open_file(path, f, e);
    const char *why = n == 0                       ? "the file is empty"
                      : memcmp(head, "PK", 2) == 0 ? "a zip or PyTorch file; save the model as safetensors"
                                                   : "neither a GGUF file, a safetensors file nor a model directory";
    return err_set(e, ERR_INPUT, "cannot read '%s': %s", path, why);
}

bool tensor_file_open(const char *path, TensorFile *f, Err *e) {
    Arena a = {0};
    const char *found;
    *f = (TensorFile){0};
    bool ok = run_find(path, &a, &found, e) && (found ? open_checkpoint(path, found, f, e) : open_alone(path, f, e));
    arena_release(&a);
    return ok;
}
