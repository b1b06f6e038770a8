/* Expressions: tokens to nodes, with the precedence of jinja2.parser. */
#include "tokenizer/jinja_impl.h"

JNode *jnode_new(JParser *p, JNodeKind kind, size_t at) {
    JNode *n = JINJA_NEW(p->j, JNode, 1);
    jinja_step(p->j, 0);
    n->kind = kind;
    n->at = at;
    n->caller = n->kwargs = n->varargs = -1;
    return n;
}

void jnodes_push(Jinja *j, JNodes *list, JNode *n) {
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 4;
        JNode **v = JINJA_NEW(j, JNode *, cap);
        if (list->n) memcpy(v, list->v, list->n * sizeof *v);
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = n;
}

bool jtok_is(const JTok *t, JTokKind kind, const char *text) {
    return t->kind == kind && (!text || str_is(t->text, text));
}

bool jtok_skip(JParser *p, JTokKind kind, const char *text) {
    if (!jtok_is(p->tok, kind, text)) return false;
    p->tok++;
    return true;
}

void jparse_fail(JParser *p, const char *what) {
    const JTok *t = p->tok;
    p->j->at = t->at;
    switch (t->kind) {
    case TOK_NAME:
    case TOK_OP: jinja_fail(p->j, "%s, not '%.*s'", what, (int)MIN(t->text.n, (size_t)40), t->text.s);
    case TOK_VAR_END:
    case TOK_BLOCK_END: jinja_fail(p->j, "%s, not the end of the tag", what);
    case TOK_END: jinja_fail(p->j, "%s, not the end of the template", what);
    default: jinja_fail(p->j, "%s", what);
    }
}

JTok jtok_expect(JParser *p, JTokKind kind, const char *text) {
    if (!jtok_is(p->tok, kind, text)) {
        const char *what = text ? text : kind == TOK_NAME ? "a name" : "the end of the tag";
        jparse_fail(p, jinja_printf(p->j, text ? "'%s' expected" : "%s expected", what));
    }
    JTok t = *p->tok;
    if (t.kind != TOK_END) p->tok++;
    return t;
}

static bool op(JParser *p, const char *text) { return jtok_skip(p, TOK_OP, text); }
static bool at_op(const JParser *p, const char *text) { return jtok_is(p->tok, TOK_OP, text); }
static bool word(JParser *p, const char *text) { return jtok_skip(p, TOK_NAME, text); }

static JNode *pair(JParser *p, JNodeKind kind, size_t at, JNode *a, JNode *b) {
    JNode *n = jnode_new(p, kind, at);
    n->a = a;
    n->b = b;
    return n;
}

/* ---- primaries ---- */

static JNode *constant(JParser *p, size_t at, JValue v) {
    JNode *n = jnode_new(p, N_CONST, at);
    n->value = v;
    return n;
}

static JNode *parse_list(JParser *p) {
    JNode *n = jnode_new(p, N_LIST, p->tok->at);
    for (p->tok++; !at_op(p, "]");) {
        if (n->items.n) jtok_expect(p, TOK_OP, ",");
        if (at_op(p, "]")) break;
        jnodes_push(p->j, &n->items, jparse_expr(p, true));
    }
    p->tok++;
    return n;
}

static JNode *parse_dict(JParser *p) {
    JNode *n = jnode_new(p, N_DICT, p->tok->at);
    for (p->tok++; !at_op(p, "}");) {
        if (n->items.n) jtok_expect(p, TOK_OP, ",");
        if (at_op(p, "}")) break;
        jnodes_push(p->j, &n->items, jparse_expr(p, true));
        jtok_expect(p, TOK_OP, ":");
        jnodes_push(p->j, &n->items, jparse_expr(p, true));
    }
    p->tok++;
    return n;
}

static JNode *parse_string(JParser *p) {
    size_t at = p->tok->at;
    JText *text = jtext_of(p->j, p->tok++->text, true);
    for (; p->tok->kind == TOK_STR; p->tok++) text = jtext_concat(p->j, text, jtext_of(p->j, p->tok->text, true));
    jtext_chars(p->j, text); /* counted here: a template that is shared never changes */
    text->tail = NULL;
    return constant(p, at, jstr(text));
}

