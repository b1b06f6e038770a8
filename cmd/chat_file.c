#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/chat.h"
#include "formats/formats.h"

static char *cache_path(const char *path) {
    Buf b = {0};
    buf_printf(&b, "%s.kv", path);
    return b.s;
}

static bool write_file(const char *path, Str text, Err *e) {
    AtomicFile *f;
    TRY(atomic_open(path, &f, e));
    Sink to = atomic_sink(f);
    if (to.write(to.ctx, text.s, text.n, e)) return atomic_commit(f, e);
    atomic_abort(f);
    return false;
}

bool chat_save(Chat *c, const char *path, Err *e) {
    Buf json = {0};
    char *cache = cache_path(path);
    conversation_write(&c->talk, &json);
    bool ok = write_file(path, buf_view(&json), e);
    if (ok && llmws_seq_len(c->session, c->answer.seq))
        ok = llmws_seq_save(c->session, c->answer.seq, cache, e);
    else if (ok && unlink(cache) != 0 && errno != ENOENT)
        ok = err_set(e, ERR_IO, "cannot remove '%s': %s", cache, strerror(errno));
    buf_release(&json);
    free(cache);
    return ok || err_prefix(e, "saving the conversation");
}

bool chat_load(Chat *c, const char *path, Err *e) {
    Buf json = {0};
    Err why;
    bool ok = read_text(path, &json, e) && conversation_read(&c->talk, buf_view(&json), path, e);
    buf_release(&json);
    TRY(ok && llmws_seq_truncate(c->session, c->answer.seq, 0, e));
    char *cache = cache_path(path);
    if (access(cache, F_OK) == 0 && !llmws_seq_load(c->session, c->answer.seq, cache, &why))
        ui_warn(&c->ui, "the saved cache is not used: %s", why.msg);
    free(cache);
    return true;
}
