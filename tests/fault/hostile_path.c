/* What stands where a file should be: folders, pipes, devices, links that go nowhere; and the files that options name.
 */
#include "tests/fault/hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- instead of a file ---- */

static void make_socket(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    must(fd >= 0 && strlen(path) < sizeof a.sun_path, path);
    strcpy(a.sun_path, path);
    must(bind(fd, (struct sockaddr *)&a, sizeof a) == 0, path);
    close(fd);
}

static void make_sparse(const char *path, off_t bytes) {
    put_file(path, STR(""));
    must(truncate(path, bytes) == 0, path);
}

static void make_unreadable(const char *path) {
    put_file(path, STR("{}"));
    must(chmod(path, 0) == 0, path);
}

typedef enum Kind { FOLDER, PIPE, SOCKET, LOOP, DANGLING, DEVICE, EMPTY, UNREADABLE, SPARSE, NOISE, KINDS } Kind;

static const struct {
    const char *name, *says;
} kinds[KINDS] = {
    [FOLDER] = {"a folder", NULL},
    [PIPE] = {"a pipe", "FIFO"},
    [SOCKET] = {"a socket", NULL},
    [LOOP] = {"a link to itself", "symbolic links"},
    [DANGLING] = {"a link to nothing", "No such file"},
    [DEVICE] = {"a device without an end", "device"},
    [EMPTY] = {"an empty file", NULL},
    [UNREADABLE] = {"a file that may not be read", "Permission denied"},
    [SPARSE] = {"a terabyte of zeros", NULL},
    [NOISE] = {"noise", NULL},
};

static void make(Kind kind, const char *path) {
    char noise[5000];
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)hash_bytes(&i, sizeof i, 7);
    switch (kind) {
    case FOLDER: must(mkdir(path, 0755) == 0, path); break;
    case PIPE: must(mkfifo(path, 0666) == 0, path); break;
    case SOCKET: make_socket(path); break;
    case LOOP: must(symlink(base, path) == 0, path); break;
    case DANGLING: must(symlink("nowhere", path) == 0, path); break;
    case DEVICE: must(symlink("/dev/zero", path) == 0, path); break;
    case EMPTY: put_file(path, STR("")); break;
    case UNREADABLE: make_unreadable(path); break;
    case SPARSE: make_sparse(path, (off_t)1 << 40); break;
    default: put_file(path, (Str){noise, sizeof noise}); break;
    }
}

/* Where a file of the model should be; all of it is put back. */
static const char *const places[] = {
    "bad.gguf",
    "hf/config.json",
    "hf/generation_config.json",
    "hf/model.safetensors",
    "hf/tokenizer.json",
    "hf/tokenizer_config.json",
    "sharded/model.safetensors.index.json",
    "sharded/model-00001-of-00002.safetensors",
};

static void instead_of(const char *place) {
    char aside[256], name[200], model[100];
    const char *slash = strchr(place, '/'), *file = slash ? slash + 1 : place;
    bool there = access(place, F_OK) == 0;
    snprintf(aside, sizeof aside, "%s.aside", place);
    snprintf(model, sizeof model, "%.*s", slash ? (int)(slash - place) : 99, place);
    if (there) must(rename(place, aside) == 0, place);
    for (int k = 0; k < KINDS; k++) {
        make((Kind)k, place);
        snprintf(name, sizeof name, "%s is %s", place, kinds[k].name);
        judge_as_nobody(k == UNREADABLE);
        judge_model(name, (Want){3, file, kinds[k].says}, model);
        judge_as_nobody(false);
        must(remove(place) == 0, place);
    }
    if (there) must(rename(aside, place) == 0, place);
}

/* Names of files that would steer a terminal, or are no names at all. */
static void names(void) {
    static const char *const evil[] = {"\033[31mred.gguf", "a\nb\rc.gguf", "\xff\xfe.gguf", "\xc2\x9bK.gguf", "-"};
    static const char *const shown[] = {"\\x1b[31mred.gguf", "a\\x0ab\\x0dc.gguf", "\\xff\\xfe.gguf", "K.gguf", "-"};
    char name[80], *longest = mem_alloc(5001, 1);
    Buf good = {0};
    for (size_t i = 0; i < COUNT_OF(evil); i++) {
        snprintf(name, sizeof name, "absent: %s", shown[i]);
        judge_model(name, (Want){3, shown[i], "No such file"}, evil[i]);
        put_file(evil[i], STR("no model"));
        snprintf(name, sizeof name, "no model: %s", shown[i]);
        judge_model(name, (Want){3, shown[i], NULL}, evil[i]);
    }
    memset(longest, 'a', 5000);
    judge_model("a name of 5000 bytes", (Want){3, "aaaa", NULL}, longest);
    judge_model("no name", (Want){2, NULL, "no model"}, "");
    judge_model("below a file", (Want){3, "hf/config.json/x", NULL}, "hf/config.json/x");
    free(longest);
    get_file("model.gguf", &good);
    put_file("long.gguf", buf_view(&good));
    must(truncate("long.gguf", (off_t)1 << 40) == 0, "long.gguf");
    buf_release(&good);
}

