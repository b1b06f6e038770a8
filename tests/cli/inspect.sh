# inspect: summary, lists, tokens, estimate, one forward pass.
. "${BASH_SOURCE%/*}/cases.bash"
i() { "$LLMWS" inspect "$@"; }

t 0 '*family*llama*layers*3*width*64*vocabulary*384*context*512*rope*head*tied*tokenizer*341 tokens*template*yes*' '' i "$M"
t 0 '*family*llama*' '' i -m "$M"
t 0 '*family*llama*' '' env LLMWS_MODEL="$M" "$LLMWS" inspect
t 0 '*"family":"llama"*"layers":3,"width":64,*"vocab":384,"ctx":512,*"tied":true*' '' i "$M" --json
json_lines out
t 0 '*family*llama*' '' i "$SRC/tests/data/llama2"
usage 'two models' "$LLMWS" inspect -m "$M" "$M"

t 0 '*model.embed_tokens.weight*f32*\[384,64\]*98304*' '' i "$M" --tensors
t 0 '*"event":"tensor","name":"model.layers.2.mlp.down_proj.weight"*"dtype":"f32","shape":\[64,128\],"bytes":32768}*' '' i "$M" --tensors --json
json_lines out
t 0 '*model.layers.0.self_attn.q_proj*model.layers.2.mlp*lm_head*' '' i "$M" --modules
t 0 '*"event":"module","name":"model.layers.0.mlp.down_proj","shape":"\[T,64\]","op":"matmul"}*' '' i "$M" --modules --json
json_lines out

t 0 '*weights*cache*total*' '' i "$M" --estimate
t 0 '{"event":"estimate","rows":{*"cache":*},"total_bytes":*,"ctx":64,"chunk":16,"parallel":4,"threads":2,*"kv_type":"f32"}' '' \
    i "$M" --estimate -c 64 --chunk 16 --parallel 4 --kv-type f32 -t 2 --json
json_lines out
# A page of 64 tokens in 3 layers, keys and values of 2 heads of 16; q8_0 rounds a row up to a block of 32.
for k in f32=49152 f16=24576 bf16=24576 q8_0=26112; do
    t 0 "*\"cache\":${k#*=},*\"kv_type\":\"${k%=*}\"*" '' i "$M" --estimate -c 64 --chunk 16 --kv-type "${k%=*}" --json
done

# Ids and offsets of tokenizers 0.23 on tokenizer.json.
t 0 '={"event":"tokens","ids":[336,39,68,75,75,78,11,274,127,114,81,310],"offsets":[[0,0],[0,1],[1,2],[2,3],[3,4],[4,5],[5,6],[6,8],[8,9],[8,9],[9,10],[10,12]]}' '' \
    i "$M" --tokenize 'Hello, wörld' --json
json_lines out
grep -oP '"ids":\[\K[0-9,]+' out >ids
t 0 '*"text":*Hello, wörld"*' '' i "$M" --detokenize @ids --json
json_lines out
t 0 '*Hello, wörld' '' i "$M" --detokenize "$(cat ids)"
printf 'Hello, wörld' >text
t 0 "*\"ids\":\[$(cat ids)\],*" '' i "$M" --tokenize @text --json
t 0 "*\"ids\":\[$(cat ids)\],*" '' i "$M/tokenizer.json" --tokenize @- --json <text
mkdir only && cp "$M/tokenizer.json" "$M/tokenizer_config.json" only
t 0 "*\"ids\":\[$(cat ids)\],*" '' i only --tokenize @text --json
mkdir spm && cp "$SRC/tests/data/llama2/tokenizer.model" spm
for from in spm spm/tokenizer.model "$SRC/tests/data/llama2"; do
    t 0 '*"ids":\[1,329,75,330,340,340,337,345,327,308,36\],*' '' i "$from" --tokenize 'Hello, world!' --json
    t 0 '*"text":"Hello, world!"*' '' i "$from" --detokenize 329,75,330,340,340,337,345,327,308,36 --json
done
t 0 '*..*H*' '' i "$M" --tokenize Hi --no-special
t 0 '{"event":"tokens","ids":\[\],"offsets":\[\]}' '' i "$M" --tokenize '' --no-special --json
usage 'token id 341: the vocabulary ends at 340' "$LLMWS" inspect "$M" --detokenize 341

# Whose memory each class is.
t 0 '*"devices":{"weights":"cpu","repacking":"cpu","cache":"cpu",*"program":"cpu"},*' '' i "$M" --estimate --json
t 0 '*' '*\[plan\] weights *iB on cpu (mapped)*\[plan\] cache *iB on cpu*\[plan\] program *iB on cpu*\[plan\] total *iB*' "$LLMWS" generate -m "$M" --ids 1,2 -n 1 -v

