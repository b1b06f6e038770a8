/* One line, or part of a text, to ids and what is learned of them. */
#include "formats/dataset_impl.h"
#include "formats/json.h"

enum { LINE_MAX_BYTES = 32 << 20 }; /* bounds what one line makes us allocate */

enum { TEXT, PROMPT, COMPLETION, MESSAGES, TOOLS, VALUES, IDS = VALUES, LABELS, MEMBERS };

static const char *const member_names[MEMBERS] = {
    [TEXT] = "text",   [PROMPT] = "prompt", [COMPLETION] = "completion", [MESSAGES] = "messages",
    [TOOLS] = "tools", [IDS] = "ids",       [LABELS] = "labels",
};

typedef struct Line {
    Value values[VALUES]; /* null where there is none, as where the line says null */
    IdList lists[MEMBERS - VALUES];
    bool seen[MEMBERS];
    bool given[MEMBERS - VALUES]; /* a list that is not null */
} Line;

void sample_release(Sample *s) {
    id_list_release(&s->ids);
    id_list_release(&s->targets);
}

/* ---- members of a line ---- */

static bool read_ids(Json *j, const DataSpec *spec, int member, Line *line, Err *e) {
    const int32_t lowest = member == LABELS ? LABEL_NONE : 0, above = spec->vocab ? spec->vocab - 1 : INT32_MAX;
    IdList *list = &line->lists[member - VALUES];
    const char *name = member_names[member];
    JsonEvent ev = json_next(j);
    if (ev == JSON_NULL) return true;
    if (ev != JSON_FAIL && ev != JSON_ARRAY) return err_set(e, ERR_INPUT, "'%s' must be a list of token ids", name);
    line->given[member - VALUES] = true;
    while (ev != JSON_FAIL && (ev = json_next(j)) == JSON_INT) {
        if ((j->i < 0 && j->i != lowest) || j->i > above)
            return err_set(e, ERR_INPUT, "'%s' number %zu is %lld: must be 0 to %d%s", name, list->n + 1,
                           (long long)j->i, above, member == LABELS ? ", or -100" : "");
        id_list_put(list, &(int32_t){(int32_t)j->i}, 1);
    }
    if (ev == JSON_FAIL) return *e = j->err, false;
    return ev == JSON_ARRAY_END || err_set(e, ERR_INPUT, "'%s' must be a list of token ids", name);
}

static bool read_member(Json *j, const DataSpec *spec, Arena *a, Line *line, Err *e) {
    int m = 0;
    while (m < MEMBERS && !str_is(j->str, member_names[m])) m++;
    if (m == MEMBERS) return json_skip(j) || (*e = j->err, false);
    if (line->seen[m]) return err_set(e, ERR_INPUT, "'%s' stands twice", member_names[m]);
    line->seen[m] = true;
    return m < VALUES ? json_value(j, a, &line->values[m], e) : read_ids(j, spec, m, line, e);
}

static bool read_members(Json *j, const DataSpec *spec, Arena *a, Line *line, Err *e) {
    JsonEvent ev = json_next(j);
    if (ev != JSON_FAIL && ev != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "a line must be a JSON object, {\"text\": ...} for one");
    while (ev != JSON_FAIL && (ev = json_next(j)) == JSON_KEY) TRY(read_member(j, spec, a, line, e));
    if (ev != JSON_FAIL) ev = json_next(j); /* only white space may follow */
    return ev == JSON_DONE || (*e = j->err, false);
}

/* ---- what each form makes ---- */

/* Targets of the ids that have none yet. */
static void learn(Sample *s, bool yes) {
    const size_t from = s->targets.n;
    id_list_put(&s->targets, s->ids.ids + from, s->ids.n - from);
    for (size_t i = from; !yes && i < s->targets.n; i++) s->targets.ids[i] = LABEL_NONE;
}

static void put_eos(const DataSpec *spec, Sample *s) {
    if (!spec->no_eos) id_list_put(&s->ids, &spec->eos, 1);
}

static bool text_of(const Value *v, int member, Str *out, Err *e) {
    if (v->kind != VALUE_STR)
        return err_set(e, ERR_INPUT, "'%s' %s", member_names[member],
                       v->kind == VALUE_NULL ? "is missing" : "must be a string");
    *out = v->s;
    return true;
}

static bool take_text(const DataSpec *spec, const DataTexts *texts, const Line *line, Sample *s, Err *e) {
    Str text;
    TRY(text_of(&line->values[TEXT], TEXT, &text, e));
    TRY(texts->encode(texts->ctx, text, true, &s->ids, e));
    put_eos(spec, s);
    learn(s, true);
    return true;
}

