/* Inside the Jinja interpreter: values, text with provenance, nodes, and the run that all of them belong to.
 *
 * All memory of a run comes from one arena that the budget bounds, so an error needs no unwinding: jinja_fail jumps to
 * the entry (jinja_compile, jinja_render), which releases the arena. Nothing in here holds any other resource. */
#ifndef TOKENIZER_JINJA_IMPL_H
#define TOKENIZER_JINJA_IMPL_H

#include <setjmp.h>

#include "tokenizer/jinja.h"

/* ---- values ---- */

typedef enum JKind {
    J_UNSET, /* no value: an argument not given, a variable not set yet */
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STR,
    J_LIST,
    J_TUPLE,
    J_DICT,
    J_RANGE,
    J_VIEW, /* what keys(), values() and items() give */
    J_NAMESPACE,
    J_ITER, /* a generator: goes once */
    J_FUNC,
    J_MACRO,
    J_LOOP,
    J_CYCLER,
    J_JOINER,
} JKind;

typedef struct Jinja Jinja;
typedef struct JText JText;
typedef struct JTail JTail;
typedef struct JSeq JSeq;
typedef struct JDict JDict;
typedef struct JRange JRange;
typedef struct JView JView;
typedef struct JIter JIter;
typedef struct JFunc JFunc;
typedef struct JMacro JMacro;
typedef struct JLoop JLoop;
typedef struct JCycler JCycler;
typedef struct JNode JNode;
typedef struct JFrame JFrame;
typedef struct JScope JScope;
typedef struct JUndefined JUndefined;

typedef struct JValue {
    JKind kind;
    union {
        bool b;
        int64_t i;
        double f;
        JText *s;
        JSeq *seq;   /* J_LIST, J_TUPLE */
        JDict *dict; /* J_DICT, J_NAMESPACE */
        const JRange *range;
        const JView *view;
        JIter *iter;
        const JFunc *func;
        const JMacro *macro;
        JLoop *loop;
        JCycler *cycler; /* J_CYCLER, J_JOINER */
        const JUndefined *undefined;
    };
} JValue;

/* Bytes that may grow at their end. Texts point into it; one that ends where the tail ends is extended in place. */
struct JTail {
    char *s;
    uint8_t *marks; /* NULL: all of `trusted`; else 1 where a byte is the template's */
    size_t n, cap;
    bool trusted;
};

struct JText {
    const char *s;
    const uint8_t *marks; /* as in JTail */
    size_t n;
    int64_t chars; /* code points; -1: not counted yet */
    JTail *tail;   /* what s points into, or NULL */
    bool trusted;
    bool markup; /* went through `safe` or `escape`: what is added to it is escaped */
};

struct JSeq {
    JValue *v;
    size_t n, cap;
    bool group; /* of groupby: its items are the attributes `grouper` and `list` too */
};

typedef struct JPair {
    JValue key, value;
    uint64_t hash;
} JPair;

struct JDict { /* in the order of insertion */
    JPair *pairs;
    size_t n, cap;
    uint32_t *slots; /* index + 1 of a pair, 0 free; NULL while it is small */
    size_t mask;
};

struct JRange {
    int64_t start, stop, step, n;
};

typedef enum JViewKind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } JViewKind;
struct JView {
    const JDict *dict;
    JViewKind what;
};

typedef bool JNextFn(Jinja *j, JIter *it, JValue *out);
struct JIter {
    JNextFn *next;
    const char *type; /* as Python calls it */
    JValue source;    /* what it goes over */
    int64_t i;
    JIter *inner;
    void *state;
};

typedef struct JArgs { /* of a call */
    JValue *v;
    size_t n;
    Str *names;
    JValue *named;
    size_t n_named;
} JArgs;

/* A filter, test, method or function: a[0] is the subject, a[1..] the arguments by the row's `params`, J_UNSET where
 * one was not given. */
typedef JValue JFn(Jinja *j, JValue *a, const JArgs *rest);
enum { J_PARAMS = 6 };
typedef struct JRow {
    const char *name;
    JFn *fn;                      /* NULL: known, and not supported */
    int need;                     /* arguments that must be given */
    bool rest;                    /* further arguments are allowed and given as `rest` */
    const char *params[J_PARAMS]; /* names; "" for one that has no name */
} JRow;

struct JFunc {
    const JRow *row;
    JValue self; /* J_UNSET for a function */
};

