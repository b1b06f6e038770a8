# train: a run killed at any moment ends with the bits and the events of one that was not; what it refuses; what it leaves.
. "${BASH_SOURCE%/*}/cases.bash"
for i in {1..40}; do echo "{\"text\":\"The number $i is followed by $((i + 1)), and the fox jumps over $i dogs.\"}"; done >d.jsonl
train() { "$LLMWS" train "$@"; }
small=(d.jsonl -m "$M" --steps 18 --save-every 3 --batch-size 2 --seq-len 64 --lr 1e-3 -t 1)

from=$(date +%s%3N)
t 0 'step 18, loss *: ref/checkpoints/step-18' '' train "${small[@]}" --grad-accum 2 -o ref
whole=$(($(date +%s%3N) - from + 4)) # milliseconds
json_lines ref/events.jsonl
[[ $(ls ref/checkpoints | xargs) == 'step-12 step-15 step-18' ]] || bad "three checkpoints stay: $(ls ref/checkpoints)"
[[ $(grep -c train_progress ref/events.jsonl) == 18 ]] || bad "an event an update"
for k in '"event":"train_started"' '"event":"checkpoint_saved","step":3' '"event":"train_done","step":18' '"grad_norm":' '"tok_s":' '"mem_bytes":'; do
    holds ref/events.jsonl "$k"
done
for k in '"sha256":' '"isa":' '"lr":0.001' '"steps":18'; do holds ref/run.json "$k"; done
loss() { sed -n "s/.*train_progress\",\"step\":$2,.*\"loss\":\([0-9.]*\).*/\1/p" "$1"; }
awk -v a="$(loss ref/events.jsonl 1)" -v b="$(loss ref/events.jsonl 18)" 'BEGIN { exit !(a > 6 && b < a / 2) }' || bad "it learns nothing"

# All but the length of the events, which hold paths and speeds.
state() {
    local n
    n=$(od -An -t u8 -N 8 "$1/checkpoints/step-18/trainer_state")
    tail -c +9 "$1/checkpoints/step-18/trainer_state" | head -c "$((n))" | sed 's/"mark":"[0-9]*"//' | tr -d ' '
    tail -c +$((n + 9)) "$1/checkpoints/step-18/trainer_state" | cksum
}
events() { sed 's/"tok_s".*//; s/"seconds".*//; s/"path".*//; s/"planned_bytes".*//' "$1/events.jsonl" | grep -v train_resumed; }
same_run() { # REF RUN WHAT: the same weights, optimiser, checkpoints and events
    cmp -s {"$1","$2"}/checkpoints/step-18/"$3".safetensors || bad "$3: other weights after $kills kills"
    [[ $(state "$1") == "$(state "$2")" ]] || bad "$3: another state after $kills kills: $(diff <(state "$1") <(state "$2") | head -c 600)"
    [[ $(ls -l "$1/checkpoints" | grep -o 'step-.*\|best.*') == "$(ls -l "$2/checkpoints" | grep -o 'step-.*\|best.*')" ]] ||
        bad "$3: other checkpoints after $kills kills: $(ls "$2/checkpoints")"
    diff <(events "$1") <(events "$2") >diff.txt || bad "$3: events after $kills kills: $(head -5 diff.txt)"
    count=$((count + 4))
}
# kill -9 at any moment, of which LLMWS_KILLS says how many; every other one comes early, so that beginnings are met too.
# A run that ends in spite of them is compared, and begun once more.
killed() { # REF KILLS WHAT ARGUMENTS...
    local ref=$1 most=$2 what=$3 status i ms
    shift 3
    kills=0
    for ((i = 0; kills < most && i < 4 * most + 20; i++)); do
        "$LLMWS" train "$@" -o killed --resume >out 2>err &
        ms=$((RANDOM % (i % 2 ? whole / 4 : whole) + 5))
        sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        status=$?
        [[ $status == 137 ]] && kills=$((kills + 1))
        [[ $status == 137 || $status == 0 ]] || bad "killed and resumed: status $status: $(cat err)"
        [[ $status == 0 ]] && same_run "$ref" killed "$what" && rm -r killed
    done
    t 0 'step 18*' '' train "$@" --resume -o killed
    same_run "$ref" killed "$what"
    rm -r killed
    [[ -z ${LLMWS_KILLS-} ]] || echo "$kills kills of the $what, $i starts"
}
killed ref "${LLMWS_KILLS:-10}" model "${small[@]}" --grad-accum 2

