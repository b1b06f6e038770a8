# --lora: the greedy tokens that peft gives, from every kind of base and adapter; how it is spelled; what is refused.
. "${BASH_SOURCE%/*}/cases.bash"
D=$SRC/tests/data
A=$D/adapters
greedy() { # MODEL IDS ...
    local model=$1 ids=$2
    shift 2
    "$LLMWS" generate -m "$model" --ids "$ids" -n 16 --temp 0 --ignore-eos --compute f32 --kv-type f32 --json "$@" |
        grep -oP '"event":"done".*"ids":\[\K[0-9,]+'
}

while read -r m ids want; do
    t 0 "=$want" '' greedy "$D/$m" "$ids" --lora "$A/$m"
done <"$A/greedy.txt"

read -r _ ids want < <(grep '^llama3 ' "$A/greedy.txt")
plain=$(greedy "$D/llama3" "$ids")
count=$((count + 1))
[[ -n $plain && $plain != "$want" ]] || bad 'the adapter changes nothing'
"$LLMWS" convert "$D/llama3" -o base.gguf -q && "$LLMWS" convert "$A/llama3" --base "$D/llama3" -o adapter.gguf -q || bad 'convert'
for base in "$D/llama3" base.gguf; do
    for adapter in "$A/llama3" adapter.gguf; do
        t 0 "=$want" '' greedy "$base" "$ids" --lora "$adapter"
    done
done
t 0 "=$want" '' greedy base.gguf "$ids" --lora "$A/llama3:0.25" --lora adapter.gguf:0.75
t 0 "=$plain" '' greedy base.gguf "$ids" --lora "$A/llama3:0"

# ---- settings of the adapter ----

run() { "$LLMWS" generate -m "$D/llama3" --ids 5 -n 1 --lora "$1"; }
variant() { # NAME SED: a copy of llama3's adapter with another configuration
    cp -r "$A/llama3" "$1" && chmod -R u+w "$1" && sed -i "$2" "$1/adapter_config.json"
}
variant alphas 's/"alpha_pattern": {}/"alpha_pattern": {"v_proj": 8, "^model.layers.0.self_attn.q_proj": 8, "self_attn.q_proj": 8}/; s/"lora_alpha": 8/"lora_alpha": 1/'
t 0 "=$want" '' greedy base.gguf "$ids" --lora alphas
t 0 '*' '' "$LLMWS" convert alphas --base "$D/llama3" -o alphas.gguf # a GGUF file has one alpha, and so have all of these
t 0 "=$want" '' greedy base.gguf "$ids" --lora alphas.gguf
variant two 's/"alpha_pattern": {}/"alpha_pattern": {"v_proj": 4}/'
t 3 '' "*'two'*more than one alpha*" "$LLMWS" convert two --base "$D/llama3" -o two.gguf
variant root 's/"use_rslora": false/"use_rslora": true/; s/"lora_alpha": 8/"lora_alpha": 4/' # 4 / sqrt(4)
t 0 "=$want" '' greedy base.gguf "$ids" --lora root
variant regex 's/"alpha_pattern": {}/"alpha_pattern": {".*_proj": 8}/'
t 3 '' "*'regex'*alpha_pattern '.\*_proj'*" run regex
variant null 's/"alpha_pattern": {}/"alpha_pattern": {"v_proj": null}/'
t 3 '' "*'null'*alpha_pattern 'v_proj'*null*" run null
variant saved 's/"modules_to_save": null/"modules_to_save": ["lm_head"]/'
t 3 '' "*'saved'*'modules_to_save'*" run saved
variant dora 's/"use_dora": false/"use_dora": true/'
t 3 '' "*'dora'*'use_dora'*" run dora

# ---- what is refused ----

t 3 '' "*'$A/gpt2'*'transformer.h.0.attn.c_attn'*" run "$A/gpt2"
t 3 '' "*'nowhere'*" run nowhere
t 2 '' "*scale 'x'*" run "$A/llama3:x"

finish
