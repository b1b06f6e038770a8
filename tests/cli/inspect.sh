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
t 0 '*..*H*' '' i "$M" --tokenize Hi --no-special
t 0 '{"event":"tokens","ids":\[\],"offsets":\[\]}' '' i "$M" --tokenize '' --no-special --json
usage 'token id 341: the vocabulary ends at 340' "$LLMWS" inspect "$M" --detokenize 341

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
finish