struct JMacro {
    const JNode *node;
    JScope *scope; /* where it was defined */
};

struct JLoop {
    JIter *it;
    JValue over; /* its len() is the loop's, where it has one */
    JValue before, current, after, changed;
    int64_t index0, length; /* length -1: not known yet */
    int depth0;
    const JNode *recursive; /* the loop's node, or NULL */
    JScope *scope;          /* around the loop */
};

struct JCycler { /* cycler(...) and joiner(sep) */
    JValue items;
    size_t at;
};

struct JUndefined {
    const char *hint; /* or NULL: built from what follows */
    Str name;
    const char *of; /* type of the object that has no such attribute, NULL: a variable */
};

#define J_NONE_VALUE  ((JValue){.kind = J_NONE})
#define J_UNSET_VALUE ((JValue){.kind = J_UNSET})
static inline JValue jbool(bool b) { return (JValue){.kind = J_BOOL, .b = b}; }
static inline JValue jint(int64_t i) { return (JValue){.kind = J_INT, .i = i}; }
static inline JValue jfloat(double f) { return (JValue){.kind = J_FLOAT, .f = f}; }
static inline JValue jstr(JText *s) { return (JValue){.kind = J_STR, .s = s}; }
static inline JValue jlist(JSeq *s) { return (JValue){.kind = J_LIST, .seq = s}; }
static inline JValue jtuple(JSeq *s) { return (JValue){.kind = J_TUPLE, .seq = s}; }
static inline JValue jdict(JDict *d) { return (JValue){.kind = J_DICT, .dict = d}; }
static inline bool jgiven(JValue v) { return v.kind != J_UNSET; }
static inline bool jis_number(JValue v) { return v.kind == J_INT || v.kind == J_FLOAT || v.kind == J_BOOL; }
static inline bool jis_int(JValue v) { return v.kind == J_INT || v.kind == J_BOOL; }
static inline int64_t jas_int(JValue v) { return v.kind == J_BOOL ? v.b : v.i; }
static inline double jas_float(JValue v) { return v.kind == J_FLOAT ? v.f : (double)jas_int(v); }

/* ---- one compilation or rendering ---- */

struct Jinja {
    jmp_buf exit;
    Err *e;
    Arena *arena;
    size_t bytes_max;
    int64_t steps; /* left */
    int depth;     /* left */
    Str source;
    size_t at;         /* byte of the template that is being looked at */
    const char *doing; /* "compile" or "render", for errors */
    /* rendering */
    JTail *out, *root_out;
    StrMap names; /* of the context and the globals, into values */
    JValue *values;
    JTail *answers; /* JinjaSpan after JinjaSpan */
    int64_t now;
};

_Noreturn void jinja_fail(Jinja *j, const char *fmt, ...) PRINTF(2, 3);
_Noreturn void jinja_fail_undefined(Jinja *j, JValue v);
void jinja_step(Jinja *j, size_t bytes); /* one step and what `bytes` of text cost */
void jinja_enter(Jinja *j);              /* one level deeper; left by j->depth++ */
void *jinja_alloc(Jinja *j, size_t count, size_t size);
#define JINJA_NEW(j, type, count) ((type *)jinja_alloc((j), (size_t)(count), sizeof(type)))
const char *jinja_printf(Jinja *j, const char *fmt, ...) PRINTF(2, 3);

/* ---- text (jinja_text.c) ---- */

JText *jtext_of(Jinja *j, Str s, bool trusted); /* borrows s */
static inline Str jtext_view(const JText *t) { return (Str){t->s, t->n}; }
int64_t jtext_chars(Jinja *j, JText *t);
/* Byte at which code point i begins, t->n for i at or past the end. */
size_t jtext_at(Jinja *j, JText *t, int64_t i);
JText *jtext_slice(Jinja *j, const JText *t, size_t from, size_t to); /* bytes, at borders of characters */
JText *jtext_concat(Jinja *j, JText *a, JText *b);
JValue jstr_of(Jinja *j, const char *z); /* trusted; z must stay */
JValue jstr_printf(Jinja *j, const char *fmt, ...) PRINTF(2, 3);
static inline bool jis_str(JValue v, const char *z) { return v.kind == J_STR && str_is(jtext_view(v.s), z); }

