/* Statements: tokens to nodes. Source of the grammar: jinja2.parser. */
#include "tokenizer/jinja_impl.h"

static void parse_until(JParser *p, const char *const *ends, size_t n_ends, JNodes *body);

/* Names, attributes of namespaces, and tuples of them. */
static bool mark_target(JNode *n) {
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    n->store = true;
    if (n->kind == N_TUPLE) {
        for (size_t i = 0; i < n->items.n; i++)
            if (!mark_target(n->items.v[i])) return false;
        return true;
    }
    for (size_t k = 0; n->kind == N_NAME && k < COUNT_OF(reserved); k++)
        if (str_is(n->name, reserved[k])) return false;
    return n->kind == N_NAME || n->kind == N_NSREF;
}

static void mark_param(JNode *n) {
    n->param = true;
    for (size_t i = 0; n->kind == N_TUPLE && i < n->items.n; i++) mark_param(n->items.v[i]);
}

static JNode *parse_target(JParser *p, bool name_only, bool with_namespace, const char *end) {
    const JTok *t = p->tok;
    JNode *n;
    if (name_only) {
        n = jnode_new(p, N_NAME, t->at);
        n->name = jtok_expect(p, TOK_NAME, NULL).text;
    } else {
        n = jparse_tuple(p, (JTupleRule){.targets = true, .with_namespace = with_namespace, .end = end});
    }
    if (mark_target(n)) return n;
    p->tok = t;
    jparse_fail(p, "this cannot be assigned to");
}

/* The rest of a tag and what follows it, up to one of the end tags; that is passed over and returned. */
static size_t parse_body(JParser *p, JNodes *body, const char *const *ends, size_t n_ends) {
    jtok_skip(p, TOK_OP, ":");
    jtok_expect(p, TOK_BLOCK_END, NULL);
    parse_until(p, ends, n_ends, body);
    size_t which = 0;
    while (!jtok_is(p->tok, TOK_NAME, ends[which])) which++;
    p->tok++;
    return which;
}

static void parse_block(JParser *p, JNodes *body, const char *end) { parse_body(p, body, &end, 1); }

static JNode *parse_set(JParser *p, JNode *n) {
    n->a = parse_target(p, false, true, NULL);
    if (jtok_skip(p, TOK_OP, "=")) {
        n->b = jparse_tuple(p, (JTupleRule){0});
        return n;
    }
    n->kind = N_SET_BLOCK;
    n->b = jparse_filters(p, NULL, false);
    parse_block(p, &n->body, "endset");
    return n;
}

static JNode *parse_for(JParser *p, JNode *n) {
    static const char *const ends[] = {"endfor", "else"};
    n->a = parse_target(p, false, false, "in");
    jtok_expect(p, TOK_NAME, "in");
    n->b = jparse_tuple(p, (JTupleRule){.no_cond = true, .end = "recursive"});
    if (jtok_skip(p, TOK_NAME, "if")) n->c = jparse_expr(p, true);
    n->op = jtok_skip(p, TOK_NAME, "recursive");
    if (parse_body(p, &n->body, ends, 2) == 1) parse_block(p, &n->other, "endfor");
    return n;
}

/* elif is an `if` in the else branch. */
static JNode *parse_if(JParser *p, JNode *n) {
    static const char *const ends[] = {"elif", "else", "endif"};
    JNode *first = n;
    for (;;) {
        n->a = jparse_tuple(p, (JTupleRule){.no_cond = true});
        size_t which = parse_body(p, &n->body, ends, 3);
        if (which == 1) parse_block(p, &n->other, "endif");
        if (which) return first;
        JNode *next = jnode_new(p, N_IF, p->tok->at);
        jnodes_push(p->j, &n->other, next);
        n = next;
    }
}

static JNode *parse_with(JParser *p, JNode *n) {
    while (p->tok->kind != TOK_BLOCK_END) {
        if (n->items.n) jtok_expect(p, TOK_OP, ",");
        JNode *target = parse_target(p, false, false, NULL);
        mark_param(target);
        jnodes_push(p->j, &n->items, target);
        jtok_expect(p, TOK_OP, "=");
        jnodes_push(p->j, &n->other, jparse_expr(p, true));
    }
    parse_block(p, &n->body, "endwith");
    return n;
}

/* Parameters; other[i] is the default of items[i], or NULL. */
static void parse_signature(JParser *p, JNode *n) {
    jtok_expect(p, TOK_OP, "(");
    while (!jtok_is(p->tok, TOK_OP, ")")) {
        if (n->items.n) jtok_expect(p, TOK_OP, ",");
        JNode *param = parse_target(p, true, false, NULL), *value = NULL;
        param->param = true;
        for (size_t i = 0; i < n->items.n; i++)
            if (str_eq(n->items.v[i]->name, param->name)) jparse_fail(p, "a parameter is named twice");
        if (jtok_skip(p, TOK_OP, "="))
            value = jparse_expr(p, true);
        else if (n->other.n && n->other.v[n->other.n - 1])
            jparse_fail(p, "a parameter without a default follows one with a default");
        jnodes_push(p->j, &n->items, param);
        jnodes_push(p->j, &n->other, value);
    }
    p->tok++;
}