# The families, no model needed: a line for every row of the table.
t 0 '*llama *llama *llama *safetensors,gguf *cpu *q_proj+k_proj*gpt2 *c_attn+c_proj+c_fc' '' i --families
[[ $(($(wc -l <out) - 1)) == $(grep -c '^        \.name = "' "$SRC/core/arch_table.c") ]] || bad "not one line a family: $(cat out)"
t 0 '*{"event":"family","name":"mistral","model_types":\["mistral"\],"gguf":"llama","lora_targets":"q_proj+*","builtin":*,"formats":\["safetensors","gguf"\],"backends":\["cpu"\]}*' '' i --families --json
json_lines out

# --estimate speaks of a run of generate and takes its options; those that cost memory show.
t 0 '*total*' '' i "$M" --estimate -n 5 -f text --stop x --top-k 3 --seed 1 --temp 0.5 --ignore-eos --logprobs 3 --prompt-cache c --ids 1
t 0 '*"activations":*' '' i "$M" --estimate --json
plain=$(grep -oP '"activations":\K[0-9]+' out)
t 0 '*"activations":*"capture":8192}*' '' i "$M" --estimate --json --capture 'model.layers.*' --capture-buffer 8K -o x
(($(grep -oP '"activations":\K[0-9]+' out) > plain)) || bad "kept values cost nothing"
t 0 '*"tokenizer":*,"grammar":*"file_tables"*' '' i "$M" --estimate --json -c 64 --json-schema '{"type":"integer"}'
t 0 '* grammar *MiB*' '' i "$M" --estimate -c 64 --json-schema '{"type":"integer"}'
bound=$(awk '$1 == "grammar" {print $2, $3}' out)
t 0 '*' "*plan\] grammar *$bound*" "$LLMWS" generate -m "$M" -p Hi -n 1 -c 64 -v --json-schema '{"type":"integer"}'
t 3 '' "llmws: *'--json-schema': schema: '#/not'*" i "$M" --estimate --json-schema '{"not":{}}'
t 0 '*"graph":*' '' i "$M" --estimate --json --intervene 'model.layers.1 *= 2'
usage "no value is named 'no.x'" "$LLMWS" inspect "$M" --estimate --intervene 'no.x = 0'
usage '--temp is an option of generate; here it goes with --estimate' "$LLMWS" inspect "$M" --temp 0
usage '--stop is an option of generate' "$LLMWS" inspect "$M" --ids 1 --capture lm_head --stop x
usage "did you mean '--top-k'" "$LLMWS" inspect "$M" --estimate --top-kk 3

echo '[{"role":"user","content":"é <|eot_id|>"}]' >messages.json
prompt='<|begin_of_text|><|start_header_id|>user<|end_header_id|>'$'\n\n''é <|eot_id|><|eot_id|>'
t 0 "=$prompt" '' i "$M" --template messages.json
t 0 "=$prompt" '' i only --template - <messages.json
t 0 '*"text":"<|begin_of_text|><|start_header_id|>user*","ids":\[336,338,84,82,265,339,*,340\],"spans":\[\[0,59,"template"\],\[59,71,"user"\],\[71,81,"template"\]\],"answers":\[\]}' \
    '' i "$M" --template messages.json --json
json_lines out
[[ $(grep -o '\b340\b' out | wc -l) == 1 ]] || bad "a message wrote a special token: $(cat out)"
t 0 $'*\e\[36m<|eot_id|>\e\[0m' '' i "$M" --template messages.json --color always
echo '{"messages":[{"role":"user","content":"x"}],"add_generation_prompt":true}' >messages.json
t 0 '*<|start_header_id|>assistant<|end_header_id|>*' '' i "$M" --template messages.json
echo '[{"role"' >bad.json
t 3 '' "llmws: cannot make a prompt of 'bad.json': *" i "$M" --template bad.json
echo '[]' >bad.json
t 3 '' "llmws: cannot make a prompt of 'bad.json': there are no messages; give at least one" i "$M" --template bad.json
t 1 '' "llmws: cannot open 'nowhere.json': *" i "$M" --template nowhere.json

t 0 '*lm_head*\[3,384\]*' '' i "$M" --ids 1,2,3 --capture lm_head -o o.safetensors
[[ $(stat -c %s o.safetensors) -gt 4608 ]] || bad "the saved file is too small"
t 0 '*"name":"model.layers.0.mlp","shape":\[3,64\]*"not_finite":0}*"name":"model.layers.2.mlp"*' '' \
    i "$M" --ids 1,2,3 --capture 'model.layers.{0,2}.mlp' --json
json_lines out
t 0 '*lm_head*' '' i "$M" -p 'Hello' --capture lm_head
t 0 '*"name":"model.layers.1.mlp",*"min":0.0,"max":0.0,"mean":0.0,"rms":0.0,*' '' \
    i "$M" --ids 1,2,3 --capture model.layers.1.mlp --intervene 'model.layers.1.mlp = 0' --json