JTail *jtail_new(Jinja *j);
void jtail_put(Jinja *j, JTail *b, const char *s, size_t n, bool trusted);
void jtail_text(Jinja *j, JTail *b, const JText *t, size_t from, size_t to);
void jtail_all(Jinja *j, JTail *b, const JText *t);
void jtail_char(Jinja *j, JTail *b, uint32_t cp, bool trusted);
void jtail_repeat(Jinja *j, JTail *b, const JText *t, int64_t times);
JText *jtail_done(Jinja *j, JTail *b);
/* Whether the character at byte i is the template's. */
static inline bool jtext_trusted(const JText *t, size_t i) { return t->marks ? t->marks[i] : t->trusted; }

/* ---- characters as Python sees them (jinja_unicode.c) ---- */

bool py_space(uint32_t c);
bool py_alpha(uint32_t c);
bool py_decimal(uint32_t c);
bool py_digit(uint32_t c);
bool py_numeric(uint32_t c);
bool py_upper(uint32_t c);
bool py_lower(uint32_t c);
bool py_printable(uint32_t c);
typedef enum CaseMap { CASE_UPPER, CASE_LOWER, CASE_TITLE } CaseMap;
/* Full mapping of one character; returns how many. */
int py_case(uint32_t c, CaseMap map, uint32_t out[3]);
size_t py_strip_start(Str s); /* bytes of white space at the beginning */
size_t py_strip_end(Str s);   /* bytes that are left without the white space at the end */
/* The line that begins at byte `at` by str.splitlines: its end, and where the next one begins. */
size_t py_line_end(Str s, size_t at, size_t *next);

/* ---- what values do (jinja_value.c, jinja_iter.c, jinja_repr.c, jinja_json.c) ---- */

const char *jtype_name(JValue v);
bool jtruth(Jinja *j, JValue v);
bool jequal(Jinja *j, JValue a, JValue b);
typedef enum JOrder { ORDER_LT, ORDER_LE, ORDER_GT, ORDER_GE } JOrder;
bool jorder(Jinja *j, JValue a, JValue b, JOrder how);
bool jcontains(Jinja *j, JValue box, JValue item);
bool jsame(JValue a, JValue b);      /* Python's `is` */
int64_t jlength(Jinja *j, JValue v); /* len(), or an error */
bool jhas_length(JValue v);
bool jiterable(JValue v);
JSeq *jseq_new(Jinja *j, size_t cap);
void jseq_push(Jinja *j, JSeq *s, JValue v);
JValue jpair_tuple(Jinja *j, JValue a, JValue b);
JDict *jdict_new(Jinja *j);
void jdict_put(Jinja *j, JDict *d, JValue key, JValue value);
const JValue *jdict_get(Jinja *j, const JDict *d, JValue key); /* NULL: absent */
const JValue *jdict_find(Jinja *j, const JDict *d, Str key);
bool jhashable(JValue v);
JValue jundefined(Jinja *j, const char *hint);
JValue jundefined_name(Jinja *j, Str name, const char *of);
/* Sorts v[0..n) by keys[0..n) in Python's order, stable. */
void jsort(Jinja *j, JValue *v, JValue *keys, size_t n, bool reverse);

JIter *jiter_of(Jinja *j, JValue v); /* an error where v cannot be gone over */
bool jiter_next(Jinja *j, JIter *it, JValue *out);
JSeq *jcollect(Jinja *j, JValue v); /* list(v) */
JValue jiter_value(Jinja *j, JNextFn *next, const char *type, JValue source, void *state);
JValue jindex_value(Jinja *j, JValue v, int64_t i); /* item i of a str, list, tuple or range: 0 <= i < len */

JText *jto_str(Jinja *j, JValue v); /* str(v) */
void jrepr(Jinja *j, JTail *out, JValue v, bool sorted);
/* Indices of the pairs by key, where they can be ordered. */
JSeq *jsorted_pairs(Jinja *j, const JDict *d);
/* As pprint.pformat: over several lines where one is too short. */
JText *jpretty(Jinja *j, JValue v);
int py_float_repr(double f, char out[32]);
typedef struct JsonStyle {
    bool ascii, sorted;
    const JText *indent, *comma, *colon; /* indent NULL: one line */
} JsonStyle;
void jto_json(Jinja *j, JTail *out, JValue v, const JsonStyle *style, int level);

/* ---- operators (jinja_ops.c) ---- */

