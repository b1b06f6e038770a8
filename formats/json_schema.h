/* A JSON schema as a grammar: every text that comes from it is JSON that the schema accepts.
 *
 * Draft 2020-12, as far as a grammar can hold it. The grammar may be narrower than the schema: members come in the
 * order of `properties`, members that are not listed there only where additionalProperties is true or a schema (or
 * where nothing is listed), numbers have at most 16 digits before and after the point (multiples of most numbers 9),
 * white space is at most one space or one line break with up to 16 spaces, where JSON allows any. It is never wider: a
 * keyword that cannot be held is refused by its name and place (not, if, contains, dependentSchemas,
 * unevaluatedProperties, $dynamicRef, ...), and so is one that only some of its uses keep (oneOf of branches that
 * nothing tells apart, multipleOf of fractions, uniqueItems of what is no enum). Source: json-schema.org/draft/2020-12,
 * RFC 8259. */
#ifndef FORMATS_JSON_SCHEMA_H
#define FORMATS_JSON_SCHEMA_H

#include "core/base.h"

/* Appends the grammar (GBNF, see core/grammar.h). `what` names the schema in errors (its path). */
bool json_schema_to_gbnf(Str schema, const char *what, Buf *out, Err *e);

/* ---- parts, each appends one expression of GBNF ---- */

/* "..." */
void gbnf_literal(Buf *out, Str text);
/* The inside of a JSON string whose text matches an ECMA 262 pattern: classes, groups, alternatives, quantifiers, ^ and
 * $ around them. Matches anywhere in the text where no anchor says otherwise. */
bool gbnf_of_regex(Str pattern, Buf *out, Err *e);
/* The whole numbers from lo to hi, within GBNF_INT_MAX on both sides. */
#define GBNF_INT_MAX INT64_C(9999999999999999)
void gbnf_int_range(Buf *out, int64_t lo, int64_t hi);
/* Decimal fractions, without exponents, between two of up to GBNF_PLACES_MAX decimals; `none`: there is no such bound,
 * `open`: the bound itself is not meant. No more digits are written than a double tells apart. False: a bound has too
 * many digits. */
enum { GBNF_PLACES_MAX = 8 };
typedef struct Decimal {
    int64_t digits; /* without the point */
    int places;     /* behind it */
} Decimal;
typedef struct NumberRange {
    Decimal lo, hi;
    bool lo_none, hi_none, lo_open, hi_open;
} NumberRange;
bool gbnf_number_range(Buf *out, NumberRange r);
/* The inside of a JSON string of this format; NULL for one that is not known. */
const char *gbnf_of_format(Str name);

#endif