/* ---- parts of a GGUF model ---- */

static void gguf_parts(void) {
    static const char one[] = "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
                              "\x8\0\0\0\0\0\0\0split.no\4\0\0\0\0\0\0\0"
                              "\xb\0\0\0\0\0\0\0split.count\4\0\0\0\2\0\0\0";
    enum { NO = 4 + 4 + 8 + 8 + 8 + 8 + 4 };
    char other[sizeof one];
    memcpy(other, one, sizeof one);
    other[NO] = 1;
    Str first = {one, sizeof one - 1}, second = {other, sizeof one - 1};
    put_file("p-00001-of-00002.gguf", first);
    judge_model("a part is missing", (Want){3, "p-00002-of-00002.gguf", "No such file"}, "p-00001-of-00002.gguf");
    put_file("p-00002-of-00002.gguf", first);
    judge_model("the same part twice", (Want){3, "p-00002-of-00002.gguf", "not part 2"}, "p-00001-of-00002.gguf");
    put_file("p-00002-of-00002.gguf", (Str){other, 30});
    judge_model("a part is cut", (Want){3, "p-00002-of-00002.gguf", "30 bytes"}, "p-00001-of-00002.gguf");
    put_file("p-00002-of-00002.gguf", second);
    judge_model("the second part", (Want){3, "p-00001-of-00002.gguf", "open the first"}, "p-00002-of-00002.gguf");
    judge_model("parts without a model", (Want){3, "p-00001-of-00002.gguf", "architecture"}, "p-00001-of-00002.gguf");
    put_file("other.gguf", first);
    judge_model("a part of another name", (Want){3, "other.gguf", "-00001-of-00002"}, "other.gguf");
    put_file("other.gguf", second);
    judge_model("another part of another name", (Want){3, "other.gguf", "open the first"}, "other.gguf");
}

void path_cases(void) {
    for (size_t i = 0; i < COUNT_OF(places); i++) instead_of(places[i]);
    names();
    gguf_parts();
}

/* ---- files that options name ---- */

#define GENERATE "generate", "-m", "hf", "-n", "1", "--ignore-eos", "--json", "-t", "1", "-c", "32"
#define INSPECT  "inspect", "hf", "-t", "1"

static void ids_files(void) {
    static const struct {
        const char *name;
        Str text;
        Want want;
    } rows[] = {
        {"ids: good", {"[1, 2,3\n]", 9}, {0, NULL, NULL}},
        {"ids: words", {"one two", 7}, {3, "ids.txt", "'one'"}},
        {"ids: empty", {"", 0}, {3, "ids.txt", "none"}},
        {"ids: NUL", {"1\0 2", 4}, {3, "ids.txt", "NUL"}},
        {"ids: 2^31", {"1,2147483648", 12}, {3, "ids.txt", "2147483648"}},
        {"ids: 2^64", {"18446744073709551617", 20}, {3, "ids.txt", NULL}},
        {"ids: negative", {"1,-2", 4}, {3, "ids.txt", "-2"}},
        {"ids: 1e3", {"1e3", 3}, {3, "ids.txt", "1e3"}},
        {"ids: ESC", {"\033[31m", 5}, {3, "ids.txt", NULL}},
        {"ids: broken UTF-8", {"\xff\xfe", 2}, {3, "ids.txt", NULL}},
        {"ids: out of range", {"384", 3}, {2, "384", "vocabulary"}},
    };
    const char *const args[] = {GENERATE, "--ids", "@ids.txt", NULL};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        put_file("ids.txt", rows[i].text);
        judge(rows[i].name, rows[i].want, args);
    }
    must(unlink("ids.txt") == 0, "ids.txt");
    judge("ids: absent", (Want){1, "ids.txt", "No such file"}, args);
    must(mkdir("ids.txt", 0755) == 0, "ids.txt");
    judge("ids: a folder", (Want){1, "ids.txt", "directory"}, args);
}

static void prompts(void) {
    char *bomb = mem_alloc(40001, 1);
    memset(bomb, 'a', 40000);
    put_file("prompt.txt", STR("\xff\xfe\xc2\x9b \033[31m \0 NUL"));
    judge("prompt: binary", (Want){0, NULL, NULL}, (const char *const[]){GENERATE, "-f", "prompt.txt", NULL});
    put_file("prompt.txt", STR(""));
    judge("prompt: empty", (Want){0, NULL, NULL}, (const char *const[]){GENERATE, "-f", "prompt.txt", NULL});
    put_file("prompt.txt", (Str){bomb, 40000});
    judge("prompt: longer than the context", (Want){4, "40001 tokens", "-c 40001"},
          (const char *const[]){GENERATE, "-f", "prompt.txt", NULL});
    judge("prompt: absent", (Want){1, "gone.txt", NULL}, (const char *const[]){GENERATE, "-f", "gone.txt", NULL});
    judge("prompt: a folder", (Want){1, "hf", NULL}, (const char *const[]){GENERATE, "-f", "hf", NULL});
    free(bomb);
}

