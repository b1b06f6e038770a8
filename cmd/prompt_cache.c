#include "cmd/prompt_cache.h"

#include <unistd.h>

bool prompt_cache_load(PromptCache *c, const Ui *ui, LlmwsSession *s, int seq, const Ids *prompt, Err *e) {
    Err why = {0};
    if (!c->path || access(c->path, F_OK) != 0) return true;
    if (!llmws_seq_load(s, seq, c->path, &why)) {
        ui_warn(ui, "the prompt cache is not used and will be replaced: %s", why.msg);
        return true;
    }
    size_t n, same = 0;
    const int32_t *ids = llmws_seq_tokens(s, seq, &n);
    while (same < n && same < prompt->n && ids[same] == prompt->v[same]) same++;
    c->whole = same == n && same == prompt->n;
    c->reused = same < prompt->n ? same : prompt->n - 1;
    ui_detail(ui, "[prompt cache] %zu of %zu tokens of the prompt stand in '%s'", same, prompt->n, c->path);
    return llmws_seq_truncate(s, seq, (int64_t)c->reused, e);
}

bool prompt_cache_save(const PromptCache *c, LlmwsSession *s, int seq, Err *e) {
    if (!c->path || c->whole) return true;
    return llmws_seq_save(s, seq, c->path, e) || err_prefix(e, "saving the prompt cache");
}