typedef enum JOp { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW } JOp;
JValue jarith(Jinja *j, JOp op, JValue a, JValue b);
JValue jnegate(Jinja *j, JValue v, bool negative);
JValue jget_item(Jinja *j, JValue obj, JValue key);
JValue jget_attr(Jinja *j, JValue obj, Str name);
JValue jslice(Jinja *j, JValue obj, JValue start, JValue stop, JValue step);
JText *jpercent(Jinja *j, const JText *format, JValue args);                             /* format % args */
JText *jformat(Jinja *j, const JText *format, const JArgs *args);                        /* format.format(...) */
void jformat_spec(Jinja *j, JTail *out, JValue v, Str spec);                             /* format(v, spec) */
void jpad(Jinja *j, JTail *out, JText *t, int64_t width, const JText *fill, char align); /* '<', '>' or '^' */

/* ---- work on strings that methods and filters share (jinja_strings.c) ---- */

typedef enum CaseRule { RULE_UPPER, RULE_LOWER, RULE_TITLE, RULE_CAPITALIZE, RULE_SWAP, RULE_TITLE_FILTER } CaseRule;
JText *jtext_case(Jinja *j, const JText *t, CaseRule rule);
typedef enum StripEnds { STRIP_LEFT = 1, STRIP_RIGHT = 2 } StripEnds;
JText *jtext_strip(Jinja *j, JText *t, JValue chars, int ends);
JText *jtext_replace(Jinja *j, JText *t, const JText *from, const JText *to, int64_t count);
JText *jtext_escape(Jinja *j, const JText *t); /* for HTML; a markup */
JText *jtext_reverse(Jinja *j, const JText *t);
/* v with each text in it, of a list or tuple too, as markup; what Python's subclass of str does in its methods. */
JValue jkeep_markup(Jinja *j, JValue v);
bool jtext_is(const JText *t, bool (*test)(uint32_t)); /* all characters, and there are some */
bool jtext_cased(const JText *t, bool upper);          /* isupper, islower */
bool py_alnum(uint32_t c);
JSeq *jtext_lines(Jinja *j, const JText *t, bool keep_ends);
/* What int() and float() make of a text; false: nothing. An integer beyond 64 bits is an error. */
bool jtext_to_int(Jinja *j, const JText *t, int64_t base, int64_t *out);
bool jtext_to_float(const JText *t, double *out);
extern const JRow jinja_str_methods[];
extern const size_t jinja_n_str_methods;

/* ---- calls ---- */

JValue jcall(Jinja *j, JValue fn, const JArgs *args);
JValue jcall_row(Jinja *j, const JRow *row, JValue self, const JArgs *args);
JValue jcall_macro(Jinja *j, const JMacro *m, const JArgs *args);
JValue jloop_render(Jinja *j, const JNode *n, JScope *scope, JValue over, int depth0);
const JRow *jrow_find(const JRow *rows, size_t n, Str name);
const JRow *jfilter_find(Str name);
const JRow *jtest_find(Str name);
extern const JRow jinja_text_filters[], jinja_seq_filters[];
extern const size_t jinja_n_text_filters, jinja_n_seq_filters;
const JRow *jmethod_find(JValue v, Str name, bool *refused); /* refused: it would change the value */
JValue jloop_attr(Jinja *j, JLoop *loop, Str name);
extern const JRow jinja_globals[];
extern const size_t jinja_n_globals;
int64_t jarg_int(Jinja *j, JValue v, const char *what); /* an int, or an error */
JText *jarg_str(Jinja *j, JValue v, const char *what);

/* ---- nodes ---- */

typedef enum JNodeKind {
    /* statements */
    N_TEXT,
    N_PRINT,
    N_FOR,
    N_IF,
    N_SET,
    N_SET_BLOCK,
    N_WITH,
    N_MACRO,
    N_CALL_BLOCK,
    N_FILTER_BLOCK,
    N_GENERATION,
    N_BREAK,
    N_CONTINUE,
    /* expressions */
    N_CONST,
    N_NAME,
    N_NSREF, /* target: name.attr */
    N_LIST,
    N_TUPLE,
    N_DICT, /* items: key, value, key, value */
    N_COND, /* a if b else c */
    N_OR,
    N_AND,
    N_NOT,
    N_COMPARE, /* a, then items with their op */
    N_ARITH,
    N_NEG,
    N_POS,
    N_CONCAT,
    N_ATTR,
    N_ITEM,
    N_SLICE, /* in N_ITEM.b only: a:b:c */
    N_CALL,
    N_FILTER,
    N_TEST,
} JNodeKind;

