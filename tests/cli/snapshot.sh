# snapshot: a run's checkpoints as models to hand on, in another type and in shards.
. "${BASH_SOURCE%/*}/cases.bash"
for i in {1..20}; do echo "{\"text\":\"The number $i is followed by $((i + 1)).\"}"; done >d.jsonl
t 0 '*' '' "$LLMWS" train d.jsonl -m "$M" --steps 4 --save-every 2 --batch-size 2 --seq-len 32 --lr 1e-3 -t 1 -o ref
t 0 '' '' "$LLMWS" snapshot ref -o snap --max-shard 100K
[[ -e snap/model.safetensors.index.json && ! -e snap/trainer_state && -e snap/tokenizer.json ]] || bad "files of a snapshot: $(ls snap)"
g() { "$LLMWS" generate -p 'The number' -n 8 --temp 0 --compute f32 --kv-type f32 -m "$1"; }
t 0 "=$(g ref/checkpoints/step-4)" '' g snap
t 0 '' '' "$LLMWS" snapshot ref@step-2 -o half --dtype bf16
t 0 '*bf16*' '' "$LLMWS" inspect half
t 3 '' 'llmws: the run * has no checkpoint of step 7*' "$LLMWS" snapshot ref@7 -o none3
t 1 '' "llmws: cannot write 'snap': it exists" "$LLMWS" snapshot ref -o snap
finish
