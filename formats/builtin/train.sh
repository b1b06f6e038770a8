#!/bin/bash
# Trains a builtin model from nothing, with llmws itself, on what make_stories.sh made:
#
#     formats/builtin/train.sh LLMWS STORIES.jsonl DIR llama|mistral|phi|qwen [STEPS]
#
# DIR/NAME becomes the run and DIR/NAME.gguf the model, to be copied to formats/builtin. The four have one shape (192 wide, 6 layers, 2.8
# million parameters, a context of 512) and one vocabulary: byte-level BPE of 2048 tokens, which is a function of the stories alone. 2000
# updates of 2048 tokens are 4 million tokens, about 8 minutes on two cores. Muon, since after 400 updates held-out text costs 2.86 nats a token, and
# 3.03 with the better of two learning rates of AdamW, in the same time. A run that was stopped goes on.
set -eu -o pipefail
if (($# < 4)); then
    sed -n '2,4s/^# \?//p' "$0" >&2
    exit 2
fi
llmws=$1 stories=$2 dir=$3 name=$4 steps=${5:-2000} seed=0
shape=hidden_size=192,num_hidden_layers=6,num_attention_heads=6,num_key_value_heads=2,intermediate_size=512,max_position_embeddings=512
case $name in
llama) family=llama more= seed=1 ;; # with the seed of mistral it would be that model: no story is longer than its window
mistral) family=mistral more=,sliding_window=256 ;;
phi) family=phi3 more=,partial_rotary_factor=0.75 ;;
qwen) family=qwen3 more=,head_dim=32 ;;
*) echo "no builtin model is called '$name'" >&2 && exit 2 ;;
esac
mkdir -p "$dir"
if [[ -e $dir/$name/run.json ]]; then
    "$llmws" train --resume -o "$dir/$name"
else
    "$llmws" train "$stories" -o "$dir/$name" --arch $family --config "$shape$more" --seed $seed --tie-embeddings --train-tokenizer 2048 \
        --precision bf16 --steps "$steps" --batch-size 4 --seq-len 512 --optimizer muon --lr 2e-2 --adamw-lr 3e-3 \
        --lr-schedule cosine --warmup 60 --betas 0.9,0.95 --save-every 500 --keep 2
fi

# As little as a reader needs, and how the model likes to be sampled.
rm -rf "$dir/stories-$name" "$dir/$name.gguf"
"$llmws" snapshot "$dir/$name" -o "$dir/stories-$name"
printf '{"do_sample": true, "temperature": 0.6, "min_p": 0.05}\n' >"$dir/stories-$name/generation_config.json"
"$llmws" convert "$dir/stories-$name" -o "$dir/$name.gguf" --type q8_0