static JNode *parse_name(JParser *p, bool with_namespace) {
    JTok t = *p->tok++;
    bool yes = str_is(t.text, "true") || str_is(t.text, "True");
    if (yes || str_is(t.text, "false") || str_is(t.text, "False")) return constant(p, t.at, jbool(yes));
    if (str_is(t.text, "none") || str_is(t.text, "None")) return constant(p, t.at, J_NONE_VALUE);
    JNode *n = jnode_new(p, N_NAME, t.at);
    n->name = t.text;
    if (with_namespace && op(p, ".")) {
        n->kind = N_NSREF;
        n->value = jstr(jtext_of(p->j, jtok_expect(p, TOK_NAME, NULL).text, true));
        jtext_chars(p->j, n->value.s);
    }
    return n;
}

JNode *jparse_primary(JParser *p, bool with_namespace) {
    const JTok *t = p->tok;
    JNode *n;
    switch (t->kind) {
    case TOK_NAME: return parse_name(p, with_namespace);
    case TOK_STR: return parse_string(p);
    case TOK_INT: return p->tok++, constant(p, t->at, jint(t->i));
    case TOK_FLOAT: return p->tok++, constant(p, t->at, jfloat(t->f));
    default: break;
    }
    if (at_op(p, "[")) return parse_list(p);
    if (at_op(p, "{")) return parse_dict(p);
    if (!op(p, "(")) jparse_fail(p, "an expression is expected");
    n = jparse_tuple(p, (JTupleRule){.parens = true});
    jtok_expect(p, TOK_OP, ")");
    return n;
}

JNode *jparse_tuple(JParser *p, JTupleRule rule) {
    JNodes items = {0};
    size_t at = p->tok->at;
    bool is_tuple = false;
    jinja_enter(p->j);
    for (;;) {
        if (items.n) jtok_expect(p, TOK_OP, ",");
        if (p->tok->kind == TOK_VAR_END || p->tok->kind == TOK_BLOCK_END || at_op(p, ")") ||
            (rule.end && jtok_is(p->tok, TOK_NAME, rule.end)))
            break;
        jnodes_push(p->j, &items,
                    rule.targets ? jparse_primary(p, rule.with_namespace) : jparse_expr(p, !rule.no_cond));
        if (!at_op(p, ",")) break;
        is_tuple = true;
    }
    p->j->depth++;
    if (!is_tuple && items.n) return items.v[0];
    if (!is_tuple && !rule.parens) jparse_fail(p, "an expression is expected");
    JNode *n = jnode_new(p, N_TUPLE, at);
    n->items = items;
    return n;
}

/* ---- what follows a primary ---- */

static JNode *parse_subscribed(JParser *p) {
    size_t at = p->tok->at;
    JNode *part[3] = {0};
    if (!at_op(p, ":")) {
        part[0] = jparse_expr(p, true);
        if (!at_op(p, ":")) return part[0];
    }
    for (int i = 1; i < 3 && op(p, ":"); i++)
        if (!at_op(p, ":") && !at_op(p, "]") && !at_op(p, ",")) part[i] = jparse_expr(p, true);
    JNode *n = jnode_new(p, N_SLICE, at);
    n->a = part[0];
    n->b = part[1];
    n->c = part[2];
    return n;
}

static JNode *parse_subscript(JParser *p, JNode *subject) {
    size_t at = p->tok->at;
    if (op(p, ".")) {
        const JTok *t = p->tok;
        if (t->kind == TOK_INT) return p->tok++, pair(p, N_ITEM, at, subject, constant(p, t->at, jint(t->i)));
        JNode *n = pair(p, N_ATTR, at, subject, NULL);
        n->name = jtok_expect(p, TOK_NAME, NULL).text;
        n->value = jstr(jtext_of(p->j, n->name, true));
        jtext_chars(p->j, n->value.s);
        return n;
    }
    p->tok++;
    JNode *key = jnode_new(p, N_TUPLE, at);
    while (!at_op(p, "]")) {
        if (key->items.n) jtok_expect(p, TOK_OP, ",");
        jnodes_push(p->j, &key->items, parse_subscribed(p));
    }
    p->tok++;
    if (key->items.n == 1) key = key->items.v[0];
    for (size_t i = 0; key->kind == N_TUPLE && i < key->items.n; i++)
        if (key->items.v[i]->kind == N_SLICE) jparse_fail(p, "a slice must stand alone");
    return pair(p, N_ITEM, at, subject, key);
}

