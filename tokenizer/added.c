#include "tokenizer/added.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer/text.h"

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

/* What the regex crate means by \w, which the package asks (Unicode Technical Standard 18, annex C). */
static bool compile_word(Added *out, Err *e) {
    int why;
    PCRE2_SIZE at;
    out->word = pcre2_compile((PCRE2_SPTR) "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]",
                              PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &why, &at, NULL);
    return out->word || err_set(e, ERR_FAIL, "cannot compile the pattern of word characters: PCRE2 error %d", why);
}

bool added_build(const TokSpec *spec, const Str *texts, Arena *a, Added *out, Err *e) {
    *out = (Added){.tokens = spec->added};
    TRY(set_build(spec, texts, false, a, &out->plain, e) && set_build(spec, texts, true, a, &out->normalized, e));
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
