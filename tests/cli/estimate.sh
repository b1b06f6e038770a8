# The memory of a training: what inspect and train say of it is the same, and what they advise needs what they say.
. "${BASH_SOURCE%/*}/cases.bash"
for i in {1..40}; do echo "{\"text\":\"The number $i is followed by $((i + 1)), and the fox jumps over $i dogs.\"}"; done >d.jsonl
e() { "$LLMWS" inspect "$M" --estimate "$@"; }
spaced() { grep -o '"[^"]* [^"]*":' out; } # keys of JSON that no jq path can name
shape=(--batch-size 4 --seq-len 256)
field() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "${2:-out}" | head -n 1; } # NAME [FILE]

# The pages of the program itself differ from process to process.
settled() { sed 's/"program":[0-9]*,//; s/"total":[0-9]*//'; }
while read -r knobs; do
    t 0 '{"event":"train_plan",*"weights":*"optimizer":*"activations":*"gradients":*"data":*"checkpoint":*"device":*"total":*}' '' \
        e --json "${shape[@]}" $knobs
    settled <out >inspected
    t 0 '{"event":"train_plan",*' '' "$LLMWS" train d.jsonl -m "$M" --dry-run --json "${shape[@]}" $knobs
    settled <out >planned
    cmp -s inspected planned || bad "$knobs: $(diff inspected planned)"
    [[ -z $(spaced) ]] || bad "keys with a space: $(spaced)"
done <<'KNOBS'

--grad-checkpoint
--precision bf16 --grad-accum 3
--no-pack --batch-size 1
KNOBS

# What a run says of itself, but what its process held before the model came: it has written the first weights by then, and how many
# pages of code come with those that run is the page cache's affair. -v tells that in hundredths of a MiB.
t 0 '*' '*' "$LLMWS" train d.jsonl -m "$M" -o run --steps 1 --json -v -t 1 "${shape[@]}"
ran=$(($(field planned_bytes) - $(awk '$2 == "program" { printf "%d", $3 * ($4 == "KiB" ? 1024 : 1048576) }' err)))
t 0 '*' '' e --json -t 1 "${shape[@]}"
told=$(($(field total) - $(field program)))
((ran > 0 && ran - told < 65536 && told - ran < 65536)) || bad "a run plans $ran, inspect says $told"
all=$(field device)

# It fits to the byte, and not with one less.
mib() { awk -v n="$1" 'BEGIN { printf "%.1f MiB", n / 1048576 }'; }
t 0 "*total *"$'\n'"device * $(mib "$all")  (*"$'\n\n'"it fits into $all (unverified: no GPU here *)" '' e "${shape[@]}" -t 1 --gpu-mem "$all"
t 0 "*,\"gpu_mem\":$all,\"fits\":true,\"verified\":false}" '' "$LLMWS" train d.jsonl -m "$M" --dry-run --json "${shape[@]}" -t 1 --gpu-mem "$all"
t 4 "*,\"gpu_mem\":1048576,\"fits\":false,\"verified\":false}*train_change*" '*' e --json "${shape[@]}" -t 1 --gpu-mem 1M
t 0 '*total *device *rows above batches)' '' e "${shape[@]}" -t 1
t 4 '*1 B more than *What would help*--batch-size 2 --grad-accum 2*--grad-checkpoint*--optimizer sgd*--lora r=8*--seq-len 128*' \
    "llmws: the training does not fit into $((all - 1)): 1 B are missing; give --*" e "${shape[@]}" -t 1 --gpu-mem $((all - 1))

# Every advice needs what it says, and none is missing where the first that fits is tight.
advice() { # ROOM
    t 4 '*' 'llmws: the training does not fit into*' e --json "${shape[@]}" -t 1 --gpu-mem "$1"
    json_lines out
    grep train_change out >advice
    while read -r line; do
        options=$(sed 's/.*"options":"\([^"]*\)".*/\1/' <<<"$line")
        t 0 '*' '' e --json "${shape[@]}" $options -t 1
        [[ $line == *"\"needs\":$(field device),"* ]] || bad "$options needs $(field device), not $line"
        [[ $line == *"\"frees\":$((all - $(field device))),"* ]] || bad "$options frees $((all - $(field device))), not $line"
        [[ $line == *"\"fits\":$([[ $(field device) -le $1 ]] && echo true || echo false)}" ]] || bad "of $1: $line"
    done <advice
}
advice $((all - 1000000))
[[ $(grep -c '"fits":true' advice) -ge 2 ]] || bad "something fits: $(cat advice)"
t 0 '*' '' e --json "${shape[@]}" -t 1 --batch-size 1 --grad-accum 4 --grad-checkpoint --optimizer sgd --lora r=8 --seq-len 64
advice "$(field device)"
tail -n 1 advice >last
holds last '--batch-size 1 --grad-accum 4 --seq-len 64'
holds last '"fits":true'
t 4 '*' '*are missing; take a smaller model or more memory' e "${shape[@]}" --gpu-mem 100K