JCallArgs *jparse_args(JParser *p) {
    JCallArgs *args = JINJA_NEW(p->j, JCallArgs, 1);
    JNodes names = {0}; /* as N_NAME, until their number is known */
    bool comma = false;
    jtok_expect(p, TOK_OP, "(");
    for (; !at_op(p, ")"); comma = true) {
        if (comma) jtok_expect(p, TOK_OP, ",");
        if (comma && at_op(p, ")")) break;
        size_t at = p->tok->at;
        bool named = p->tok->kind == TOK_NAME && jtok_is(p->tok + 1, TOK_OP, "=");
        bool late = args->double_star || (args->star && !named && !at_op(p, "**"));
        if (late || (args->named.n && !named && !at_op(p, "*") && !at_op(p, "**")))
            jparse_fail(p, "this kind of argument may not stand here");
        if (op(p, "*")) {
            args->star = jparse_expr(p, true);
        } else if (op(p, "**")) {
            args->double_star = jparse_expr(p, true);
        } else if (named) {
            JNode *name = jnode_new(p, N_NAME, at);
            name->name = p->tok->text;
            p->tok += 2;
            jnodes_push(p->j, &names, name);
            jnodes_push(p->j, &args->named, jparse_expr(p, true));
        } else {
            jnodes_push(p->j, &args->pos, jparse_expr(p, true));
        }
    }
    p->tok++;
    args->names = JINJA_NEW(p->j, Str, names.n + 1);
    for (size_t i = 0; i < names.n; i++) {
        args->names[i] = names.v[i]->name;
        for (size_t k = 0; k < i; k++)
            if (str_eq(args->names[k], args->names[i])) jparse_fail(p, "an argument is given twice");
    }
    return args;
}

static JNode *parse_call(JParser *p, JNode *subject) {
    JNode *n = pair(p, N_CALL, p->tok->at, subject, NULL);
    n->args = jparse_args(p);
    return n;
}

