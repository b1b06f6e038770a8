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

# Of an adapter: itself, in another type, or in the weights.
t 0 '*' '' "$LLMWS" train d.jsonl -m "$M" --steps 4 --batch-size 2 --seq-len 32 --lr 5e-2 -t 1 --lora r=2,alpha=8,rslora --eval 0.2 --eval-every 2 -o lora
greedy() { "$LLMWS" generate -p 'The number' -n 8 --temp 0 --compute f32 --kv-type f32 -m "$@"; }
t 0 '' '' "$LLMWS" snapshot lora@best -o alone
[[ $(ls alone | xargs) == 'adapter_config.json adapter_model.safetensors '*tokenizer.json* && ! -e alone/trainer_state ]] || bad "files of an adapter: $(ls alone)"
tuned=$(greedy "$M" --lora "lora/checkpoints/$(readlink lora/checkpoints/best)")
[[ -n $tuned && $tuned != "$(greedy "$M")" ]] || bad 'the adapter changes nothing'
t 0 "=$tuned" '' greedy "$M" --lora alone
t 0 '' '' "$LLMWS" snapshot lora@best -o whole --merge-lora --dtype f32
t 0 "=$tuned" '' greedy whole
t 0 '' '' "$LLMWS" snapshot lora@best -o alone16 --dtype bf16
[[ $(stat -c %s alone16/adapter_model.safetensors) -lt $(($(stat -c %s alone/adapter_model.safetensors) * 2 / 3)) ]] || bad 'bf16 is no smaller'
t 0 '*' '' greedy "$M" --lora alone16
t 0 '' '' "$LLMWS" snapshot alone -o again
cmp alone/adapter_model.safetensors again/adapter_model.safetensors || bad 'a snapshot of an adapter is another one'
t 3 '' "llmws: the run 'ref' has no best checkpoint*" "$LLMWS" snapshot ref@best -o none4
t 3 '' "llmws: the model '$SRC/tests/data/qwen2' is not the one*" "$LLMWS" snapshot lora -o none5 --merge-lora --base "$SRC/tests/data/qwen2"
t 2 '' "llmws: --merge-lora: '*' is no adapter*" "$LLMWS" snapshot ref -o none6 --merge-lora
t 3 '' "llmws: the model 'gone', to which *--base MODEL" "$LLMWS" snapshot lora -o none7 --merge-lora --base gone
[[ -z $(compgen -G 'none*') ]] || bad "left behind: $(ls -d none*)"

# The base as one quantised file, and a run over that.
t 0 '*' '' "$LLMWS" convert "$M" -o base.gguf --type q8_0
t 0 '*' '' "$LLMWS" train d.jsonl -m base.gguf --steps 2 --batch-size 2 --seq-len 32 --lr 5e-2 -t 1 --lora r=2 -o quant
t 0 '*' '' greedy base.gguf --lora quant/checkpoints/step-2
t 0 '' '' "$LLMWS" snapshot quant -o dense --merge-lora --dtype f32
t 0 "=$(greedy base.gguf --lora quant/checkpoints/step-2)" '' greedy dense

# With --json it says what it made of what.
t 0 '={"event":"snapshot","path":"told","from":"lora/checkpoints/step-2","kind":"adapter"}' '' "$LLMWS" snapshot lora@2 -o told --json
t 0 '={"event":"snapshot","path":"told2","from":"'"$M"'","kind":"model"}' '' "$LLMWS" snapshot "$M" -o told2 --json
t 0 '={"event":"snapshot","path":"told3","from":"lora/checkpoints/step-4","kind":"merged"}' '' "$LLMWS" snapshot lora@4 -o told3 --merge-lora --json
finish
