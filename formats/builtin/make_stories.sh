#!/bin/bash
# Makes the text that the builtin models learn: short stories by SmolLM2-135M-Instruct, 320 a batch, through llmws itself.
#
#     formats/builtin/make_stories.sh LLMWS SMOLLM2.gguf DIR [BATCHES]
#
# DIR gets stories.jsonl, lines {"text"} for llmws train, and heldout.jsonl, every 50th story, which no model learns. A batch that is
# there already is not made again, so that a stopped run goes on; 30 batches (the default) took 40 minutes on two cores.
set -eu -o pipefail
if (($# < 3)); then
    sed -n '2,4s/^# \?//p' "$0" >&2
    exit 2
fi
export LC_ALL=C
here=$(dirname "$0") llmws=$1 model=$2 dir=$3 batches=${4:-30}
mkdir -p "$dir/batches"
for ((k = 1; k <= batches; k++)); do
    b=$dir/batches/$k
    [[ ! -s $b.jsonl ]] || continue
    awk -v n=320 -v seed="$k" -f "$here/prompts.awk" >"$b.prompts"
    "$llmws" generate -m "$model" --batch "$b.prompts" -n 170 --temp 0.7 --min-p 0.05 --repeat-penalty 1.06 --parallel 32 >"$b.part"
    mv "$b.part" "$b.jsonl"
done
files=()
for ((k = 1; k <= batches; k++)); do files+=("$dir/batches/$k.jsonl"); done
awk -v heldout="$dir/heldout.jsonl" -f "$here/filter.awk" "${files[@]}" >"$dir/stories.jsonl"
wc -lc "$dir/stories.jsonl" "$dir/heldout.jsonl"
