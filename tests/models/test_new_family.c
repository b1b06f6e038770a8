/* A family that is nowhere but in this file: one row of known parts in a new order. The table here stands in for the
 * one of core/arch_table.c, which the linker then leaves out. Its model is made up, written as a Hugging Face
 * directory, run from there and from GGUF, and compared with the same maths written out plainly below. */
#include "oracle.h"

/* ---- the row ---- */

#define FIELD(name) offsetof(Config, name)
#define BLOCK       "net.blocks.{}."

static const KeyRow keys[] = {
    {"depth", "block_count", KEY_INT, FIELD(layers), .required = true},
    {"wide", "embedding_length", KEY_INT, FIELD(width), .required = true},
    {"inner", "feed_forward_length", KEY_INT, FIELD(ffn), .required = true},
    {"askers", "attention.head_count", KEY_INT, FIELD(heads), .required = true},
    {"answerers", "attention.head_count_kv", KEY_INT, FIELD(kv_heads)},
    {"head_size", "attention.key_length", KEY_INT, FIELD(head_dim)},
    {"words", "vocab_size", KEY_INT, FIELD(vocab)},
    {"reach", "context_length", KEY_INT, FIELD(ctx)},
    {"tiny", "attention.layer_norm_rms_epsilon", KEY_FLOAT, FIELD(norm_eps)},
    {"look_back", "attention.sliding_window", KEY_INT, FIELD(window)},
    {"all_seeing", NULL, KEY_INT, FIELD(window_period)},
    {"cap_scores", NULL, KEY_FLOAT, FIELD(attn_softcap)},
    {"cap_logits", NULL, KEY_FLOAT, FIELD(logit_softcap)},
    {0},
};

static const TensorRow tensors[] = {
    {PART_EMBED, "net.words.weight", "token_embd.weight", {DIM_VOCAB, DIM_WIDTH}},
    {PART_ATTN_NORM, BLOCK "norm.weight", "blk.{}.attn_norm.weight", {DIM_WIDTH}, TRANSFORM_PLUS_ONE},
    {PART_QKV, BLOCK "attn.ask.weight", "blk.{}.attn_qkv.weight", {DIM_QKV, DIM_WIDTH}, .hf_transposed = true},
    {PART_BIAS, BLOCK "attn.ask.bias", "blk.{}.attn_qkv.bias", {DIM_QKV}},
    {PART_Q_NORM, BLOCK "attn.q_norm.weight", "blk.{}.attn_q_norm.weight", {DIM_HEAD}, TRANSFORM_PLUS_ONE},
    {PART_K_NORM, BLOCK "attn.k_norm.weight", "blk.{}.attn_k_norm.weight", {DIM_HEAD}, TRANSFORM_PLUS_ONE},
    {PART_O, BLOCK "attn.out.weight", "blk.{}.attn_output.weight", {DIM_WIDTH, DIM_Q}},
    {PART_GATE_UP, BLOCK "mlp.both.weight", "blk.{}.ffn_up.weight", {DIM_FFN2, DIM_WIDTH}},
    {PART_DOWN, BLOCK "mlp.down.weight", "blk.{}.ffn_down.weight", {DIM_WIDTH, DIM_FFN}},
    {PART_FFN_POST_NORM, BLOCK "after.weight", "blk.{}.post_ffw_norm.weight", {DIM_WIDTH}, TRANSFORM_PLUS_ONE},
    {PART_NORM, "net.norm.weight", "output_norm.weight", {DIM_WIDTH}, TRANSFORM_PLUS_ONE},
    {PART_HEAD, "head.weight", "output.weight", {DIM_VOCAB, DIM_WIDTH}, .when = WHEN_UNTIED},
    {PART_BIAS, "head.bias", "output.bias", {DIM_VOCAB}},
    {0},
};

const ArchRow arch_table[] = {{
    .name = "chimera",
    .hf_models = (const char *const[]){"chimera", NULL},
    .hf_class = "ChimeraForCausalLM",
    .gguf = "chimera",
    .keys = keys,
    .tensors = tensors,
    .defaults = {.norm_eps = 1e-6, .rope = {.theta = 10000, .factor = 1}, .windows = true},
    .act = ACT_GELU,
    .scaled_embedding = true,
    .partial_rope = 0.5,
    .lora_targets = "ask+out",
}};
const size_t arch_count = 1;

/* ---- its model ---- */

enum { L = 2, D = 24, H = 3, K = 1, E = 8, F = 40, V = 50, T = 12, WINDOW = 4, DIMS = E / 2, QKV = (H + 2 * K) * E };
static const double CAP_SCORES = 3, CAP_LOGITS = 5, EPS = 1e-5;

