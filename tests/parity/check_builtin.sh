#!/bin/bash
# Do the builtin models write? Fifty continuations of "Once upon a time" by each, 128 tokens long, beside fifty stories of the text that
# they did not learn: SmolLM2's perplexity of them is at most twice that of the stories, and of the runs of four words at least 0.7 are
# distinct, over all fifty.
#
#     tests/parity/check_builtin.sh LLMWS SMOLLM2.gguf HELDOUT.jsonl [MODEL...]
#
# HELDOUT is what formats/builtin/make_stories.sh makes; the models are those that LLMWS has, unless some are named.
set -eu -o pipefail
if (($# < 3)); then
    sed -n '2,8s/^# \?//p' "$0" >&2
    exit 2
fi
llmws=$1 judge=$2 heldout=$3
shift 3
(($#)) || mapfile -t have < <("$llmws" inspect --families --json | grep -o 'builtin:[a-z]*')
(($#)) || set -- "${have[@]}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# JSON lines with "text" to plain texts, an empty line after each: awk -v begin=TEXT -v most=CHARACTERS.
texts() {
    awk "$@" 'match($0, /"text":"([^"\\]|\\.)*"/) {
        s = begin substr($0, RSTART + 8, RLENGTH - 9)
        gsub(/(\\n)+/, " ", s); gsub(/\\"/, "\"", s); gsub(/\\\\/, "\\", s)
        print substr(s, 1, most) "\n"
    }'
}
ppl() { "$llmws" bench -m "$judge" --ppl "$1" --json | grep -o '"ppl":[0-9.]*' | head -n 1 | cut -d: -f2; }
distinct() {
    awk '{ for (i = 4; i <= NF; i++) { all++; if (!seen[$(i-3), $(i-2), $(i-1), $i]++) new++ } } END { printf "%.3f", new / all }' "$1"
}

head -n 50 "$heldout" | texts -v most=520 >"$dir/heldout"
want=$(ppl "$dir/heldout") failed=0
echo "held-out stories: perplexity $want, distinct $(distinct "$dir/heldout")"
for ((k = 1; k <= 50; k++)); do echo "{\"id\":$k,\"prompt\":\"Once upon a time\",\"seed\":$k}"; done >"$dir/prompts"
for m; do
    "$llmws" generate -m "$m" --batch "$dir/prompts" -n 128 --ignore-eos >"$dir/answers"
    texts -v begin='Once upon a time' -v most=9999 <"$dir/answers" >"$dir/texts"
    got=$(ppl "$dir/texts") new=$(distinct "$dir/texts")
    if awk "BEGIN { exit !($got <= 2 * $want && $new >= 0.7) }"; then verdict=PASS; else verdict=FAIL failed=1; fi
    echo "$verdict $m: perplexity $got ($(awk "BEGIN { printf \"%.2f\", $got / $want }") times), distinct $new"
    head -n 1 "$dir/texts"
done
exit $failed