# A run is refused before it writes any weights, however large, and at once.
t 4 '' '*What would help*--batch-size*llmws: the training does not fit into what memory is free: * are missing; give --*' \
    timeout 20 "$LLMWS" train d.jsonl -m "$M" -o large --batch-size 1048576 --seq-len 512 -t 1
[[ -z $(ls large/checkpoints) && ! -e large/run.json ]] || bad "refused, but begun: $(ls large)"

# A new model: what train plans of it, and without data the vocabulary that its settings say.
while read -r new; do
    t 0 '{"event":"train_plan",*' '' "$LLMWS" inspect --estimate --json "${shape[@]}" $new
    settled <out >inspected
    t 0 '{"event":"train_plan",*' '' "$LLMWS" train --dry-run --json "${shape[@]}" $new
    settled <out >planned
    cmp -s inspected planned || bad "$new: $(diff inspected planned)"
done <<NEW
--arch qwen3 --config hidden_size=64,num_hidden_layers=2,vocab_size=1000
--arch gpt2 --config hidden_size=64,num_hidden_layers=2 --tokenizer $M --tie-embeddings
--arch llama --config hidden_size=64,num_hidden_layers=2 --train-tokenizer 700
NEW
seven=(--arch llama --config hidden_size=4096,num_hidden_layers=32,vocab_size=32000 --batch-size 1)
t 4 '*weights *2[4-9].* GiB*' 'llmws: the training does not fit into 16G*' "$LLMWS" inspect --estimate "${seven[@]}" --gpu-mem 16G
grep -q -- --lora out && bad "an adapter of a model that is new: $(cat out)"
t 0 '*' '' "$LLMWS" inspect --estimate --json --arch llama --config hidden_size=64,vocab_size=1000
few=$(field weights)
t 0 '*' '' "$LLMWS" inspect --estimate --json --arch llama --config hidden_size=64,vocab_size=2000
[[ $(($(field weights) - few)) == $((1000 * 64 * 4 * 2)) ]] || bad "1000 tokens more are $(($(field weights) - few)) B"
t 0 '*' '' "$LLMWS" inspect --estimate --json "$SRC/tests/data/mistral" --tie-embeddings --grad-accum 2
tied=$(field weights)
t 0 '*' '' "$LLMWS" inspect --estimate --json "$SRC/tests/data/mistral" --grad-accum 2
((tied < $(field weights))) || bad "--tie-embeddings frees no head: $tied"
t 3 '' "llmws: *family 'banana' is not supported*" "$LLMWS" inspect --estimate --arch banana --batch-size 1
usage 'needs a vocab_size' "$LLMWS" inspect --estimate --arch llama --config hidden_size=64
usage '--model and --arch are both given' e --arch llama --config vocab_size=300
usage '--lora is an adapter of a model that there is' "$LLMWS" inspect --estimate --arch llama --config vocab_size=300 --lora r=8
usage '--tokenizer is for new models' e --tokenizer "$M"
usage '--resume looks into a run' e --resume
usage '--preview looks into a run' e --preview 1
usage 'needs --tokenizer' "$LLMWS" train --arch llama --config vocab_size=300 --preview 1
usage 'needs --tokenizer' "$LLMWS" train d.jsonl --arch llama --config vocab_size=300 --dry-run

# Without these options it speaks of generation.
t 0 'context *cache*' '' e
t 0 '*"file_tables":*"devices":*"file_tables":*' '' e --json
[[ -z $(spaced) ]] || bad "keys with a space: $(spaced)"
usage '--batch-size is an option of train; here it goes with --estimate' "$LLMWS" inspect "$M" --batch-size 4
usage "unknown option '--seq-len2' (did you mean '--seq-len'?)" e --batch-size 4 --seq-len2 4
usage "--gpu-mem: 'much' must be a number of bytes" e --batch-size 4 --gpu-mem much

finish