#define CONFIG                                                                                                         \
    "{\"model_type\":\"chimera\",\"depth\":2,\"wide\":24,\"inner\":40,\"askers\":3,\"answerers\":1,\"head_size\":8,"   \
    "\"words\":50,\"reach\":64,\"tiny\":1e-5,\"look_back\":4,\"all_seeing\":2,\"cap_scores\":3,\"cap_logits\":5,"      \
    "\"rope_theta\":1000.0,\"mascot\":\"goat\"}"

typedef struct Layer {
    float norm[D], ask[D][QKV] /* turned */, ask_bias[QKV], q_norm[E], k_norm[E], out[D][H * E], both[2 * F][D],
        down[D][F], after[D];
} Layer;

typedef struct Net {
    float words[V][D];
    Layer layers[L];
    float norm[D], head[V][D], head_bias[V];
} Net;

static uint32_t noise;

static void fill(void *at, size_t bytes, float scale) {
    float *x = at;
    for (size_t i = 0; i < bytes / sizeof *x; i++) {
        noise = noise * 1664525 + 1013904223;
        x[i] = scale * ((float)(noise >> 8) / (float)(1 << 23) - 1);
    }
}

static OutTensor out_tensor(Arena *a, const char *pattern, int64_t layer, int64_t rows, int64_t columns, void *data) {
    OutTensor t = {.name = weight_name(a, pattern, layer), .dtype = DT_f32, .ndim = rows ? 2 : 1, .data = data};
    t.ne[0] = rows ? rows : columns, t.ne[1] = rows ? columns : 1;
    fill(data, (size_t)((rows ? rows : 1) * columns) * sizeof(float), rows ? 0.5f : 0.4f);
    return t;
}

static void write_model(Net *net, const char *dir) {
    Arena a = {0};
    Err e = {0};
    OutTensor out[32];
    size_t n = 0;
    noise = 1;
    out[n++] = out_tensor(&a, "net.words.weight", 0, V, D, net->words);
    for (int i = 0; i < L; i++) {
        Layer *l = &net->layers[i];
        out[n++] = out_tensor(&a, BLOCK "norm.weight", i, 0, D, l->norm);
        out[n++] = out_tensor(&a, BLOCK "attn.ask.weight", i, D, QKV, l->ask);
        out[n++] = out_tensor(&a, BLOCK "attn.ask.bias", i, 0, QKV, l->ask_bias);
        out[n++] = out_tensor(&a, BLOCK "attn.q_norm.weight", i, 0, E, l->q_norm);
        out[n++] = out_tensor(&a, BLOCK "attn.k_norm.weight", i, 0, E, l->k_norm);
        out[n++] = out_tensor(&a, BLOCK "attn.out.weight", i, D, (int64_t)H * E, l->out);
        out[n++] = out_tensor(&a, BLOCK "mlp.both.weight", i, (int64_t)2 * F, D, l->both);
        out[n++] = out_tensor(&a, BLOCK "mlp.down.weight", i, D, F, l->down);
        out[n++] = out_tensor(&a, BLOCK "after.weight", i, 0, D, l->after);
    }
    out[n++] = out_tensor(&a, "net.norm.weight", 0, 0, D, net->norm);
    out[n++] = out_tensor(&a, "head.weight", 0, V, D, net->head);
    out[n++] = out_tensor(&a, "head.bias", 0, 0, V, net->head_bias);
    OK(safetensors_write_dir(dir, 0, out, n, &e), e);
    OK(write_text_file(arena_printf(&a, "%s/config.json", dir), STR(CONFIG), &e), e);
    arena_release(&a);
}

/* ---- the same maths, plainly ---- */

static void rms(const double *x, const float *w, int n, double *out) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) out[i] = x[i] / sqrt(sum / n + EPS) * (1 + (double)w[i]);
}

static double dot(const float *w, const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)w[i] * x[i];
    return sum;
}

static void rotate(double *x, int t) {
    for (int i = 0; i < DIMS / 2; i++) {
        double angle = t * pow(1000, -2.0 * i / DIMS), a = x[i], b = x[i + DIMS / 2];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + DIMS / 2] = b * cos(angle) + a * sin(angle);
    }
}

/* Queries, keys and values of every token, q and k normed and turned. */
static void project(const Layer *l, double normed[T][D], double qkv[T][QKV]) {
    for (int t = 0; t < T; t++) {
        for (int o = 0; o < QKV; o++) {
            qkv[t][o] = (double)l->ask_bias[o];
            for (int i = 0; i < D; i++) qkv[t][o] += (double)l->ask[i][o] * normed[t][i];
        }
        for (int h = 0; h < H + K; h++) {
            rms(&qkv[t][h * E], h < H ? l->q_norm : l->k_norm, E, &qkv[t][h * E]);
            rotate(&qkv[t][h * E], t);
        }
    }
}

