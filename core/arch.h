/* A family is a row: what it is called in files, how its config and tensors map, and which parts its blocks are made
 * of.
 *
 * To add a family made of known parts: one row in core/arch_table.c. A new part: a field here, its branch in
 * core/build.c, the row. Names exist in two worlds; Hugging Face's is ours ("model.layers.{}.mlp.up_proj.weight", {}
 * the layer), GGUF's is mapped. */
#ifndef CORE_ARCH_H
#define CORE_ARCH_H

#include "core/store.h"

typedef enum RopeKind {
    ROPE_DEFAULT,
    ROPE_LINEAR,
    ROPE_DYNAMIC, /* the default up to the trained length; beyond, all would move with every token, and is refused */
    ROPE_LLAMA3,
    ROPE_YARN,
    ROPE_LONG,
    ROPE_FACTORS
} RopeKind;

typedef struct RopeConfig {
    RopeKind kind;
    double theta;
    double factor;               /* linear, dynamic, llama3, yarn */
    double low_freq, high_freq;  /* llama3 */
    int64_t original_ctx;        /* llama3, yarn */
    double beta_fast, beta_slow; /* yarn: turns within original_ctx between which frequencies blend */
    bool fractional;             /* yarn: the ends of the blend are not rounded to whole dims */
    double attention;            /* factor of cos and sin; 0: what the kind says, 1 but for yarn */
    const float *factors;        /* ROPE_FACTORS: [dims/2] divisors of the frequencies (GGUF's rope_freqs) */
    const float *far_factors;    /* ROPE_LONG: the same of sequences longer than original_ctx; factors: of the others */
    int64_t dims;                /* rotated dims of a head */
} RopeConfig;

typedef struct Config { /* of one model; sizes in the shape letters of core/base.h */
    int64_t layers, width, heads, kv_heads, head_dim, ffn, vocab, ctx;
    double norm_eps;
    bool tied; /* the head is the embedding */
    RopeConfig rope;
    RopeConfig local;     /* of windowed layers, where they have a base of their own: theta above 0 */
    double query_scalar;  /* scores are divided by its root, 0: by that of head_dim */
    double attn_softcap;  /* of scores: cap * tanh(score / cap), 0: none */
    double logit_softcap; /* of logits */
    const char *name;     /* general.name, or "" */
    /* which layers are special: a list in the file, or else a rule; see arch_layer */
    int64_t window;        /* keys that a windowed layer sees, 0: all of them */
    bool windows;          /* there are windowed layers */
    int64_t window_from;   /* the first of them */
    int64_t window_period; /* every so many layers one sees all, 0: none does */
    int64_t nope_period;   /* every so many layers one without rotary positions, 0: none */
    const Value *windowed; /* [layers] true or false, NULL: not given */
    const Value *kinds;    /* the same as "sliding_attention" or "full_attention" */
    const Value *rotated;  /* [layers] 1 or 0, NULL: not given */
    /* mixture of experts */
    int64_t experts, experts_used, expert_ffn; /* 0: none; of a token; the width of each */
    bool experts_normalised;                   /* the weights of a token's experts add up to 1 */
    int64_t experts_period;                    /* every so many layers one has experts, 0: all */
    const Value *dense;                        /* numbers of layers that have none, NULL: not given */
} Config;

typedef struct LayerConfig { /* what may differ from layer to layer */
    int64_t window;          /* of the mask rule */
    bool rotated;            /* has rotary positions */
    bool local;              /* of Config.local */
    bool experts;            /* a router and experts in place of the mlp */
} LayerConfig;

typedef enum KeyKind {
    KEY_INT,
    KEY_FLOAT,
    KEY_BOOL,
    KEY_LIST,
    KEY_PATTERN,
    KEY_SCHEME,
    KEY_MUST,
    KEY_MUST_ALL
} KeyKind;