static bool take_completion(const DataSpec *spec, const DataTexts *texts, const Line *line, Sample *s, Err *e) {
    Str prompt, completion;
    TRY(text_of(&line->values[PROMPT], PROMPT, &prompt, e));
    TRY(text_of(&line->values[COMPLETION], COMPLETION, &completion, e));
    TRY(texts->encode(texts->ctx, prompt, true, &s->ids, e));
    learn(s, spec->train_on_prompt);
    TRY(texts->encode(texts->ctx, completion, false, &s->ids, e));
    put_eos(spec, s);
    learn(s, true);
    return true;
}

static bool take_messages(const DataSpec *spec, const DataTexts *texts, const Line *line, Sample *s, Err *e) {
    const Value *messages = &line->values[MESSAGES], *tools = &line->values[TOOLS];
    IdRanges answers = {0};
    if (messages->kind != VALUE_ARRAY) return err_set(e, ERR_INPUT, "'messages' must be a list");
    if (!texts->chat)
        return err_set(
            e, ERR_INPUT,
            "the model has no chat template for 'messages'; give prompts and completions, or a model that has one");
    bool ok = texts->chat(texts->ctx, messages, tools->kind == VALUE_NULL ? NULL : tools, &s->ids, &answers, e);
    if (ok) learn(s, spec->train_on_prompt);
    for (size_t k = 0; ok && k < answers.n; k++)
        for (size_t i = answers.ranges[k].begin; i < MIN(answers.ranges[k].end, s->ids.n); i++)
            s->targets.ids[i] = s->ids.ids[i];
    id_ranges_release(&answers);
    return ok;
}

static bool take_ids(const Line *line, Sample *s, Err *e) {
    const IdList *ids = &line->lists[IDS - VALUES], *labels = &line->lists[LABELS - VALUES];
    id_list_put(&s->ids, ids->ids, ids->n);
    if (!line->given[LABELS - VALUES]) return learn(s, true), true;
    if (labels->n != ids->n)
        return err_set(e, ERR_INPUT, "'labels' has %zu numbers, 'ids' %zu; they must be as many", labels->n, ids->n);
    id_list_put(&s->targets, labels->ids, labels->n);
    return true;
}

static void truncate_sample(Sample *s, int64_t seq_len) {
    s->truncated = s->ids.n > (size_t)seq_len;
    s->ids.n = s->targets.n = MIN(s->ids.n, (size_t)seq_len);
}

static bool take_line(const DataSpec *spec, const DataTexts *texts, const Line *line, Sample *s, Err *e) {
    if (line->given[0]) return take_ids(line, s, e);
    if (line->values[MESSAGES].kind != VALUE_NULL) {
        TRY(take_messages(spec, texts, line, s, e));
    } else if (line->values[PROMPT].kind != VALUE_NULL && line->values[COMPLETION].kind != VALUE_NULL) {
        TRY(take_completion(spec, texts, line, s, e));
    } else if (line->values[TEXT].kind != VALUE_NULL) {
        return take_text(spec, texts, line, s, e);
    } else {
        return err_set(e, ERR_INPUT, "there is no 'text', 'prompt' with 'completion', 'messages' or 'ids'");
    }
    truncate_sample(s, spec->seq_len);
    return true;
}

static void begin(Sample *s) {
    s->ids.n = s->targets.n = 0;
    s->truncated = false;
}

bool sample_line(const DataSpec *spec, const DataTexts *texts, Str text, Sample *s, Err *e) {
    Arena a = {0};
    Json j;
    Line line = {0};
    begin(s);
    if (text.n > LINE_MAX_BYTES)
        return err_set(e, ERR_INPUT, "the line has %zu bytes, %d at most are read", text.n, LINE_MAX_BYTES);
    json_begin(&j, text);
    bool ok = read_members(&j, spec, &a, &line, e) && take_line(spec, texts, &line, s, e);
    json_end(&j);
    arena_release(&a);
    for (size_t i = 0; i < COUNT_OF(line.lists); i++) id_list_release(&line.lists[i]);
    return ok;
}

bool sample_text(const DataSpec *spec, const DataTexts *texts, const SampleText *t, Sample *s, int64_t *lines, Err *e) {
    begin(s);
    *lines = 0;
    for (size_t i = 0; i < t->text.n;) {
        int len = utf8_len(t->text.s + i, t->text.n - i);
        if (len <= 0) return err_set(e, ERR_INPUT, "invalid UTF-8");
        *lines += t->text.s[i] == '\n';
        i += (size_t)len;
    }
    *lines = 0;
    TRY(texts->encode(texts->ctx, t->text, t->begins, &s->ids, e));
    if (t->ends) put_eos(spec, s);
    learn(s, true);
    return true;
}