# An adapter, evaluated on a part that is held out; the best checkpoint stays.
lora=("${small[@]}" --lr 2e-2 --lora r=4,dropout=0.1 --eval 0.2 --eval-every 2 --keep 1)
t 0 'step 18, loss *' '' train "${lora[@]}" -o adapted
json_lines adapted/events.jsonl
[[ $(grep -c train_eval adapted/events.jsonl) == 9 ]] || bad "an evaluation every 2 steps: $(grep -c train_eval adapted/events.jsonl)"
best=$(grep train_eval adapted/events.jsonl | grep '"best":true' | tail -n 1 | grep -oP '"step":\K[0-9]+')
low=$(grep train_eval adapted/events.jsonl | sed 's/.*"step":\([0-9]*\),"loss":\([0-9.]*\),.*/\2 \1/' | sort -g | head -n 1)
[[ ${low#* } == "$best" ]] || bad "the best is step $best, the lowest loss $low"
[[ $(readlink adapted/checkpoints/best) == "step-$best" ]] || bad "checkpoints/best: $(ls -l adapted/checkpoints)"
[[ $(ls adapted/checkpoints | xargs) == "$(printf '%s\n' best "step-$best" step-18 | sort -u | xargs)" ]] || bad "the last and the best stay: $(ls adapted/checkpoints)"
holds adapted/events.jsonl "\"event\":\"train_done\",\"step\":18,\"best\":$best,"
# What a kill leaves of a link goes, not what the link leads to.
cp -r adapted linked && ln -s step-18 linked/checkpoints/.llmws-best.tmp
t 0 'step 18*' '' train --resume -o linked
[[ ! -L linked/checkpoints/.llmws-best.tmp && -s linked/checkpoints/step-18/trainer_state ]] || bad "a link's target was removed: $(ls -A linked/checkpoints linked/checkpoints/step-18)"
for f in adapter_config.json adapter_model.safetensors tokenizer.json trainer_state; do [[ -s adapted/checkpoints/best/$f ]] || bad "no $f"; done
[[ ! -e adapted/checkpoints/best/config.json && ! -e adapted/checkpoints/best/model.safetensors ]] || bad "the model is in the adapter"
holds adapted/run.json '"fingerprint":"'
killed adapted "${LLMWS_KILLS:-6}" adapter_model "${lora[@]}"

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

# While it saves, and while it evaluates: what was left out is done when it goes on.
"$LLMWS" train "${small[@]}" --steps 100000 --save-every 1 --keep 2 -o saving >out 2>err &
for ((i = 0; i < 4000; i++)); do compgen -G 'saving/checkpoints/.llmws-*' >/dev/null && break || sleep 0.002; done
kill -INT $!
wait $!
[[ $? == 130 ]] || bad "Ctrl-C in a save: status is not 130"
[[ -z $(compgen -G 'saving/checkpoints/.llmws-*') ]] || bad "half a checkpoint: $(ls -A saving/checkpoints)"
t 0 '*' '' "$LLMWS" inspect "$(ls -d saving/checkpoints/step-* | sort -V | tail -n 1)"
for i in {1..20}; do cat d.jsonl; done >eval.jsonl
evaluated=(d.jsonl -m "$M" --steps 3 --batch-size 2 --seq-len 64 -t 1 --eval eval.jsonl --eval-every 2 --save-every 0)
t 0 '*' '' train "${evaluated[@]}" -o calm
"$LLMWS" train "${evaluated[@]}" -o hasty >out 2>err &
for ((i = 0; i < 4000; i++)); do grep -qs 'train_progress","step":2' hasty/events.jsonl && break || sleep 0.002; done
kill -INT $!
wait $!
status=$?
[[ $status == 130 || $status == 0 ]] || bad "Ctrl-C in an evaluation: status $status: $(cat err)"
t 0 '*' '' train --resume -o hasty
cmp -s {calm,hasty}/checkpoints/step-3/model.safetensors || bad "interrupted in an evaluation: other weights"
evals() { grep train_eval "$1/events.jsonl" | sed 's/"seconds".*//'; }
[[ $(evals calm) == "$(evals hasty)" && $(evals calm | wc -l) == 2 ]] || bad "evaluations: $(evals calm) and $(evals hasty)"

# What is no number stops before it reaches the weights.
t 6 '' 'llmws: training stopped at step *: loss *d.jsonl:*the last checkpoint is *' train "${small[@]}" --lr 1e6 --clip 0 --steps 200 -o blown

# Optimisers: a run stopped half way ends with the bits of one that was not; a checkpoint of another optimiser is refused.
for o in 'sgd --lr 0.05' 'sgd --lr 0.05 --momentum 0.9' 'muon --lr 0.02 --adamw-lr 1e-3'; do
    rm -rf once twice
    t 0 'step 6, loss *' '' train "${small[@]}" --steps 6 --optimizer $o -o once
    "$LLMWS" train "${small[@]}" --steps 6 --optimizer $o --save-every 1 -o twice >out 2>err &
    for i in {1..200}; do [[ -d twice/checkpoints/step-2 ]] && break || sleep 0.05; done
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    t 0 'step 6*' '' train --resume -o twice
    cmp -s {once,twice}/checkpoints/step-6/model.safetensors || bad "$o: other weights after a kill"
    awk -v a="$(loss once/events.jsonl 1)" -v b="$(loss once/events.jsonl 6)" 'BEGIN { exit !(b < a - 0.1) }' || bad "$o: it learns nothing"
done
sed -i 's/"optimizer":"muon"/"optimizer":"adamw"/' twice/run.json
t 2 '' "llmws: cannot continue *: its optimizer is muon, not adamw*" train --resume -o twice

# A folder that cannot be written, and a run that is there already.
usage 'holds a run' train "${small[@]}" -o ref
usage '--lr' train --resume --lr 2e-3 -o ref
usage 'other data' train other.jsonl --resume -o ref
t 3 '' 'llmws: *holds no run*' train --resume -o nowhere
[[ ! -e nowhere ]] || bad "--resume made a directory: $(ls -A nowhere)"
# What may change when a run goes on, and stays changed.
t 0 '*' '' train "${small[@]}" --steps 2 --save-every 1 --keep 9 --log-every 7 -o kept
holds kept/run.json '"keep":9'
t 0 '*' '' train --resume -o kept --keep 2
holds kept/run.json '"keep":2'
holds kept/run.json '"log-every":7'
[[ $(ls kept/checkpoints | xargs) == 'step-1 step-2' ]] || bad "two checkpoints stay: $(ls kept/checkpoints)"
# Another base than the adapter began with; the same one elsewhere.
cp -r "$M" base && chmod -R u+w base
t 0 '*' '' train "${small[@]}" --steps 1 --lora r=2 -m base -o moved
mv base elsewhere
t 3 '' 'llmws: *base*' train --resume -o moved
t 0 '*' '' train --resume -o moved -m elsewhere
t 3 '' 'llmws: *qwen2*not the one*' train --resume -o moved -m "$SRC/tests/data/qwen2"
usage "--lora: 'rank=3'" train "${small[@]}" --lora rank=3 -o none
usage '--lora: r' train "${small[@]}" --lora r=0 -o none
usage 'no linear map' train "${small[@]}" --lora targets=w_proj -o none4
usage '--eval: 2' train "${small[@]}" --eval 2 -o none
[[ ! -e none ]] || bad "a wrong option made a directory"
t 3 '' "llmws: cannot open 'nofile': *" "$LLMWS" train d.jsonl -m "$M" -o none --eval nofile
t 3 '' "llmws: cannot open 'nomodel': *" "$LLMWS" train d.jsonl -m nomodel -o none
[[ ! -e none ]] || bad "a run that never began left a directory"
usage 'no directory' train "${small[@]}"
usage '--steps and --epochs' train "${small[@]}" --epochs 2 -o none
usage '--momentum goes with --optimizer sgd or muon' train "${small[@]}" --momentum 0.5 -o none
usage '--adamw-lr goes with --optimizer muon' train "${small[@]}" --adamw-lr 1e-3 -o none
usage '--eval-every goes with --eval' train "${small[@]}" --eval-every 2 -o none
usage '--betas' train "${small[@]}" --betas 1 -o none2
echo '{"text":' >bad.jsonl
t 3 '' 'llmws: *bad.jsonl:1*' train bad.jsonl -m "$M" -o broken --steps 2 --seq-len 32

t 0 '*batch 2 x accumulation 1 x 64 tokens*optimizer*total*' '' train "${small[@]}" --dry-run
t 0 '{"event":"train_plan",*"total":*' '' train "${small[@]}" --dry-run --json
t 4 '*' 'llmws: the training does not fit into 1M: *' train "${small[@]}" --dry-run --gpu-mem 1M
t 0 '*d.jsonl*' '' train "${small[@]}" --preview 2
printf '%s\n' '{"prompt":"One two","completion":" three"}' '{"text":"\u202e\u009b"}' >two.jsonl
t 0 '*"event":"train_sample","row":*,"file":"two.jsonl","line":1,"ids":\[*\],"labels":\[-100,*\],"text":"*One two three*"}*' '' \
    train two.jsonl -m "$M" --seq-len 64 --preview 2 --json
json_lines out
[[ $(wc -l <out) == 2 ]] || bad "not an object a sample: $(cat out)"
sed -n 's/.*\("ids":.*\),"text".*/{\1}/p' out >ids.jsonl # is data again, and the same
t 0 '*' '' train ids.jsonl -m "$M" --seq-len 64 --preview 2 --json
[[ $(grep -o '"labels":[^"]*' out | sort) == "$(grep -o '"labels":[^"}]*' ids.jsonl | sed 's/$/,/' | sort)" ]] || bad "other labels: $(cat out ids.jsonl)"
t 0 '{"event":"train_started",*{"event":"train_done",*' '' train "${small[@]}" --steps 2 --precision bf16 --grad-checkpoint -o bf16 --json
json_lines out

# A setting of the base that changes nothing is told once, though its copy is the first checkpoint; usual ones never.
mkdir novel && cp "$M"/* novel && sed -i '0,/{/s//{"novel":1,/' novel/config.json
t 0 '*' '*' train d.jsonl -m novel --steps 1 --batch-size 2 --seq-len 32 -t 1 -o of_novel -v
[[ $(grep -c 'change nothing' err) == 1 && $(grep 'change nothing' err) == *': novel' ]] || bad "$(grep 'change nothing' err)"

finish
