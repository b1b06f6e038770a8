#include "formats/builtin.h"

/* The assembler reads the files; CMakeLists.txt says where each is (BUILTIN_llama and so on), an empty one for a model
 * that is absent. They begin and end with a page, so that who uses another model never touches these. */
#define EMBED(name, path)                                                                                              \
    __asm__(".pushsection .rodata.builtin, \"a\"\n"                                                                    \
            ".global builtin_" #name ", builtin_" #name "_size\n"                                                      \
            ".hidden builtin_" #name ", builtin_" #name "_size\n"                                                      \
            ".balign 4096\n"                                                                                           \
            "builtin_" #name ":\n"                                                                                     \
            ".incbin \"" path "\"\n"                                                                                   \
            "1:\n"                                                                                                     \
            ".balign 8\n"                                                                                              \
            "builtin_" #name "_size: .quad 1b - builtin_" #name "\n"                                                   \
            ".balign 4096\n"                                                                                           \
            ".popsection\n");                                                                                          \
    extern const char builtin_##name[];                                                                                \
    extern const uint64_t builtin_##name##_size

EMBED(llama, BUILTIN_llama);
EMBED(mistral, BUILTIN_mistral);
EMBED(phi, BUILTIN_phi);
EMBED(qwen, BUILTIN_qwen);

#define ROW(name)                                                                                                      \
    { "builtin:" #name, builtin_##name, &builtin_##name##_size }
const Builtin builtin_models[] = {ROW(llama), ROW(mistral), ROW(phi), ROW(qwen)};
const size_t builtin_count = COUNT_OF(builtin_models);

static const char word[] = "builtin";

bool builtin_is(const char *path) {
    const size_t n = sizeof word - 1;
    return strncmp(path, word, n) == 0 && (!path[n] || path[n] == ':');
}

static bool refuse(const char *path, bool known, Err *e) {
    Buf names = {0};
    for (size_t i = 0; i < builtin_count; i++)
        if (builtin_has(&builtin_models[i])) buf_printf(&names, "%s%s", names.n ? ", " : "", builtin_models[i].name);
    err_set(e, ERR_INPUT, "cannot open '%s': %s %s", path,
            known ? "absent from this build, which has" : "no builtin model has this name; this build has",
            names.n ? names.s : "none");
    buf_release(&names);
    return false;
}

bool builtin_find(const char *path, Str *bytes, Err *e) {
    const bool any = strcmp(path, word) == 0;
    bool known = any;
    for (size_t i = 0; i < builtin_count; i++) {
        const Builtin *b = &builtin_models[i];
        if (!any && strcmp(path, b->name) != 0) continue;
        known = true;
        if (!builtin_has(b)) continue;
        *bytes = (Str){b->bytes, (size_t)*b->size};
        return true;
    }
    return refuse(path, known, e);
}