static void attend(double qkv[T][QKV], int t, int window, double out[H * E]) {
    for (int h = 0; h < H; h++) {
        double p[T], sum = 0;
        const int first = window && t >= window ? t - window + 1 : 0;
        memset(out + h * E, 0, E * sizeof *out);
        for (int s = first; s <= t; s++) {
            double score = 0;
            for (int i = 0; i < E; i++) score += qkv[t][h * E + i] * qkv[s][H * E + i];
            p[s] = exp(CAP_SCORES * tanh(score / sqrt(E) / CAP_SCORES));
            sum += p[s];
        }
        for (int s = first; s <= t; s++)
            for (int i = 0; i < E; i++) out[h * E + i] += p[s] / sum * qkv[s][(H + K) * E + i];
    }
}

static double gelu(double x) { return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

static void mlp(const Layer *l, const double x[D], double out[D]) {
    double inner[F], y[D];
    for (int f = 0; f < F; f++) inner[f] = gelu(dot(l->both[f], x, D)) * dot(l->both[F + f], x, D);
    for (int d = 0; d < D; d++) y[d] = dot(l->down[d], inner, F);
    rms(y, l->after, D, out);
}

static void forward(const Net *net, const int32_t ids[T], double logits[T][V]) {
    double x[T][D], normed[T][D], qkv[T][QKV], attended[H * E], m[D];
    for (int t = 0; t < T; t++)
        for (int d = 0; d < D; d++) x[t][d] = (double)net->words[ids[t]][d] * sqrt(D);
    for (int i = 0; i < L; i++) {
        const Layer *l = &net->layers[i];
        for (int t = 0; t < T; t++) rms(x[t], l->norm, D, normed[t]);
        project(l, normed, qkv);
        for (int t = 0; t < T; t++) {
            attend(qkv, t, i % 2 ? 0 : WINDOW, attended);
            mlp(l, normed[t], m);
            for (int d = 0; d < D; d++) x[t][d] += dot(l->out[d], attended, H * E) + m[d];
        }
    }
    for (int t = 0; t < T; t++) {
        rms(x[t], net->norm, D, x[t]);
        for (int v = 0; v < V; v++)
            logits[t][v] = CAP_LOGITS * tanh((dot(net->head[v], x[t], D) + (double)net->head_bias[v]) / CAP_LOGITS);
    }
}

/* ---- tests ---- */

static const int32_t ids[T] = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32};

/* f32 sums of this depth are about 1e-6 off; another window, rotation or norm moves logits by 0.01 and more. */
static void check_logits(const char *path, double want[T][V]) {
    Model m;
    Backend *b;
    Session s;
    Err e = {0};
    SessionSpec spec = {
        .ctx = 64, .chunk = 64, .parallel = 1, .kv_type = DT_f32, .compute = COMPUTE_F32, .all_logits = true};
    model_load(&m, path);
    OK(cpu_backend_open(&(BackendOptions){.threads = 2}, &b, &e), e);
    OK(session_prepare(&s, &m, b, &spec, &e) && session_reserve(&s, &e), e);
    int seq = session_seq_open(&s, &e);
    OK(session_eval(&s, seq, ids, T, &e), e);
    const float *got = exec_data(&s.x, s.io.logits);
    for (int i = 0; i < T * V; i++)
        if (!(fabs((double)got[i] - want[i / V][i % V]) <= 2e-5))
            fail_msg("%s: logit %d of token %d is %g, not %g", path, i % V, i / V, (double)got[i], want[i / V][i % V]);
    session_release(&s);
    b->close(b);
    model_release(&m);
}

static void one_row(void **state) {
    (void)state;
    const char *dir = TEST_TMP "/chimera", *gguf = TEST_TMP "/chimera.test.gguf";
    Net *net = mem_alloc(1, sizeof *net);
    static const char *const files[] = {"/config.json", "/model.safetensors"};
    double(*want)[V] = mem_alloc(T, sizeof *want);
    Err e = {0};
    write_model(net, dir);
    forward(net, ids, want);
    check_logits(dir, want);
    LlmwsModel *m = llmws_model_open(dir, NULL, &e);
    if (!m) fail_msg("%s", e.msg);
    OK(llmws_model_save_gguf(m, gguf, &e), e);
    llmws_model_close(m);
    check_logits(gguf, want);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s%s", dir, files[i]);
        remove(path);
    }
    remove(dir), remove(gguf);
    free(want);
    free(net);
}

/* The table of this program is the one above. */
static void no_other(void **state) {
    (void)state;
    TensorFile f = {0};
    Err e = {0};
    assert_false(tensor_file_open(TEST_DATA "/qwen2", &f, &e) && arch_find(&f, &e));
    assert_non_null(strstr(e.msg, "'qwen2' is not supported; supported: chimera"));
    f.close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_row), cmocka_unit_test(no_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
