# How long a fresh process takes to its first token, beside llama.cpp's llama-completion: tests/cold_start.sh LLMWS MODEL.gguf PEER [RUNS]
# The two take turns, the file is in memory; medians of wall time and peak resident memory, and the time of --help and --version.
set -euo pipefail
(($# >= 3)) || { echo "usage: tests/cold_start.sh LLMWS MODEL.gguf PEER [RUNS]" >&2; exit 2; }
llmws=$1 model=$2 peer=$3 runs=${4:-11}
command -v /usr/bin/time >/dev/null || { echo "this needs GNU time (the package time)" >&2; exit 2; }
export LC_ALL=C
text='The old lighthouse keeper walked slowly down the long stairs towards the cold sea at night'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

now_us() { echo "${EPOCHREALTIME/./}"; }
run() { # NAME COMMAND...: a line "microseconds KiB" in NAME
    local name=$1 start end
    shift
    start=$(now_us)
    /usr/bin/time -o "$tmp/rss" -f %M "$@" </dev/null >/dev/null 2>"$tmp/err" || { cat "$tmp/err" >&2; exit 1; }
    end=$(now_us)
    echo "$((end - start)) $(<"$tmp/rss")" >>"$tmp/$name"
}
ours() { run "$1" "$llmws" generate -m "$model" -p "$text" -n 1 --temp 0 -t 2 -q; }
theirs() { run "$1" "$peer" -m "$model" -p "$text" -n 1 --temp 0 -t 2 --no-warmup -no-cnv; }
median() { sort -n -k "$2" "$tmp/$1" | awk -v c="$2" '{ v[NR] = $c } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

echo "prompt: $("$llmws" inspect "$model" --tokenize "$text" --json | grep -o '"ids":\[[^]]*' | tr -cd , | wc -c | awk '{ print $1 + 1 }') tokens, 1 generated, 2 threads, $runs runs each"
ours warm && theirs warm
for ((i = 0; i < runs; i++)); do ours llmws && theirs peer; done
awk -v a="$(median llmws 1)" -v b="$(median peer 1)" -v c="$(median llmws 2)" -v d="$(median peer 2)" 'BEGIN {
    printf "wall:        llmws %.1f ms, peer %.1f ms, ratio %.3f\n", a / 1e3, b / 1e3, a / b
    printf "peak memory: llmws %.1f MiB, peer %.1f MiB, ratio %.3f\n", c / 1024, d / 1024, c / d }'
for option in --help --version; do
    start=$(now_us)
    for ((i = 0; i < 50; i++)); do "$llmws" $option >/dev/null; done
    end=$(now_us)
    awk -v o=$option -v t=$((end - start)) 'BEGIN { printf "%-12s %.2f ms\n", o ":", t / 50e3 }'
done
