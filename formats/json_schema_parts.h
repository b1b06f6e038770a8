/* What the files of the schema reader share. A schema's keywords, those of what it refers to and of all that allOf
 * joins are first gathered into one list of Facts (json_schema_gather.c); then each type that they leave becomes an
 * expression (json_schema_types.c); references and alternatives stand above both (json_schema.c). */
#ifndef FORMATS_JSON_SCHEMA_PARTS_H
#define FORMATS_JSON_SCHEMA_PARTS_H

#include "core/value.h"
#include "formats/json_schema.h"

enum { SCHEMA_DEPTH_MAX = 500, SCHEMA_MEMBERS_MAX = 1000, SCHEMA_TYPES = 7, SCHEMA_DIVISOR_MAX = 100 };

typedef enum Keyword {
#define KEYWORD(name) KW_##name,
#include "formats/json_schema.def"
#undef KEYWORD
    KW_COUNT
} Keyword;

extern const char *const schema_keywords[KW_COUNT];

enum {
    T_OBJECT = 1,
    T_ARRAY = 2,
    T_STRING = 4,
    T_NUMBER = 8,
    T_INTEGER = 16,
    T_BOOLEAN = 32,
    T_NULL = 64,
    T_ALL = 127
};

typedef struct Property {
    Str name;
    const Value *schema; /* NULL: any value */
    bool required;
} Property;

typedef struct Facts {
    const Value *kw[KW_COUNT];
    Property *props;          /* on the heap */
    size_t n_props, n_listed; /* listed in `properties`; the others are only required */
    int types;                /* T_*; of `type` */
    const Value *closer;      /* the schema whose additionalProperties is not true */
    bool never, nullable, any_fact;
} Facts;

typedef struct Ref { /* a schema that others refer to, and its rule */
    const Value *schema;
    int rule;
} Ref;

typedef struct Maker {
    const Value *root;
    Buf *rules; /* what is done */
    Buf path;   /* JSON pointer of what is being read */
    Ref *refs;
    size_t n_refs;
    int n_rules, depth;
    int remainders[SCHEMA_DIVISOR_MAX + 1]; /* what add_remainders gave; 0: nothing yet */
    Err *e;
} Maker;

/* Fails with the keyword, where we are, and why. */
bool schema_refuse(Maker *x, const char *keyword, const char *why);

/* One step down the pointer; what it returns goes to schema_leave. */
size_t schema_enter(Maker *x, Str step);
size_t schema_enter_item(Maker *x, const char *list, size_t i);
void schema_leave(Maker *x, size_t before);

/* Appends `rN ::= body` to the grammar and empties body; returns N. */
int schema_add_rule(Maker *x, Buf *body);
/* Appends the body of a rule for a schema. */
bool schema_put(Maker *x, const Value *v, Buf *out);
bool schema_rule(Maker *x, const Value *v, int *rule);

/* ---- json_schema_gather.c ---- */

/* Adds what a schema says to *f; props are on the heap, after a failure too. */
bool schema_gather(Maker *x, const Value *v, Facts *f);
bool schema_resolve(Maker *x, const Value *ref, const Value **target);
bool schema_is_annotation(Str key);
/* Written alike. */
/* Refuses members that an additionalProperties beside which they do not stand would forbid. */
bool schema_check_closer(Maker *x, const Facts *f);
/* T_* that a value belongs to. */
int schema_types_of(const Value *v);

/* Two values that are surely not equal, however they are written. */
bool schema_differ(const Value *a, const Value *b);

/* ---- json_schema_types.c ---- */

/* A count that must be 0 or more; `none` where the keyword is missing. */
bool schema_count(Maker *x, const Facts *f, Keyword kw, int64_t none, int64_t *n);
bool schema_put_pattern(Maker *x, const Value *v, const char *keyword, Buf *out);
void schema_put_bounds(Buf *out, int64_t min, int64_t max); /* {min,max}; max < 0: no end */

/* Appends alternatives for all types that are left; anyOf and oneOf are the caller's. */
bool schema_put_facts(Maker *x, const Facts *f, Buf *out);

/* ---- json_schema_object.c ---- */

bool schema_put_object(Maker *x, const Facts *f, Buf *out);

#endif