static JNode *parse_macro(JParser *p, JNode *n) {
    JNode *name = parse_target(p, true, false, NULL);
    n->name = name->name;
    parse_signature(p, n);
    parse_block(p, &n->body, "endmacro");
    return n;
}

static JNode *parse_call_block(JParser *p, JNode *n) {
    const JTok *t = p->tok;
    n->name = (Str){NULL, 0};
    if (jtok_is(t, TOK_OP, "(")) parse_signature(p, n);
    n->a = jparse_expr(p, true);
    if (n->a->kind != N_CALL) {
        p->tok = t;
        jparse_fail(p, "a call is expected");
    }
    parse_block(p, &n->body, "endcall");
    return n;
}

static JNode *parse_filter_block(JParser *p, JNode *n) {
    n->b = jparse_filters(p, NULL, true);
    parse_block(p, &n->body, "endfilter");
    return n;
}

static JNode *parse_generation(JParser *p, JNode *n) {
    parse_block(p, &n->body, "endgeneration");
    return n;
}

static JNode *parse_print(JParser *p, JNode *n) {
    while (p->tok->kind != TOK_BLOCK_END) {
        if (n->items.n) jtok_expect(p, TOK_OP, ",");
        jnodes_push(p->j, &n->items, jparse_expr(p, true));
    }
    return n;
}

static JNode *parse_word(JParser *p, JNode *n) { return (void)p, n; }

static const struct Statement {
    const char *name;
    JNodeKind kind;
    JNode *(*parse)(JParser *p, JNode *n);
} statements[] = {
    {"for", N_FOR, parse_for},
    {"if", N_IF, parse_if},
    {"set", N_SET, parse_set},
    {"with", N_WITH, parse_with},
    {"macro", N_MACRO, parse_macro},
    {"call", N_CALL_BLOCK, parse_call_block},
    {"filter", N_FILTER_BLOCK, parse_filter_block},
    {"generation", N_GENERATION, parse_generation},
    {"print", N_PRINT, parse_print},
    {"break", N_BREAK, parse_word},
    {"continue", N_CONTINUE, parse_word},
};

static JNode *parse_statement(JParser *p) {
    static const char *const others[] = {"block", "extends", "include", "import", "from", "autoescape"};
    const JTok *t = p->tok;
    if (t->kind != TOK_NAME) jparse_fail(p, "the name of a tag is expected");
    for (size_t i = 0; i < COUNT_OF(statements); i++) {
        if (!str_is(t->text, statements[i].name)) continue;
        p->tok++;
        return statements[i].parse(p, jnode_new(p, statements[i].kind, t->at));
    }
    p->j->at = t->at;
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (str_is(t->text, others[i])) jinja_fail(p->j, "the tag '%s' is not supported in a chat template", others[i]);
    jinja_fail(p->j, "no tag '%.*s' can stand here", (int)MIN(t->text.n, (size_t)40), t->text.s);
}

static bool is_end(const JTok *t, const char *const *ends, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (jtok_is(t, TOK_NAME, ends[i])) return true;
    return false;
}

static JNode *parse_data(JParser *p) {
    JNode *n = jnode_new(p, N_TEXT, p->tok->at);
    n->value = jstr(jtext_of(p->j, p->tok++->text, true));
    jtext_chars(p->j, n->value.s);
    return n;
}

static JNode *parse_variable(JParser *p) {
    JNode *n = jnode_new(p, N_PRINT, p->tok++->at);
    jnodes_push(p->j, &n->items, jparse_tuple(p, (JTupleRule){0}));
    jtok_expect(p, TOK_VAR_END, NULL);
    return n;
}

/* Up to the end of the template, or to the name of one of the end tags. */
static void parse_until(JParser *p, const char *const *ends, size_t n_ends, JNodes *body) {
    jinja_enter(p->j);
    while (p->tok->kind != TOK_END) {
        if (p->tok->kind == TOK_DATA) {
            jnodes_push(p->j, body, parse_data(p));
        } else if (p->tok->kind == TOK_VAR_BEGIN) {
            jnodes_push(p->j, body, parse_variable(p));
        } else {
            p->tok++;
            if (is_end(p->tok, ends, n_ends)) break;
            jnodes_push(p->j, body, parse_statement(p));
            jtok_expect(p, TOK_BLOCK_END, NULL);
        }
    }
    if (p->tok->kind == TOK_END && n_ends) jparse_fail(p, jinja_printf(p->j, "'%s' expected", ends[n_ends - 1]));
    p->j->depth++;
}

void jinja_parse(Jinja *j, JinjaTemplate *t) {
    JToks toks = {0};
    jinja_lex(j, &toks);
    JParser p = {j, toks.v};
    parse_until(&p, NULL, 0, &t->body);
}
