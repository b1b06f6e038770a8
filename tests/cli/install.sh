# The library as another program meets it: installed, found by pkg-config, linked shared and static, used by the public header alone.
set -euo pipefail
source_dir=$2 build_dir=$3
grep -q '^LLMWS_SAN:STRING=.' "$build_dir/CMakeCache.txt" && exit 77
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cmake --install "$build_dir" --prefix "$tmp/usr" >/dev/null
for f in man/man1/llmws.1 man/man1/llmws-generate.1 bash-completion/completions/llmws zsh/site-functions/_llmws fish/vendor_completions.d/llmws.fish; do
    [ -s "$tmp/usr/share/$f" ] || { echo "share/$f is not installed"; exit 1; }
done
cat >"$tmp/use.c" <<'C'
#include <llmws.h>
#include <stdio.h>

int main(int argc, char **argv) {
    LlmwsErr e;
    LlmwsSampling how;
    const int32_t prompt[] = {1, 2, 3};
    int32_t id = -1;
    LlmwsModel *m = llmws_model_open(argv[argc - 1], NULL, &e);
    LlmwsSession *s = m ? llmws_session_open(m, &(LlmwsSessionOptions){.ctx = 32, .threads = 1}, &e) : NULL;
    int seq = s ? llmws_seq_open(s, &e) : -1;
    llmws_sampling_defaults(m, &how);
    how.temp = 0;
    if (seq < 0 || !llmws_eval(s, seq, prompt, 3, &e) || !llmws_sample(s, seq, &how, &id, &e)) return fprintf(stderr, "%s\n", e.msg), 1;
    printf("%d\n", id);
    llmws_session_close(s);
    llmws_model_close(m);
    return 0;
}
C
so=$(find "$tmp/usr" -name libllmws.so)
export PKG_CONFIG_PATH=${so%/*}/pkgconfig
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build_dir/CMakeCache.txt")
"$cc" -std=c11 "$tmp/use.c" $(pkg-config --cflags --libs llmws) -Wl,-rpath,"${so%/*}" -o "$tmp/shared"
"$cc" -std=c11 "$tmp/use.c" $(pkg-config --cflags llmws) "${so%.so}.a" $(pkg-config --libs libpcre2-8 libcjson) -lm -pthread -o "$tmp/static"
one=$("$tmp/shared" "$source_dir/tests/data/llama3")
two=$("$tmp/static" "$source_dir/tests/data/llama3")
cli=$("$tmp/usr/bin/llmws" generate -m "$source_dir/tests/data/llama3" --ids 1,2,3 -n 1 --temp 0 --ignore-eos --json -t 1 | sed -n 's/.*"ids":\[\([0-9]*\)\].*/\1/p')
[ "$one" = "$two" ] && [ "$one" = "$cli" ] || { echo "shared gave '$one', static '$two', the program '$cli'"; exit 1; }
nm -D --defined-only "$so" | awk '{print $3}' | grep -v '^llmws_' && { echo "the shared library exports names that are not its own"; exit 1; }
echo "1 passed, 0 failed"
