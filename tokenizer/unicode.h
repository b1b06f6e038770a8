/* Characters as the tokenizers package sees them, from tables that were asked of it (tests/tokenizer/make_unicode.py).
 * What a character decomposes to, and canonical order, are utf8proc's: they never change for one that has them; the
 * tables say which ones the package knows to have them. */
#ifndef TOKENIZER_UNICODE_H
#define TOKENIZER_UNICODE_H

#include "core/base.h"

/* General categories in the order of the table's letters; CAT_NEL is U+0085, a control character that is white space.
 */
typedef enum Category {
    CAT_LU,
    CAT_LL,
    CAT_LT,
    CAT_LM,
    CAT_LO,
    CAT_MN,
    CAT_MC,
    CAT_ME,
    CAT_ND,
    CAT_NL,
    CAT_NO,
    CAT_PC,
    CAT_PD,
    CAT_PS,
    CAT_PE,
    CAT_PI,
    CAT_PF,
    CAT_PO,
    CAT_SM,
    CAT_SC,
    CAT_SK,
    CAT_SO,
    CAT_ZS,
    CAT_ZL,
    CAT_ZP,
    CAT_CC,
    CAT_CF,
    CAT_CO,
    CAT_CN,
    CAT_NEL,
    CATEGORIES
} Category;
Category cp_category(uint32_t cp); /* cp <= 0x10ffff */

/* The categories that a name such as "L" or "Lu" stands for, a bit each; 0: no such name. */
uint32_t category_mask(Str name);

/* Calls range(ctx, first, last) for the characters of these categories that are younger than Unicode 14, in order. */
void category_young(uint32_t mask, void (*range)(void *ctx, uint32_t first, uint32_t last), void *ctx);

bool cp_is_accent(uint32_t cp); /* what the package's StripAccents drops */
bool cp_is_word(uint32_t cp);   /* \w of the regex crate, which the package asks for single words */
/* Place of a combining mark in canonical order, 0 for what stays where it is. */
int cp_combining(uint32_t cp);
/* Full decomposition of one character; returns its length, at most 18. */
enum { DECOMPOSED_MAX = 18 };
int cp_decompose(uint32_t cp, bool compat, uint32_t out[DECOMPOSED_MAX]);
uint32_t cp_compose(uint32_t a, uint32_t b); /* 0: they do not compose */
uint32_t cp_lower(uint32_t cp);

#endif
