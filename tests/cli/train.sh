# train: a run killed at any moment ends with the bits and the events of one that was not; what it refuses; what it leaves.
. "${BASH_SOURCE%/*}/cases.bash"
for i in {1..40}; do echo "{\"text\":\"The number $i is followed by $((i + 1)), and the fox jumps over $i dogs.\"}"; done >d.jsonl
train() { "$LLMWS" train "$@"; }
small=(d.jsonl -m "$M" --steps 18 --save-every 3 --batch-size 2 --seq-len 64 --lr 1e-3 -t 1)

t 0 'step 18, loss *: ref/checkpoints/step-18' '' train "${small[@]}" --grad-accum 2 -o ref
json_lines ref/events.jsonl
[[ $(ls ref/checkpoints | xargs) == 'step-12 step-15 step-18' ]] || bad "three checkpoints stay: $(ls ref/checkpoints)"
[[ $(grep -c train_progress ref/events.jsonl) == 18 ]] || bad "an event an update"
for k in '"event":"train_started"' '"event":"checkpoint_saved","step":3' '"event":"train_done","step":18' '"grad_norm":' '"tok_s":' '"mem_bytes":'; do
    holds ref/events.jsonl "$k"
done
for k in '"sha256":' '"isa":' '"lr":0.001' '"steps":18'; do holds ref/run.json "$k"; done
loss() { sed -n "s/.*train_progress\",\"step\":$2,.*\"loss\":\([0-9.]*\).*/\1/p" "$1"; }
awk -v a="$(loss ref/events.jsonl 1)" -v b="$(loss ref/events.jsonl 18)" 'BEGIN { exit !(a > 6 && b < a / 2) }' || bad "it learns nothing"

# kill -9 at any moment; every other one comes early, so that a fast machine meets some too.
kills=0
for i in {1..40}; do
    "$LLMWS" train "${small[@]}" --grad-accum 2 -o killed --resume >out 2>err &
    sleep "0.$(printf %03d $((RANDOM % (i % 2 ? 60 : 250) + 5)))"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    status=$?
    [[ $status == 137 ]] && kills=$((kills + 1))
    [[ $status == 137 || $status == 0 ]] || bad "killed and resumed: status $status: $(cat err)"
    [[ $status == 137 && $kills -lt 12 ]] || break
done
t 0 'step 18*' '' train "${small[@]}" --grad-accum 2 --resume -o killed
cmp -s {ref,killed}/checkpoints/step-18/model.safetensors || bad "other weights after $kills kills"
# All but the length of the events, which hold paths and speeds.
state() {
    local n
    n=$(od -An -t u8 -N 8 "$1/checkpoints/step-18/trainer_state")
    tail -c +9 "$1/checkpoints/step-18/trainer_state" | head -c "$((n))" | sed 's/"mark":"[0-9]*"//' | tr -d ' '
    tail -c +$((n + 9)) "$1/checkpoints/step-18/trainer_state" | cksum
}
[[ $(state ref) == "$(state killed)" ]] || bad "another state after $kills kills: $(diff <(state ref) <(state killed) | head -c 600)"
events() { sed 's/"tok_s".*//; s/"seconds".*//; s/"path".*//; s/"planned_bytes".*//' "$1/events.jsonl" | grep -v train_resumed; }
diff <(events ref) <(events killed) >diff.txt || bad "events after $kills kills: $(head -5 diff.txt)"

# Accumulation is one large batch.
t 0 '*' '' train "${small[@]}" --steps 2 --batch-size 4 -o whole
t 0 '*' '' train "${small[@]}" --steps 2 --batch-size 1 --grad-accum 4 -o parts
for i in 1 2; do
    awk -v a="$(loss whole/events.jsonl $i)" -v b="$(loss parts/events.jsonl $i)" 'BEGIN { d = (a - b) / a; exit !(a > 0 && d < 2e-6 && d > -2e-6) }' ||
        bad "step $i: accumulated $(loss parts/events.jsonl $i), at once $(loss whole/events.jsonl $i)"
done

# Ctrl-C saves.
"$LLMWS" train "${small[@]}" --steps 100000 --save-every 0 -o stopped >out 2>err &
for i in {1..100}; do grep -qs train_progress stopped/events.jsonl && break || sleep 0.1; done
usage_of_lock=$("$LLMWS" train --resume -o stopped 2>&1)
[[ $usage_of_lock == *'another process is at it'* ]] || bad "a second run: $usage_of_lock"
kill -INT $!
wait $!
[[ $? == 130 ]] || bad "Ctrl-C: status is not 130"
[[ $(ls stopped/checkpoints | wc -l) == 2 ]] || bad "Ctrl-C saved nothing: $(ls stopped/checkpoints)"

# What is no number stops before it reaches the weights.
t 6 '' 'llmws: training stopped at step *: loss *d.jsonl:*the last checkpoint is *' train "${small[@]}" --lr 1e6 --clip 0 --steps 200 -o blown

# A folder that cannot be written, and a run that is there already.
usage 'holds a run' train "${small[@]}" -o ref
usage '--lr' train --resume --lr 2e-3 -o ref
usage 'other data' train other.jsonl --resume -o ref
t 3 '' 'llmws: *holds no run*' train --resume -o nowhere
usage 'no directory' train "${small[@]}"
usage '--steps and --epochs' train "${small[@]}" --epochs 2 -o none
usage '--betas' train "${small[@]}" --betas 1 -o none2
echo '{"text":' >bad.jsonl
t 3 '' 'llmws: *bad.jsonl:1*' train bad.jsonl -m "$M" -o broken --steps 2 --seq-len 32

t 0 '*batch 2 x accumulation 1 x 64 tokens*optimizer*total*' '' train "${small[@]}" --dry-run
t 0 '{"event":"train_plan",*"total":*' '' train "${small[@]}" --dry-run --json
t 4 '*' 'llmws: the training does not fit into 1M: *' train "${small[@]}" --dry-run --gpu-mem 1M
t 0 '*d.jsonl*' '' train "${small[@]}" --preview 2
t 0 '{"event":"train_started",*{"event":"train_done",*' '' train "${small[@]}" --steps 2 --precision bf16 --grad-checkpoint -o bf16 --json
json_lines out

finish