/* Postfixes and filters chain without nesting in the parser, but they do nest in the tree. */
static JNode *parse_postfix(JParser *p, JNode *n) {
    for (;;) {
        if (at_op(p, ".") || at_op(p, "["))
            n = parse_subscript(p, n);
        else if (at_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

static Str dotted_name(JParser *p) {
    Str name = jtok_expect(p, TOK_NAME, NULL).text;
    while (op(p, ".")) {
        Str more = jtok_expect(p, TOK_NAME, NULL).text;
        name = str_of(jinja_printf(p->j, "%.*s.%.*s", STR_ARG(name), STR_ARG(more)));
    }
    return name;
}

JNode *jparse_filters(JParser *p, JNode *subject, bool inline_name) {
    while (inline_name || op(p, "|")) {
        JNode *n = pair(p, N_FILTER, p->tok->at, subject, NULL);
        n->name = dotted_name(p);
        n->row = jfilter_find(n->name);
        if (at_op(p, "(")) n->args = jparse_args(p);
        subject = n;
        inline_name = false;
    }
    return subject;
}

static JNode *parse_test(JParser *p, JNode *subject) {
    JNode *n = pair(p, N_TEST, p->tok->at, subject, NULL);
    bool negated = word(p, "not");
    n->name = dotted_name(p);
    n->row = jtest_find(n->name);
    const JTok *t = p->tok;
    bool value = t->kind == TOK_STR || t->kind == TOK_INT || t->kind == TOK_FLOAT || at_op(p, "[") || at_op(p, "{") ||
                 (t->kind == TOK_NAME && !str_is(t->text, "else") && !str_is(t->text, "or") && !str_is(t->text, "and"));
    if (at_op(p, "(")) {
        n->args = jparse_args(p);
    } else if (value) {
        if (jtok_is(t, TOK_NAME, "is")) jparse_fail(p, "tests cannot be chained with 'is'");
        n->args = JINJA_NEW(p->j, JCallArgs, 1);
        jnodes_push(p->j, &n->args->pos, parse_postfix(p, jparse_primary(p, false)));
    }
    return negated ? pair(p, N_NOT, n->at, n, NULL) : n;
}

static JNode *parse_filter_expr(JParser *p, JNode *n) {
    for (;;) {
        if (at_op(p, "|"))
            n = jparse_filters(p, n, false);
        else if (word(p, "is"))
            n = parse_test(p, n);
        else if (at_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

/* ---- operators, tightest first ---- */

static JNode *parse_unary(JParser *p, bool with_filter) {
    size_t at = p->tok->at;
    JNode *n;
    jinja_enter(p->j);
    if (op(p, "-"))
        n = pair(p, N_NEG, at, parse_unary(p, false), NULL);
    else if (op(p, "+"))
        n = pair(p, N_POS, at, parse_unary(p, false), NULL);
    else
        n = jparse_primary(p, false);
    n = parse_postfix(p, n);
    if (with_filter) n = parse_filter_expr(p, n);
    p->j->depth++;
    return n;
}

static JNode *arith(JParser *p, size_t at, JOp which, JNode *a, JNode *b) {
    JNode *n = pair(p, N_ARITH, at, a, b);
    n->op = (int)which;
    return n;
}

static JNode *parse_pow(JParser *p) {
    JNode *n = parse_unary(p, true);
    for (size_t at = p->tok->at; op(p, "**"); at = p->tok->at) n = arith(p, at, OP_POW, n, parse_unary(p, true));
    return n;
}

static JNode *parse_product(JParser *p) {
    JNode *n = parse_pow(p);
    for (;;) {
        size_t at = p->tok->at;
        if (op(p, "*"))
            n = arith(p, at, OP_MUL, n, parse_pow(p));
        else if (op(p, "/"))
            n = arith(p, at, OP_DIV, n, parse_pow(p));
        else if (op(p, "//"))
            n = arith(p, at, OP_FLOORDIV, n, parse_pow(p));
        else if (op(p, "%"))
            n = arith(p, at, OP_MOD, n, parse_pow(p));
        else
            return n;
    }
}

static JNode *parse_concat(JParser *p) {
    size_t at = p->tok->at;
    JNode *first = parse_product(p), *n = NULL;
    while (op(p, "~")) {
        if (!n) {
            n = jnode_new(p, N_CONCAT, at);
            jnodes_push(p->j, &n->items, first);
        }
        jnodes_push(p->j, &n->items, parse_product(p));
    }
    return n ? n : first;
}

static JNode *parse_sum(JParser *p) {
    JNode *n = parse_concat(p);
    for (;;) {
        size_t at = p->tok->at;
        if (op(p, "+"))
            n = arith(p, at, OP_ADD, n, parse_concat(p));
        else if (op(p, "-"))
            n = arith(p, at, OP_SUB, n, parse_concat(p));
        else
            return n;
    }
}

static bool compare_op(JParser *p, int *which) {
    static const char *const ops[] = {
        [CMP_EQ] = "==", [CMP_NE] = "!=", [CMP_LT] = "<", [CMP_LE] = "<=", [CMP_GT] = ">", [CMP_GE] = ">="};
    for (int i = 0; i < (int)COUNT_OF(ops); i++)
        if (op(p, ops[i])) return *which = i, true;
    if (word(p, "in")) return *which = CMP_IN, true;
    if (!jtok_is(p->tok, TOK_NAME, "not") || !jtok_is(p->tok + 1, TOK_NAME, "in")) return false;
    p->tok += 2;
    return *which = CMP_NOT_IN, true;
}

static JNode *parse_compare(JParser *p) {
    size_t at = p->tok->at;
    JNode *first = parse_sum(p), *n = NULL;
    for (int which; compare_op(p, &which);) {
        if (!n) n = pair(p, N_COMPARE, at, first, NULL);
        JNode *operand = pair(p, N_COMPARE, p->tok->at, NULL, NULL);
        operand->op = which;
        operand->a = parse_sum(p);
        jnodes_push(p->j, &n->items, operand);
    }
    return n ? n : first;
}

static JNode *parse_not(JParser *p) {
    size_t at = p->tok->at;
    if (!word(p, "not")) return parse_compare(p);
    jinja_enter(p->j);
    JNode *n = pair(p, N_NOT, at, parse_not(p), NULL);
    p->j->depth++;
    return n;
}

static JNode *parse_and(JParser *p) {
    size_t at = p->tok->at;
    JNode *n = parse_not(p);
    while (word(p, "and")) n = pair(p, N_AND, at, n, parse_not(p));
    return n;
}

static JNode *parse_or(JParser *p) {
    size_t at = p->tok->at;
    JNode *n = parse_and(p);
    while (word(p, "or")) n = pair(p, N_OR, at, n, parse_and(p));
    return n;
}

JNode *jparse_expr(JParser *p, bool cond) {
    jinja_enter(p->j);
    JNode *n = parse_or(p);
    while (cond) {
        size_t at = p->tok->at;
        if (!word(p, "if")) break;
        JNode *then = n;
        n = pair(p, N_COND, at, then, parse_or(p));
        if (word(p, "else")) n->c = jparse_expr(p, true);
    }
    p->j->depth++;
    return n;
}
