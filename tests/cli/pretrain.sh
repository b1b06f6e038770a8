# train --arch: new models of every family, the same whatever the threads, resumed like any other; tokenizers old and new.
. "${BASH_SOURCE%/*}/cases.bash"
for i in {1..40}; do echo "{\"text\":\"The number $i is followed by $((i + 1)), and the fox jumps over $i dogs.\"}"; done >d.jsonl
for i in {1..40}; do echo "{\"messages\":[{\"role\":\"user\",\"content\":\"After $i?\"},{\"role\":\"assistant\",\"content\":\"Then $((i + 1)).\"}]}"; done >c.jsonl
tiny=(--config hidden_size=64,num_hidden_layers=2 --train-tokenizer 300)
small=(--steps 2 --batch-size 2 --seq-len 32 --lr 1e-3 -t 1)
train() { "$LLMWS" train "$@"; }
get() { sed -n "s/.*\"$2\": \([^,]*\),*/\1/p" "$1/config.json"; } # DIR KEY

families=$("$LLMWS" inspect --families --json | sed -n 's/.*"event":"family","name":"\([^"]*\)".*/\1/p')
[[ $(wc -w <<<"$families") -ge 12 ]] || families='llama mistral mixtral qwen2 qwen3 qwen3_moe smollm3 phi3 gemma2 gemma3 phi gpt2'
for f in $families; do
    t 0 "step 2, loss *: $f/checkpoints/step-2" '' train d.jsonl --arch "$f" "${tiny[@]}" "${small[@]}" -o "$f"
    t 0 '*' '' "$LLMWS" generate -m "$f/checkpoints/step-2" -p 'The number' -n 3 --temp 0 -q -t 1
    t 0 '' '' "$LLMWS" snapshot "$f" -o "snap-$f"
    # the rows of the device; what the process holds beside the model differs: --arch has made a tokenizer by then
    device() { train d.jsonl "$@" "${small[@]}" --dry-run --json | sed -n 's/.*"device":\([0-9]*\).*/\1/p'; }
    before=$(device --arch "$f" "${tiny[@]}") run=$(device -m "$f/checkpoints/step-0")
    [[ -n $run && $before == "$run" ]] || bad "$f: planned before $before, of what the run trains $run"
done

# One stopped after a step and one of another number of threads end with the same bits.
t 0 '*' '' train d.jsonl --arch llama "${tiny[@]}" "${small[@]}" --save-every 1 -t 2 -o again
cmp -s {llama,again}/checkpoints/step-0/model.safetensors || bad "other weights of two threads"
cmp -s {llama,again}/checkpoints/step-2/model.safetensors || bad "other weights after two steps of two threads"
rm -r again/checkpoints/step-2
t 0 'step 2*' '' train --resume -o again
cmp -s {llama,again}/checkpoints/step-2/model.safetensors || bad "other weights of a resumed run"
usage '--arch: the run' train d.jsonl --arch mistral --resume -o again
t 0 '*' '' train d.jsonl --arch llama "${tiny[@]}" "${small[@]}" --seed 1 -o seeded
if cmp -s {llama,seeded}/checkpoints/step-0/model.safetensors; then bad "--seed draws no weights"; fi

# What is left out is derived.
for want in 'num_attention_heads 4' 'num_key_value_heads 4' 'intermediate_size 192' 'max_position_embeddings 32' 'tie_word_embeddings false' 'vocab_size 300'; do
    [[ $(get llama/checkpoints/step-0 "${want% *}") == "${want#* }" ]] || bad "derived ${want% *}: $(get llama/checkpoints/step-0 "${want% *}")"
done
t 0 '*' '' train d.jsonl --arch gpt2 --tie-embeddings --config 'hidden_size=64,num_hidden_layers=2,num_attention_heads=2' --tokenizer "$M" "${small[@]}" -o named
[[ $(get named/checkpoints/step-0 n_head) == 2 ]] || bad "num_attention_heads is n_head in gpt2"
cmp -s {"$M",named/checkpoints/step-2}/tokenizer.json || bad "another tokenizer than --tokenizer"
t 0 '*' '' "$LLMWS" convert "$M" -o m.gguf -q
t 0 '*' '' train d.jsonl --arch llama --config hidden_size=64,num_hidden_layers=2 --tokenizer m.gguf "${small[@]}" -o of_gguf
t 0 "$("$LLMWS" inspect "$M" --tokenize 'The number 7')" '' "$LLMWS" inspect of_gguf/checkpoints/step-2 --tokenize 'The number 7'

# Settings of a file, and conversations: a chat template, whose end of turn ends answers.
echo '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "layer_norm_eps": 1e-5}' >wrong.json
echo '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "attention_dropout": 0.0, "rope_theta": 5e5}' >c.json
t 0 '*' '' train c.jsonl --config c.json --tie-embeddings --train-tokenizer 300 --batch-size 8 --steps 3 --seq-len 64 -t 1 -o chat
[[ $(get chat/checkpoints/step-0 rope_theta) == 500000* && $(get chat/checkpoints/step-0 tie_word_embeddings) == true ]] || bad "settings of a file: $(cat chat/checkpoints/step-0/config.json)"
holds chat/checkpoints/step-3/chat_template.jinja '<|im_start|>'
[[ $(tr -d ' \n' <chat/checkpoints/step-3/generation_config.json) == *'"eos_token_id":[0,3]'* ]] || bad "ends: $(cat chat/checkpoints/step-3/generation_config.json)"
t 0 '*' '' "$LLMWS" generate --chat -m chat/checkpoints/step-3 -p 'After 7?' -n 3 --temp 0 -q -t 1

t 3 '' "llmws: *family 'lama' is not supported; nearest: llama;*" train d.jsonl --arch lama "${tiny[@]}" -o no1
usage "'hiden_size' is no setting of family 'llama'; nearest: hidden_size" train d.jsonl --arch llama --train-tokenizer 300 --config hiden_size=64 -o no2
usage "'layer_norm_eps' is no setting of family 'llama'" train d.jsonl --config wrong.json --train-tokenizer 300 -o no3
usage 'must be KEY=VALUE' train d.jsonl --arch llama --train-tokenizer 300 --config a=1,b -o no4
usage 'is below the 300 tokens' train d.jsonl --arch llama --train-tokenizer 300 --config vocab_size=200 -o no5
usage 'a tied head is asked for' train d.jsonl --arch llama --train-tokenizer 300 --tie-embeddings --config tie_word_embeddings=false -o no6
usage 'needs --tokenizer' train d.jsonl --arch llama -o no7
usage 'are both given' train d.jsonl --arch llama --train-tokenizer 300 --tokenizer "$M" -o no8
usage 'are both given' train d.jsonl -m "$M" --arch llama --train-tokenizer 300 -o no9
usage 'is for new models' train d.jsonl -m "$M" --train-tokenizer 300 -o no10
t 3 '' "llmws: *'hidden_act' is gelu, which would change the maths*" train d.jsonl --arch llama --train-tokenizer 300 --config hidden_size=64,hidden_act=gelu -o no11
t 3 '' 'llmws: *65 is no multiple*' train d.jsonl --arch llama --train-tokenizer 300 --config hidden_size=65,num_attention_heads=2 -o no12
t 4 '' 'llmws: *does not fit*' train d.jsonl --arch llama --train-tokenizer 300 --config hidden_size=64,num_hidden_layers=1000000000 -o no13
[[ ! -e no2/checkpoints/step-0 ]] || bad "a model that was refused was written"
finish