typedef struct KeyRow { /* one setting in both worlds */
    const char *hf;     /* path in config.json, NULL: has none */
    const char *gguf;   /* after "<arch>.", NULL: has none, and is read from llmws.config */
    KeyKind kind;       /* KEY_PATTERN: window_period, or a list for windowed; KEY_SCHEME: no
                           quantisation but GGUF's */
    size_t field;       /* offset in Config; KEY_MUST has none */
    bool required;
    bool none;        /* null is 0, not the default */
    const char *must; /* KEY_MUST: the one supported value, as text ("silu", "false"); absent counts as supported;
                         KEY_MUST_ALL: of each item of a list */
} KeyRow;

typedef enum DimName {
    DIM_END,
    DIM_WIDTH,
    DIM_Q,    /* heads*head_dim */
    DIM_KV,   /* kv_heads*head_dim */
    DIM_HEAD, /* head_dim */
    DIM_QKV,  /* q, k and v side by side */
    DIM_FFN,
    DIM_FFN2, /* gate and up side by side */
    DIM_VOCAB,
    DIM_CTX,
    DIM_EXPERTS,
    DIM_EXPERT_FFN
} DimName;

typedef enum Transform { /* between the file's rows and ours; each has an inverse (weight_row in core/model.h) */
                         TRANSFORM_NONE,
                         TRANSFORM_ROPE,     /* GGUF interleaves the two halves of each head */
                         TRANSFORM_PLUS_ONE, /* of norms with 1 + w: GGUF has that sum */
} Transform;

typedef enum TensorWhen { WHEN_ALWAYS, WHEN_UNTIED, WHEN_DENSE, WHEN_EXPERTS } TensorWhen; /* of the layer */

/* What a tensor is for. A block has the parts that its family's rows list: the builder asks for a part and leaves out
 * what there is none of. The weight's name without its last word is the module's. */
typedef enum Part {
    PART_EMBED,
    PART_POSITIONS, /* learned, one row per index; added to the embedding */
    PART_ATTN_NORM,
    PART_Q,
    PART_K,
    PART_V,
    PART_QKV,    /* the three as one weight, rows of q first */
    PART_Q_NORM, /* over each head, before the rotation */
    PART_K_NORM,
    PART_O,
    PART_ATTN_POST_NORM, /* of what attention gives, before it is added */
    PART_FFN_NORM,       /* none: the mlp reads what attention reads, and both are added at once */
    PART_GATE,           /* none: the mlp is not gated, the activation is of PART_UP */
    PART_UP,
    PART_GATE_UP, /* the two as one weight, rows of the gate first */
    PART_DOWN,
    PART_ROUTER, /* of a layer with experts; they are stacked */
    PART_EXPERTS_GATE,
    PART_EXPERTS_UP,
    PART_EXPERTS_DOWN,
    PART_FFN_POST_NORM,
    PART_NORM,
    PART_HEAD,
    PART_BIAS, /* of the linear map or norm of the same module */
} Part;

typedef enum Activation { ACT_SILU, ACT_GELU } Activation; /* gelu: the tanh form */

typedef struct TensorRow {
    Part part;
    const char *hf,
        *gguf; /* with {} for the layer; a second {}: a tensor for each expert, stacked when the model is opened */
    DimName dims[MAX_DIMS]; /* outermost first */
    Transform gguf_transform;
    TensorWhen when;
    bool hf_transposed;    /* Hugging Face stores [in, out]; turned when the model is opened, which the plan counts */
    const char *gguf_each; /* how older GGUF files name the tensor of each expert */
} TensorRow;

