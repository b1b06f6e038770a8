/* llmws inspect --families: the table of families, as files name them. */
#include "cmd/inspect.h"
#include "cmd/json_out.h"
#include "core/arch.h"
#include "formats/builtin.h"
#include "formats/formats.h"
#include "formats/json.h"

static void list_json(Buf *b, const char *key, const char *const *items) {
    json_key(b, key);
    buf_char(b, '[');
    for (size_t i = 0; items[i]; i++) {
        if (i) buf_char(b, ',');
        json_put_str(b, str_of(items[i]));
    }
    buf_char(b, ']');
}

static const char *const *formats_of(const LlmwsFamilyInfo *f) {
    static const char *const both[] = {"safetensors", "gguf", NULL}, *const one[] = {"safetensors", NULL};
    return f->gguf ? both : one;
}

/* The builtin model of a family; NULL: none. */
static const char *builtin_of(const char *family) {
    const char *found = NULL;
    for (size_t i = 0; i < builtin_count && !found; i++) {
        TensorFile f;
        if (!builtin_has(&builtin_models[i]) || !tensor_file_open(builtin_models[i].name, &f, NULL)) continue;
        const ArchRow *arch = arch_find(&f, NULL);
        if (arch && strcmp(arch->name, family) == 0) found = builtin_models[i].name;
        f.close(&f);
    }
    return found;
}

static void family_json(Buf *b, const LlmwsFamilyInfo *f, const char *own) {
    static const char *const backends[] = {"cpu", NULL};
    event_begin(b, "family");
    json_str(b, "name", str_of(f->name));
    list_json(b, "model_types", f->model_types);
    json_key(b, "gguf");
    if (f->gguf)
        json_put_str(b, str_of(f->gguf));
    else
        buf_str(b, "null");
    json_str(b, "lora_targets", str_of(f->lora_targets));
    json_key(b, "builtin");
    if (own)
        json_put_str(b, str_of(own));
    else
        buf_str(b, "null");
    list_json(b, "formats", formats_of(f));
    list_json(b, "backends", backends);
    event_end(b);
}

static void family_row(Buf *b, const LlmwsFamilyInfo *f, const char *own) {
    Buf types = {0};
    for (size_t i = 0; f->model_types[i]; i++) buf_printf(&types, "%s%s", i ? "," : "", f->model_types[i]);
    buf_printf(b, "%-10s %-20s %-10s %-18s %-8s %-15s %s\n", f->name, types.s, f->gguf ? f->gguf : "-",
               f->gguf ? "safetensors,gguf" : "safetensors", "cpu", own ? own : "-", f->lora_targets);
    buf_release(&types);
}

bool inspect_families(const Ui *ui, Err *e) {
    LlmwsFamilyInfo f;
    Buf b = {0};
    if (!ui->json) {
        buf_str(&b, ui->out_color ? "\033[1m" : "");
        buf_printf(&b, "%-10s %-20s %-10s %-18s %-8s %-15s %s", "family", "model_type", "GGUF", "formats", "backends",
                   "builtin", "LoRA targets");
        buf_str(&b, ui->out_color ? "\033[0m\n" : "\n");
    }
    for (size_t i = 0; i < llmws_family_count(); i++) {
        llmws_family_info(i, &f);
        if (ui->json)
            family_json(&b, &f, builtin_of(f.name));
        else
            family_row(&b, &f, builtin_of(f.name));
    }
    bool ok = out_flush(&b, e);
    buf_release(&b);
    return ok;
}