/* A pattern that takes for ever on a text of few letters. */
static void patterns(void) {
    static const char *const bombs[] = {"(?:a+)+b|", "(?:a|a)*c|", "(?:a*)*(?:a*)*d|", "(?=(?:a+)+e)a|"};
    Buf old = {0}, now = {0};
    get_file("hf/tokenizer.json", &old);
    const char *at = memmem(old.s, old.n, "\"Regex\": \"", 10);
    must(at != NULL, "the pattern of tokenizer.json");
    size_t head = (size_t)(at - old.s) + 10;
    for (size_t i = 0; i < COUNT_OF(bombs); i++) {
        buf_clear(&now);
        buf_put(&now, old.s, head);
        buf_str(&now, bombs[i]);
        buf_put(&now, old.s + head, old.n - head);
        put_file("hf/tokenizer.json", buf_view(&now));
        judge(bombs[i], (Want){3, "pattern", "gives up"},
              (const char *const[]){GENERATE, "-p", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                    NULL});
    }
    put_file("hf/tokenizer.json", buf_view(&old));
    buf_release(&old);
    buf_release(&now);
}

static void rules(void) {
    static const struct {
        const char *name, *rule;
        Str file;
        Want want;
    } rows[] = {
        {"rule: file is empty", "lm_head += 2*v.safetensors:k", {"", 0}, {3, "v.safetensors", NULL}},
        {"rule: file is noise", "lm_head += 2*v.safetensors:k", {"noise noise noise", 17}, {3, "v.safetensors", NULL}},
        {"rule: no such array",
         "lm_head += 2*v.safetensors:k",
         {"\2\0\0\0\0\0\0\0{}", 10},
         {3, "v.safetensors", "'k'"}},
        {"rule: ESC in the name of an array",
         "lm_head += 2*v.safetensors:\033[2J",
         {"\2\0\0\0\0\0\0\0{}", 10},
         {3, "v.safetensors", "x1b"}},
        {"rule: a folder", "lm_head += 2*hf:k", {"", 0}, {3, "hf", "directory"}},
        {"rule: no rule", "\033[2J", {"", 0}, {2, "x1b", "a rule is"}},
        {"rule: NaN", "lm_head *= nan", {"", 0}, {2, "lm_head", NULL}},
        {"rule: absent file", "lm_head += 2*gone.safetensors:k", {"", 0}, {3, "gone.safetensors", NULL}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        put_file("v.safetensors", rows[i].file);
        judge(rows[i].name, rows[i].want,
              (const char *const[]){INSPECT, "--ids", "1", "--capture", "lm_head", "--intervene", rows[i].rule, NULL});
    }
}

/* A saved prompt that cannot be used is replaced; one that cannot be replaced is an error. */
static void caches(void) {
    static const struct {
        const char *name;
        Str bytes;
    } rows[] = {{"cache: empty", {"", 0}}, {"cache: noise", {"noise", 5}}, {"cache: magic alone", {"LLMWSKV1", 8}}};
    const char *const args[] = {GENERATE, "-p", "ab", "--prompt-cache", "cache/kv", NULL};
    char name[80];
    Buf good = {0}, bad = {0};
    must(mkdir("cache", 0755) == 0, "cache");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        put_file("cache/kv", rows[i].bytes);
        judge(rows[i].name, (Want){0, NULL, NULL}, args);
    }
    get_file("cache/kv", &good);
    for (size_t at = 0; at < 96; at += 8) { /* every number of the header as 2^64-1 */
        buf_clear(&bad);
        buf_put(&bad, good.s, good.n);
        memset(bad.s + at, 0xff, 8);
        unlink("cache/kv");
        put_file("cache/kv", buf_view(&bad));
        snprintf(name, sizeof name, "cache: the number at byte %zu of its header", at);
        judge(name, (Want){0, NULL, NULL}, args);
    }
    for (int sixteenth = 1; sixteenth < 16; sixteenth++) {
        unlink("cache/kv");
        put_file("cache/kv", (Str){good.s, good.n * (size_t)sixteenth / 16});
        snprintf(name, sizeof name, "cache: cut after %d/16", sixteenth);
        judge(name, (Want){0, NULL, NULL}, args);
    }
    unlink("cache/kv");
    must(mkdir("cache/kv", 0755) == 0, "cache/kv");
    judge("cache: a folder", (Want){1, "cache/kv", "directory"}, args);
    must(rmdir("cache/kv") == 0 && mkfifo("cache/kv", 0666) == 0, "cache/kv");
    judge("cache: a pipe", (Want){1, "cache/kv", NULL}, args);
    must(unlink("cache/kv") == 0 && symlink("kv", "cache/kv") == 0, "cache/kv");
    judge("cache: a link to itself", (Want){1, "cache/kv", NULL}, args);
    buf_release(&good);
    buf_release(&bad);
}

void option_cases(void) {
    judge_model("hf: still good", (Want){0, NULL, NULL}, "hf");
    judge_model("sharded: still good", (Want){0, NULL, NULL}, "sharded");
    judge_model("a good GGUF file with a terabyte after it", (Want){0, NULL, NULL}, "long.gguf");
    ids_files();
    prompts();
    patterns();
    rules();
    caches();
}
