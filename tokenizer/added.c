#include "tokenizer/added.h"

#include "tokenizer/text.h"
#include "tokenizer/unicode.h"

static bool set_build(const TokSpec *spec, const Str *texts, bool normalized, Arena *a, Trie *out, Err *e) {
    size_t bytes = 0;
    for (int32_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].normalized == normalized) bytes += texts[i].n;
    if (!bytes) return true;
    if (!trie_begin(out, bytes, a))
        return err_set(e, ERR_INPUT, "the added tokens are %zu bytes of text, too many", bytes);
    for (int32_t i = 0; i < spec->n_added; i++) {
        int32_t first = spec->added[i].normalized == normalized ? trie_put(out, texts[i], i) : i;
        if (first != i && str_eq(spec->added[i].text, spec->added[first].text))
            return err_set(e, ERR_INPUT, "added token '%.*s' stands twice, with the ids %d and %d", STR_ARG(texts[i]),
                           spec->added[first].id, spec->added[i].id);
    }
    return true;
}

bool added_build(const TokSpec *spec, const Str *texts, Arena *a, Added *out, Err *e) {
    *out = (Added){.tokens = spec->added};
    return set_build(spec, texts, false, a, &out->plain, e) && set_build(spec, texts, true, a, &out->normalized, e);
}

static bool word_at(Str s, size_t at) {
    int len;
    return at < s.n && cp_is_word(utf8_decode(s.s + at, &len));
}

static bool word_before(Str s, size_t at) {
    size_t begin = at;
    while (begin > 0 && utf8_continues(s.s[begin - 1])) begin--;
    return begin > 0 && word_at(s, begin - 1);
}

AddedMatch added_next(const Added *added, const Trie *set, Str s, size_t from, size_t taken, bool special) {
    AddedMatch m = {0};
    if (!set->n) return m;
    for (size_t at = from; at < s.n; at++) {
        int32_t which = set->starts[(unsigned char)s.s[at]] ? trie_longest(set, s, at, &m.end) : -1;
        if (which < 0) continue;
        m.begin = at;
        m.core_end = m.end;
        at = m.end - 1; /* a match that is refused is used up all the same */
        const AddedToken *t = &added->tokens[which];
        if (t->special && !special) continue;
        if (t->single_word && (word_before(s, m.begin) || word_at(s, m.end))) continue;
        if (m.begin < taken) continue; /* lies in white space that the token before has stripped */
        m.token = t;
        if (t->lstrip) m.begin = MAX(m.begin - space_at_end(s.s, m.begin), taken);
        if (t->rstrip) m.end += space_at_start(s.s + m.end, s.n - m.end);
        return m;
    }
    return m;
}