typedef enum JCompare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IN, CMP_NOT_IN } JCompare;

typedef struct JNodes {
    JNode **v;
    size_t n, cap;
} JNodes;

typedef struct JCallArgs {
    JNodes pos;
    Str *names; /* of `named` */
    JNodes named;
    JNode *star, *double_star;
} JCallArgs;

struct JNode {
    JNodeKind kind;
    int op;                    /* N_ARITH: JOp; in N_COMPARE: JCompare; N_FOR: recursive */
    size_t at;                 /* byte of the template */
    Str name;                  /* name, attribute, filter, test */
    JValue value;              /* N_CONST */
    JNode *a, *b, *c;          /* operands; N_FOR: target, iterable, condition; N_SET: target, value */
    JNodes items, body, other; /* other: else; N_MACRO, N_CALL_BLOCK: items are parameters, other their defaults */
    JCallArgs *args;
    const JRow *row; /* N_FILTER, N_TEST; NULL: unknown, an error when it is reached */
    JFrame *frame, *test_frame, *other_frame;
    int hops, slot;              /* N_NAME, N_NSREF, N_MACRO: the variable */
    int caller, kwargs, varargs; /* N_MACRO, N_CALL_BLOCK: slots, -1 where the body does not use them; N_FOR: `loop` in
                                    caller */
    bool store, param;           /* N_NAME: is assigned to */
};

/* The names of one scope and what they are when it is entered. Mirrors jinja2.idtracking. */
typedef enum JLoad { LOAD_PARAM, LOAD_ALIAS, LOAD_RESOLVE, LOAD_UNDEFINED } JLoad;
typedef struct JLocal {
    Str name;
    JLoad load;
    bool stored;
    int hops, slot; /* LOAD_ALIAS: where the outer one is */
} JLocal;
struct JFrame {
    JFrame *parent;
    StrMap map;
    JLocal *locals;
    int n, cap;
};

struct JScope {
    JScope *parent;
    JValue *v;
};

struct JinjaTemplate {
    Arena arena;
    Str source;
    JNodes body;
    JFrame *frame;
};

/* ---- tokens and the two passes of a compilation ---- */

typedef enum JTokKind {
    TOK_END,
    TOK_DATA,
    TOK_VAR_BEGIN,
    TOK_VAR_END,
    TOK_BLOCK_BEGIN,
    TOK_BLOCK_END,
    TOK_NAME,
    TOK_STR,
    TOK_INT,
    TOK_FLOAT,
    TOK_OP
} JTokKind;
typedef struct JTok {
    JTokKind kind;
    size_t at;
    Str text; /* name, operator, or the string's value */
    int64_t i;
    double f;
} JTok;
typedef struct JToks {
    JTok *v;
    size_t n, cap;
} JToks;

void jinja_lex(Jinja *j, JToks *out);
typedef struct JParser {
    Jinja *j;
    const JTok *tok; /* the current one */
} JParser;
JNode *jnode_new(JParser *p, JNodeKind kind, size_t at);
void jnodes_push(Jinja *j, JNodes *list, JNode *n);
bool jtok_is(const JTok *t, JTokKind kind, const char *text);
bool jtok_skip(JParser *p, JTokKind kind, const char *text);
JTok jtok_expect(JParser *p, JTokKind kind, const char *text);
_Noreturn void jparse_fail(JParser *p, const char *what);
JNode *jparse_expr(JParser *p, bool cond);
JNode *jparse_primary(JParser *p, bool with_namespace);
typedef struct JTupleRule {
    bool targets, no_cond, parens, with_namespace;
    const char *end; /* a name that ends it too */
} JTupleRule;
JNode *jparse_tuple(JParser *p, JTupleRule rule);
JNode *jparse_filters(JParser *p, JNode *subject, bool inline_name);
JCallArgs *jparse_args(JParser *p);
void jinja_parse(Jinja *j, JinjaTemplate *t);
void jinja_resolve(Jinja *j, JinjaTemplate *t);

/* ---- running ---- */

JValue jeval(Jinja *j, const JNode *n, JScope *s);
void jexec(Jinja *j, JinjaTemplate const *t);

#endif
