#include "tokenizer/added.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer/text.h"

static struct AddedEdge *edge_of(const AddedSet *set, int32_t node, unsigned char byte) {
    uint64_t key = ((uint64_t)(uint32_t)node << 8 | byte) + 1;
    for (size_t i = (key * 0x9e3779b97f4a7c15u) >> 32 & set->mask;; i = (i + 1) & set->mask)
        if (!set->edges[i].key || set->edges[i].key == key) return &set->edges[i];
}

static bool set_put(AddedSet *set, const AddedToken *tokens, int32_t which, int32_t *nodes, Err *e) {
    Str text = tokens[which].text;
    struct AddedEdge *edge = NULL;
    int32_t node = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char byte = (unsigned char)text.s[i];
        edge = edge_of(set, node, byte);
        if (!edge->key) *edge = (struct AddedEdge){((uint64_t)(uint32_t)node << 8 | byte) + 1, ++*nodes, 0};
        node = edge->node;
    }
    if (!edge) return true; /* an empty text matches nowhere */
    if (edge->token_1)
        return err_set(e, ERR_INPUT, "added token '%.*s' stands twice, with the ids %d and %d", STR_ARG(text),
                       tokens[edge->token_1 - 1].id, tokens[which].id);
    edge->token_1 = which + 1;
    set->starts[(unsigned char)text.s[0]] = true;
    set->n++;
    return true;
}

static bool set_build(const TokSpec *spec, bool normalized, Arena *a, AddedSet *out, Err *e) {
    size_t bytes = 0, cap = 16;
    int32_t nodes = 0;
    for (int32_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].normalized == normalized) bytes += spec->added[i].text.n;
    if (bytes > INT32_MAX / 4) return err_set(e, ERR_INPUT, "the added tokens are %zu bytes of text, too many", bytes);
    if (!bytes) return true;
    while (cap < bytes * 2) cap *= 2;
    out->edges = ARENA_NEW(a, struct AddedEdge, cap);
    out->mask = cap - 1;
    for (int32_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].normalized == normalized) TRY(set_put(out, spec->added, i, &nodes, e));
    return true;
}

/* What the regex crate means by \w, which the package asks (Unicode Technical Standard 18, annex C). */
static bool compile_word(Added *out, Err *e) {
    int why;
    PCRE2_SIZE at;
    out->word = pcre2_compile((PCRE2_SPTR) "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]",
                              PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &why, &at, NULL);
    return out->word || err_set(e, ERR_FAIL, "cannot compile the pattern of word characters: PCRE2 error %d", why);
}

bool added_build(const TokSpec *spec, Arena *a, Added *out, Err *e) {
    *out = (Added){.tokens = spec->added};
    TRY(set_build(spec, false, a, &out->plain, e) && set_build(spec, true, a, &out->normalized, e));
    for (int32_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].single_word && !out->word) TRY(compile_word(out, e));
    return true;
}

void added_release(Added *added) {
    pcre2_code_free(added->word);
    *added = (Added){0};
}

static bool is_word(const Added *added, const char *s, size_t n) {
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool yes = data && pcre2_match(added->word, (PCRE2_SPTR)s, n, 0, PCRE2_NO_UTF_CHECK, data, NULL) >= 0;
    pcre2_match_data_free(data);
    return yes;
}

static bool word_before(const Added *added, Str s, size_t at) {
    size_t begin = at;
    while (begin > 0 && utf8_continues(s.s[begin - 1])) begin--;
    return begin > 0 && is_word(added, s.s + begin - 1, at - begin + 1);
}

/* The longest token that begins at byte `at`, as index + 1. */
static int32_t longest_at(const AddedSet *set, Str s, size_t at, size_t *end) {
    int32_t node = 0, token_1 = 0;
    for (size_t i = at; i < s.n; i++) {
        const struct AddedEdge *edge = edge_of(set, node, (unsigned char)s.s[i]);
        if (!edge->key) break;
        node = edge->node;
        if (edge->token_1) token_1 = edge->token_1, *end = i + 1;
    }
    return token_1;
}

AddedMatch added_next(const Added *added, const AddedSet *set, Str s, size_t from, size_t taken, bool special) {
    AddedMatch m = {0};
    if (!set->n) return m;
    for (size_t at = from; at < s.n; at++) {
        int32_t token_1 = set->starts[(unsigned char)s.s[at]] ? longest_at(set, s, at, &m.end) : 0;
        if (!token_1) continue;
        m.begin = at;
        m.core_end = m.end;
        at = m.end - 1; /* a match that is refused is used up all the same */
        const AddedToken *t = &added->tokens[token_1 - 1];
        if (t->special && !special) continue;
        if (t->single_word &&
            (word_before(added, s, m.begin) || (m.end < s.n && is_word(added, s.s + m.end, s.n - m.end))))
            continue;
        if (m.begin < taken) continue; /* lies in white space that the token before has stripped */
        m.token = t;
        if (t->lstrip) m.begin = MAX(m.begin - space_at_end(s.s, m.begin), taken);
        if (t->rstrip) m.end += space_at_start(s.s + m.end, s.n - m.end);
        return m;
    }
    return m;
}