cp out all
t 0 '*' '' i "$M" --ids 1,2,3 --capture model.layers.1.mlp --intervene 'model.layers.1.mlp = 0 @ last' --json
cmp -s out all && bad "'@ last' changes every position"
i "$M" --ids 4 --capture model.layers.0.mlp -o v.safetensors >/dev/null
t 0 '*' '' i "$M" --ids 4 --capture model.layers.0.mlp --intervene 'model.layers.0.mlp += -1*v.safetensors:model.layers.0.mlp' --json
holds out '"rms":0.0,'
usage 'nothing to keep' "$LLMWS" inspect "$M" --ids 1
usage 'give --ids or -p' "$LLMWS" inspect "$M" --capture lm_head
usage 'no.such' "$LLMWS" inspect "$M" --ids 1 --capture no.such
usage 'a rule is' "$LLMWS" inspect "$M" --ids 1 --capture lm_head --intervene 'lm_head ^ 2'
usage 'WHERE must be' "$LLMWS" inspect "$M" --ids 1 --capture lm_head --intervene 'lm_head *= 2 @ 4'
t 3 '' 'llmws: *nowhere*' i "$M" --ids 1 --capture lm_head --intervene 'lm_head += 2*nowhere.safetensors:k'
t 1 '' 'llmws: *' i "$M" --ids 1 --capture lm_head -o no/such/folder/o.safetensors

# What bounds a capture changes where its rows wait, never what they are.
ids=7,8,9,10,11,12,13,14,15,16,17
two=(--capture 'model.layers.{0,2}.mlp')
saved() { t 0 '*' '' i "$M" --ids $ids "${@:2}" -o "$1"; }
saved whole.st "${two[@]}"
saved spilled.st "${two[@]}" --capture-buffer 1536
cmp -s whole.st spilled.st || bad "rows that waited on disk differ"
saved pieces.st "${two[@]}" --chunk 4 --capture-buffer 2K
cmp -s whole.st pieces.st || bad "a prompt in pieces leaves other values"
compgen -G '.llmws-capture*' >/dev/null && bad "a file was left behind: $(ls -A)"
rows() { tail -c "$2" "$1" | head -c "$3" | od -An -v -tx1 | tr -d ' \n'; } # FILE BYTES-FROM-END COUNT
saved last.st "${two[@]}" --chunk 4 --capture-last 3
holds last.st '"first_position":"8"'
[[ $(rows last.st 768 768) == "$(rows whole.st 768 768)" ]] || bad "--capture-last 3 are not the last rows of layer 2"
[[ $(rows last.st 1536 768) == "$(rows whole.st 3584 768)" ]] || bad "--capture-last 3 are not the last rows of layer 0"
saved every.st "${two[@]}" --capture-every 5
holds every.st '"shape":[3,64]'
[[ $(rows every.st 256 256) == "$(rows whole.st 256 256)" ]] || bad "--capture-every 5 does not end in position 10"
[[ $(rows every.st 768 256) == "$(rows whole.st 2816 256)" ]] || bad "--capture-every 5 does not begin in position 0"
saved ring.st "${two[@]}" --capture-every 2 --capture-last 2
holds ring.st '"first_position":"8"'
saved half.st "${two[@]}" --capture-dtype f16
holds half.st '"dtype":"F16"'
t 0 '*"rms":*' '' i "$M" --ids $ids --capture model.layers.1 --json --chunk 4
rms=$(grep -oP '"rms":\K[0-9.]+' out)
t 0 '*"shape":\[11\],*' '' i "$M" --ids $ids --capture model.layers.1 --json --reduce norm
near_() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d < 1e-4 * a && d > -1e-4 * a) }' || bad "$3: $1 is not $2"; }
near_ "$(grep -oP '"rms":\K[0-9.]+' out)" "$(awk -v r="$rms" 'BEGIN { print r * 8 }')" "norms of 64 elements"
t 0 '*"shape":\[11,4\],*' '' i "$M" --ids $ids --capture model.layers.1.self_attn.q --json --reduce max
t 4 '' 'llmws: the capture does not fit: 512 bytes a token, --capture-buffer is 1024; give 1536' i "$M" --ids $ids "${two[@]}" --capture-last 3 --capture-buffer 1K
t 4 '' 'llmws: the capture does not fit: *' i "$M" --ids $ids "${two[@]}" --capture-buffer 100
usage 'must be a number of bytes' "$LLMWS" inspect "$M" --ids 1 --capture lm_head --capture-buffer many
usage 'must be one of f32|f16|bf16' "$LLMWS" inspect "$M" --ids 1 --capture lm_head --capture-dtype q8_0
finish