typedef struct ArchRow {
    const char *name;             /* "llama" */
    const char *const *hf_models; /* model_type values */
    const char *hf_class;         /* of transformers, for "architectures" */
    const char *gguf; /* general.architecture, NULL: only Hugging Face; of rows that share it the first reads, and all
                         write it */
    const char *gguf_when; /* of rows that share it: this one reads files where the key of this name is above 0 */
    const KeyRow *keys;    /* ended by a row without names */
    const TensorRow *tensors;
    Config defaults;     /* of settings that config.json leaves out */
    int64_t gguf_window; /* of GGUF files that say none */
    int64_t wide_scale;  /* GGUF has no query_pre_attn_scalar: with so many layers it is width / heads */
    bool layer_norm;     /* norms are of layers (mean, variance, bias), else of root mean squares */
    Activation act;
    const char *act_name;          /* module of the activation, in the mlp */
    bool scaled_embedding;         /* times the root of the width */
    double partial_rope;           /* above 0: only some dims of a head may turn, this part of them unless said */
    const char *hf_prefix;         /* that some files leave out of all names, NULL: none */
    const char *const *hf_ignored; /* patterns of tensors that carry no weights, NULL: none */
    const char *lora_targets;      /* default modules of an adapter */
    bool scaled_residual; /* new models: what is added to the residual stream starts smaller, the more layers */
} ArchRow;

extern const ArchRow arch_table[];
extern const size_t arch_count;

/* The row of a file, by model_type or general.architecture; unknown is an error listing the known and naming the
 * nearest. */
const ArchRow *arch_find(const TensorFile *f, Err *e);
/* The row of a new model's family: by the row's own name, or a model_type. */
const ArchRow *arch_named(const char *name, Err *e);
/* The name nearest to a word that is none of them; NULL: none is near. */
const char *arch_nearest(const char *word, const char *const *names, size_t n);
/* Reads and checks the configuration. Strings and factors are borrowed from the file or its arena. */
bool arch_config(const ArchRow *arch, TensorFile *f, Config *c, Err *e);
/* Appends the names of settings that arch_config left alone, comma separated: they change nothing here. Those that any
 * config.json has, such as torch_dtype, are not worth a word. */
void arch_unused(const ArchRow *arch, const TensorFile *f, Buf *out);
/* Whether the family reads a setting of this name. */
bool arch_reads(const ArchRow *arch, StoreFormat format, Str key);
/* The config.json of a model: that of the directory, or what a GGUF file that llmws wrote keeps of it under
 * "llmws.config"; NULL: none. GGUF's own keys stand above it. */
const Value *arch_hf_config(const TensorFile *f);
/* Both say the same model; else an error that names a setting that differs. */
bool arch_same(const Config *a, const Config *b, Err *e);
int64_t arch_dim(const Config *c, DimName d);
LayerConfig arch_layer(const Config *c, int64_t layer);
/* Whether a model has the tensor of a row in a layer (any number where it stands outside of the layers). */
bool arch_has(const Config *c, const TensorRow *row, int64_t layer);
bool arch_has_part(const ArchRow *arch, Part part);

/* ---- rotary positions (core/arch_rope.c) ---- */

/* Read and check the scaling and base of rotary positions; c has its sizes already. hf_rope: of a config.json, lists
 * come from the arena. */
bool hf_rope(const Value *config, Arena *arena, const ArchRow *a, const Config *c, RopeConfig *r, Err *e);
bool gguf_rope(const TensorFile *f, const ArchRow *a, const Config *c, RopeConfig *r, Err *e);

/* Frequencies of the rotary positions, [dims/2]: 1 / theta^(2i/dims), scaled as the config says (llama3: Meta's
 * wavelength rule, as in transformers' rope utilities; yarn: Peng et al. 2023). */
void rope_frequencies(const RopeConfig *r, float *out);
/* The same positions in sequences of any length, but for rounding of f32. */
bool rope_same(const RopeConfig *a, const RopeConfig *b);
/* The positions of a sequence of so many tokens: longrope has factors of its own beyond the original context. */
RopeConfig rope_for(const RopeConfig *r, int64_t tokens);
/* What cos and sin are multiplied with. */
float rope_attention(const RopeConfig *r);
/* Cos and sin of index[t] * freq[i], times `scale`, [n, half, 2]. The angle is rounded to f32 first, as the reference
 * does. */
void rope_table(const float *freq, int64_t half, float scale, const int32_t *index, int64_t n, float *out);
/* "theta 5e+05, llama3 x8 from 8192" */
const char *rope_text(const RopeConfig *r, Arena *a);

#endif
