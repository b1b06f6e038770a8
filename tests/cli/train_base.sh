# train: whatever loads can be tuned, from a directory, from GGUF, quantised, and with a head that becomes the embedding.
. "${BASH_SOURCE%/*}/cases.bash"
for i in {1..8}; do echo "{\"text\":\"The number $i is followed by $((i + 1)).\"}"; done >d.jsonl
small=(--steps 1 --batch-size 2 --seq-len 32 -t 1)
loss() { sed -n 's/.*train_progress","step":1,.*"loss":\([0-9.]*\).*/\1/p' "$1/events.jsonl"; }
near() { awk -v a="$1" -v b="$2" -v most="$3" 'BEGIN { d = (a - b) / a; exit !(a > 4 && d <= most && d >= -most) }'; }
tokenizer=("$M"/{tokenizer.json,tokenizer_config.json,special_tokens_map.json})

for config in "$SRC"/tests/data/*/config.json; do
    name=$(basename "${config%/config.json}")
    [[ $name != qwen3_moe_mixed ]] || continue # fewer rows than the tokenizer has tokens, and else as qwen3_moe
    cp -r "${config%/config.json}" "$name" && chmod -R u+w "$name" && cp "${tokenizer[@]}" "$name"
    t 0 '*' '' "$LLMWS" convert "$name" -o "$name.gguf" -q
    t 0 '*' '' "$LLMWS" train d.jsonl -m "$name" "${small[@]}" -o "dir-$name"
    t 0 '*' '' "$LLMWS" train d.jsonl -m "$name.gguf" "${small[@]}" -o "gguf-$name"
    # GGUF's norms of 1 + w are rounded
    near "$(loss "dir-$name")" "$(loss "gguf-$name")" 1e-6 || bad "$name: loss $(loss "dir-$name"), from GGUF $(loss "gguf-$name")"
    for f in config.json tokenizer.json tokenizer_config.json model.safetensors; do
        [[ -s gguf-$name/checkpoints/step-1/$f ]] || bad "$name: no $f in a checkpoint from GGUF"
    done
    t 0 '*' '' "$LLMWS" generate -m "gguf-$name/checkpoints/step-1" -p 'The number' -n 2 --temp 0 -q -t 1
done

t 0 '*' '' "$LLMWS" convert llama3 -o q8.gguf --type q8_0 -q
t 0 '*' '' "$LLMWS" train d.jsonl -m q8.gguf "${small[@]}" -o quantised
near "$(loss dir-llama3)" "$(loss quantised)" 2e-2 || bad "from q8_0: loss $(loss quantised), not $(loss dir-llama3)"
for base in q8.gguf llama3/model.safetensors; do
    t 0 '*' '' "$LLMWS" train d.jsonl -m $base "${small[@]}" --lora r=2 -o "lora-${base%%[./]*}"
    [[ -s lora-${base%%[./]*}/checkpoints/step-1/tokenizer.json ]] || bad "$base: no tokenizer beside an adapter"
done
t 0 '*f32 29*' '' "$LLMWS" inspect quantised/checkpoints/step-0
t 0 '*' '' "$LLMWS" train d.jsonl -m llama3/model.safetensors "${small[@]}" -o file
[[ $(loss file) == "$(loss dir-llama3)" ]] || bad "by the name of the weights: loss $(loss file)"

tied() { sed -n 's/.*"tie_word_embeddings": \([a-z]*\).*/\1/p' "$1/config.json"; }
t 0 '*' "*llmws: warning: 'llama2' has a head of its own*" "$LLMWS" train d.jsonl -m llama2 "${small[@]}" --tie-embeddings -v -o tied
[[ $(tied tied/checkpoints/step-1) == true && $(tied dir-llama2/checkpoints/step-1) == false ]] || bad "a tied head: $(tied tied/checkpoints/step-1)"
if grep -aq lm_head tied/checkpoints/step-0/model.safetensors; then bad "the head is still there"; fi
t 0 '*' '' "$LLMWS" generate -m tied/checkpoints/step-1 -p 'The number' -n 2 --temp 0 -q -t 1
plan() { "$LLMWS" train d.jsonl -m llama2 "${small[@]}" --dry-run "$@" 2>/dev/null | sed -n 's/^weights  *//p'; }
[[ $(plan) != "$(plan --tie-embeddings)" ]] || bad "the plan of a tied head counts the old one"
t 0 '*' '' "$LLMWS" train d.jsonl -m llama3 "${small[@]}" --tie-embeddings -o tied_before
[[ $(loss tied_before) == "$(loss dir-llama3)" ]] || bad "a tied head is tied again"
finish
