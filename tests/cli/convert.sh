# convert: there and back for every family, types, adapters, importance, what is refused, and what is left behind.
. "${BASH_SOURCE%/*}/cases.bash"
c() { "$LLMWS" convert "$@"; }
same() { "$BUILD/tests/same_model" "$@"; }
D=$SRC/tests/data
none() { # no file of an unfinished conversion
    count=$((count + 1))
    local left
    left=$(find "$T" -name '.llmws-*')
    [[ -z $left ]] || bad "left behind: $left"
}
gone() { # FILE
    count=$((count + 1))
    [[ ! -e $1 ]] || bad "'$1' should not be there"
}

# ---- there and back: tensors, settings, files, ids, prompts; greedy tokens of the GGUF file against transformers ----

families=(llama2 llama3 mistral mistral_nemo mixtral qwen3_moe qwen2 qwen2_yarn qwen3 smollm3 phi2 phi3 phi3_longrope gemma2 gemma3 gpt2)
text='Hello  wörld, 123 tests: 你好!  It'"'"'s <|im_start|> <|user|>  b'
ids() { "$LLMWS" inspect "$1" --tokenize "$text" --json | grep -oP '"ids":\[\K[0-9,]+'; }
prompt() { "$LLMWS" inspect "$1" --template messages.json; }
echo '[{"role":"user","content":"Why?"},{"role":"assistant","content":"So."},{"role":"user","content":"é"}]' >messages.json
for m in "${families[@]}"; do
    near=()
    [[ $m != gemma* ]] || near=(--near)
    cp -r "$D/$m" "$m" && chmod -R u+w "$m"
    json=$(grep -oP "^\"$m\": \{\"json\": \"\K[^\"]+" "$D/tokenizer/oracle/cases.json")
    [[ -e $m/tokenizer.json ]] || cp "$D/tokenizer/oracle/$json" "$m/tokenizer.json"
    t 0 "$m.gguf: * tensors, * bits per weight, * s"$'\n'"  *f32 *" '' c "$m" -o "$m.gguf"
    t 0 '*' '' c "$m.gguf" -o "$m.back"
    t 0 '*' '' c "$m" -o "$m.plain"
    if [[ $m == gpt2 ]]; then # the hub's file has no prefix in its names, and buffers that are no weights
        t 0 '*' '' c "$m.back" -o again.gguf
        t 0 '*' '' c again.gguf -o "$m.again"
        t 0 '' '' same "$m.back" "$m.again"
    else
        t 0 '' '' same "${near[@]}" "$m" "$m.back"
        t 0 '' '' same "$m" "$m.plain"
    fi
    for f in tokenizer.json tokenizer_config.json special_tokens_map.json generation_config.json; do
        [[ ! -e $m/$f ]] || t 0 '' '' cmp "$m/$f" "$m.back/$f"
    done
    want=$(ids "$m")
    [[ -n $want && $want == "$(ids "$m.gguf")" ]] || bad "$m: other ids from the GGUF file: $want, $(ids "$m.gguf")"
    [[ $want == "$(ids "$m.back")" ]] || bad "$m: other ids in the directory that came back"
    count=$((count + 2))
done
for m in llama2 llama3; do
    t 0 "=$(prompt "$m")" '' prompt "$m.gguf"
    t 0 "=$(prompt "$m")" '' prompt "$m.back"
done
none

# ---- what other programs wrote has no files to come back from: they are made ----

sed 's/tokenizer\.huggingface\.json/tokenizer.anotherthing.txt/; s/llmws\.tokenizer_config/other.tokenizer_config/;
     s/llmws\.special_tokens_map/other.special_tokens_map/; s/llmws\.generation/other.generation/' llama3.gguf >foreign.gguf
t 0 '*' '' c foreign.gguf -o foreign
[[ $(ids foreign) == "$(ids llama3)" ]] || bad "other ids from the tokenizer.json that was made"
t 0 "=$(prompt llama3)" '' prompt foreign
t 0 '*<|begin_of_text|>*' '' cat foreign/special_tokens_map.json
t 0 '*"eos_token_id": \[*340,*337*\]*' '' cat foreign/generation_config.json
sed 's/tokenizer\.huggingface\.json/tokenizer.anotherthing.txt/' llama2.gguf >foreign.gguf
t 0 '*' '' c foreign.gguf -o foreign2
[[ $(ids foreign2) == "$(ids llama2)" ]] || bad "other ids from the SentencePiece tokenizer.json that was made"
count=$((count + 2))

# ---- generation settings ----

cp -r llama3 settings
echo '{"temperature":0.25,"top_k":7,"top_p":0.5,"repetition_penalty":1.5,"eos_token_id":[337,340],"max_length":99}' >settings/generation_config.json
t 0 '*' '' c settings -o settings.gguf
t 0 '*' '*temp 0.25*top-k 7*' "$LLMWS" generate -m settings.gguf -p a -n 1 -v
sed 's/llmws\.generation/other.generation/' settings.gguf >foreign.gguf
t 0 '*' '' c foreign.gguf -o settings.back
t 0 '*"temperature": 0.25*"top_k": 7*"top_p": 0.5*"repetition_penalty": 1.5*' '' cat settings.back/generation_config.json

# ---- types ----

t 0 '{"event":"converted","from":"qwen3","path":"q.gguf","tensors":*,"types":{"f32":*,"q8_0":*},"params":*,"bytes_before":*,"bytes_after":*,"bits_per_weight":*,"seconds":*}' '' \
    c qwen3 -o q.gguf --type Q8_0 --json
json_lines out
for type in f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k_s q4_k_m q5_k_m q6_k iq4_nl; do
    t 0 '*' '' c qwen3 -o "q-$type.gguf" --type "$type" -t 1
    cp "q-$type.gguf" once.gguf
    t 0 '*' '' c qwen3 -o "q-$type.gguf" --type "$type" -t 3
    t 0 '' '' cmp once.gguf "q-$type.gguf"
    t 0 '*"ids":\[*' '' "$LLMWS" generate -m "q-$type.gguf" -p Hello -n 4 --temp 0 --ignore-eos --json
done
t 0 '*' '' c q-q4_0.gguf -o re.gguf --type q8_0
t 0 '*' '*is quantised already (q4_0)*' c q-q4_0.gguf -o re.gguf --type q8_0 -v
t 0 '*' '' c q-q8_0.gguf -o dir --type f32
t 0 '*"torch_dtype": "float32"*' '' cat dir/config.json
t 0 '*' '' c qwen3 -o half --type bf16
t 0 '*"torch_dtype": "bfloat16"*' '' cat half/config.json
t 0 '*' '' c half -o half.gguf
t 0 '*' '' c half.gguf -o half.back
t 0 '' '' same half half.back
t 0 '*' '' c qwen3 -o shards --max-shard 100K
t 0 '' '' same qwen3 shards
t 0 '*"weight_map"*"model-00002-of-0*' '' cat shards/model.safetensors.index.json

# ---- importance ----

entry() { # NAME VALUES: one tensor of an importance matrix in the old form, every second column a hundred times the others
    local n=${#1} i
    printf "\\x$(printf %02x "$n")\\0\\0\\0%s\\4\\0\\0\\0\\x$(printf %02x "$(($2 & 255))")\\x$(printf %02x "$(($2 >> 8))")\\0\\0" "$1"
    for ((i = 0; i < $2; i += 2)); do printf '\0\0\200\77\0\0\310\102'; done
}
{
    printf '\1\0\0\0'
    entry blk.0.ffn_up.weight 64
} >one.dat
t 0 '*' '' c qwen3 -o im.gguf --type q4_0 --imatrix one.dat
t 0 '*' '*nothing for * of * quantised tensors: token_embd.weight, *' c qwen3 -o im.gguf --type q4_0 --imatrix one.dat -v
count=$((count + 1))
cmp -s im.gguf q-q4_0.gguf && bad "importance changed nothing"
t 0 '*"without_importance":[1-9]*' '' c qwen3 -o im.gguf --type q4_0 --imatrix one.dat --json
usage '--imatrix is for quantising' "$LLMWS" convert qwen3 -o x.gguf --imatrix one.dat
{
    printf '\1\0\0\0'
    entry blk.0.ffn_up.weight 32
} >other.dat
t 3 '' "llmws: 'other.dat' has 32 values for tensor 'blk.0.ffn_up.weight', which has 64 columns; *" c qwen3 -o x.gguf --type q4_0 --imatrix other.dat
{
    printf '\1\0\0\0'
    entry elsewhere 64
} >other.dat
t 3 '' "llmws: 'other.dat' has none of the tensors that are quantised *" c qwen3 -o x.gguf --type q4_0 --imatrix other.dat
for n in 0 3 4 7 20 40 200; do
    head -c $n one.dat >cut.dat
    t 3 '' "llmws: cannot *'cut.dat'*" c qwen3 -o x.gguf --type q4_0 --imatrix cut.dat
done
gone x.gguf

# ---- adapters: there and back, and merged, against what peft computes ----

greedy() { # MODEL IDS
    "$LLMWS" generate -m "$1" --ids "$2" -n 16 --temp 0 --ignore-eos --compute f32 --kv-type f32 --json |
        grep -oP '"event":"done".*?"ids":\[\K[0-9,]+'
}
while read -r m prompt want; do
    t 0 '*' '' c "$D/adapters/$m" -o "$m.lora.gguf" --base "$m"
    t 0 '*' '' c "$m.lora.gguf" -o "$m.lora" --base "$m.gguf"
    t 0 '' '' cmp "$D/adapters/$m/adapter_model.safetensors" "$m.lora/adapter_model.safetensors"
    t 0 '' '' cmp "$D/adapters/$m/adapter_config.json" "$m.lora/adapter_config.json"
    t 0 '*' '' c "$m" -o "$m.merged" --lora "$D/adapters/$m"
    t 0 '*' '' c "$m.gguf" -o "$m.merged.gguf" --lora "$m.lora.gguf"
    t 0 "=$want" '' greedy "$m.merged" "$prompt"
    t 0 "=$want" '' greedy "$m.merged.gguf" "$prompt"
done <"$D/adapters/greedy.txt"
t 0 '*' '' c llama3 -o undone.gguf --lora "$D/adapters/llama3:-0"
t 0 '' '' same undone.gguf llama3.gguf
t 3 '' "llmws: *'model.layers.0.self_attn.qkv_proj', which the base model 'llama3' (llama) has not" c llama3 -o x.gguf --lora "$D/adapters/phi3"
t 3 '' "llmws: *'model.layers.0.self_attn.q_proj' is for a weight *" c llama3 -o x.gguf --lora "$D/adapters/gemma3"
t 2 '' "llmws: the base model of the adapter * is needed *, and '../../models/llama3' is not here; give --base MODEL*" c "$D/adapters/llama3" -o x.gguf
cp -r "$D/adapters/llama3" dora && chmod -R u+w dora && sed -i 's/"use_dora": false/"use_dora": true/' dora/adapter_config.json
t 3 '' "llmws: cannot use the adapter 'dora': 'use_dora' * not supported" c dora -o x.gguf --base llama3
gone x.gguf

# ---- what is refused ----

usage 'where to?' "$LLMWS" convert llama3
usage 'what to write is given as -o x.gguf' "$LLMWS" convert llama3 x.gguf
usage 'no model' "$LLMWS" convert -m '' -o x.gguf
usage '--max-shard is for directories' "$LLMWS" convert llama3 -o x.gguf --max-shard 1G
usage 'name a directory' "$LLMWS" convert llama3 -o x.safetensors
usage "'q9' is not known; known: f32, f16" "$LLMWS" convert llama3 -o x.gguf --type q9
usage 'a directory holds f32, f16 or bf16' "$LLMWS" convert llama3 -o x --type q4_0
usage "'./llama3.gguf' is what is read" "$LLMWS" convert llama3.gguf -o ./llama3.gguf
usage "'./llama3/' is what is read" "$LLMWS" convert llama3 -o ./llama3/ --force
t 3 '' "llmws: cannot open 'nowhere': *" c nowhere -o x.gguf
t 1 '' "llmws: cannot write 'no/such/x.gguf': *No such file*" c llama3 -o no/such/x.gguf
mkdir full && echo mine >full/notes.txt && cp full/notes.txt full/adapter_model.safetensors && echo old >full/model.safetensors
t 1 '' "llmws: cannot write 'full': the directory is not empty; --force replaces its model" c llama3 -o full
t 0 '=old' '' cat full/model.safetensors
t 0 '*' '' c llama3 -o full --force --max-shard 100K
t 0 '=mine' '' cat full/notes.txt
t 0 '=mine' '' cat full/adapter_model.safetensors
gone full/model.safetensors
t 0 '' '' same llama3 full
# Of the old model nothing is left that would be read with the new one.
t 0 '*' '' c llama3 -o fresh
t 0 '*' '' c qwen3 -o over
mkdir over/additional_chat_templates
for f in tokenizer.model tekken.json vocab.json merges.txt special_tokens_map.json added_tokens.json chat_template.{jinja,json} \
    generation_config.json notes.txt additional_chat_templates/old.jinja; do echo old >"over/$f"; done
t 0 '*' '' c llama3 -o over --force
t 0 '=Only in over: notes.txt' '' bash -c 'diff -r fresh over; true'
# Where that fails half-way there is no model, neither the old one nor half of the new one, and what is new is kept.
stuck() { # FILE HEAD: a folder stands where the one is to be, the other is old
    mkdir -p "stuck/$1/x"
    echo old >"stuck/$2"
}
unstick() {
    rm -r stuck/*/
    mv .llmws-*.tmp/* stuck/ && rmdir .llmws-*.tmp
}
stuck model.safetensors config.json
t 1 '' "llmws: cannot move '*/model.safetensors' to 'stuck': *; 'stuck' is no model now: what is missing of the new one is in '*', move it there" c llama3 -o stuck --force
gone stuck/config.json
unstick
t 0 '' '' same llama3 stuck
rm -r stuck
stuck adapter_model.safetensors adapter_config.json
t 1 '' "llmws: cannot move '*/adapter_model.safetensors' to 'stuck': *" c llama3.lora.gguf -o stuck --base llama3 --force
gone stuck/adapter_config.json
unstick
t 0 '' '' diff -r llama3.lora stuck
none
mkdir empty
t 0 '*' '' c llama3 -o empty/
t 0 '' '' same llama3 empty
t 1 '' "llmws: cannot write 'llama3.gguf/': *" c llama3 -o llama3.gguf/
cp -r llama3 odd && sed -i 's/{1,3}/{1,4}/' odd/tokenizer.json
t 3 '' "llmws: cannot write the tokenizer of 'odd': * name one with --pre (*llama-bpe*)" c odd -o x.gguf
t 0 '*' '' c odd -o odd.gguf --pre llama-bpe
gone x.gguf

# A NaN in the embedding (its data are the last that end the file's first tensor): tensor, row and column.
nan() { # FILE OFFSET: from the end
    printf '\0\0\300\177' | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - $2)) conv=notrunc status=none
}
cp llama3.gguf nan.gguf && nan nan.gguf 256
t 3 '' "llmws: *tensor '*' has NaN in row *, column *" c nan.gguf -o x.gguf --type q8_0
t 3 '' "llmws: *tensor '*' has NaN in row *, column *" c nan.gguf -o x --type f32
gone x.gguf
gone x
t 0 '*' '' c nan.gguf -o nan2.gguf --allow-nan
t 0 '' '' same nan2.gguf nan.gguf
none

# A truncated file, and one that lies about its sizes.
head -c 300000 llama3.gguf >cut.gguf
t 3 '' "llmws: *cut.gguf*" c cut.gguf -o x.gguf
cp llama3.gguf lie.gguf && printf '\377\377\377\377' | dd of=lie.gguf bs=1 seek=8 conv=notrunc status=none
t 3 '' "llmws: *lie.gguf*" c lie.gguf -o x.gguf
gone x.gguf

# A disk that is full, a signal, and being killed: the old file stays, nothing half-written bears its name.
cp llama3.gguf old.gguf
t 1 '' "llmws: *old.gguf*" bash -c 'ulimit -f 100; trap "" XFSZ; exec "$0" convert qwen3 -o old.gguf' "$LLMWS"
t 0 '' '' cmp llama3.gguf old.gguf
t 1 '' "llmws: *" bash -c 'ulimit -f 100; trap "" XFSZ; exec "$0" convert qwen3 -o xdir' "$LLMWS"
gone xdir
none

# A model that takes a while and is mostly holes: zeros, of any size.
big() { # DIR ROWS
    local header='{"__metadata__":{"format":"pt"}' at=0 name rows n
    for name in embed_tokens=$2 layers.0.self_attn.{q,k,v,o}_proj=64 layers.0.mlp.{gate,up,down}_proj=64 \
        layers.0.{input,post_attention}_layernorm= norm=; do
        rows=${name#*=}
        n=$((${rows:-1} * 64 * 4))
        header+=",\"model.${name%=*}.weight\":{\"dtype\":\"F32\",\"shape\":[${rows:+$rows,}64],\"data_offsets\":[$at,$((at + n))]}"
        at=$((at + n))
    done
    header+='}'
    while ((${#header} % 8)); do header+=' '; done
    mkdir "$1"
    printf "\\x$(printf %02x $((${#header} & 255)))\\x$(printf %02x $((${#header} >> 8)))\\0\\0\\0\\0\\0\\0%s" "$header" >"$1/model.safetensors"
    truncate -s $((8 + ${#header} + at)) "$1/model.safetensors"
    echo "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":64,\"num_hidden_layers\":1,\"num_attention_heads\":4,\"vocab_size\":$2,\"tie_word_embeddings\":true}" >"$1/config.json"
}
big big 3000000
interrupt() { # SIGNAL OUT: sends it once the conversion has begun to write; its status
    "$LLMWS" convert big -o "$2" --type "${3:-q5_1}" -q -t 1 &
    local pid=$! i
    for ((i = 0; i < 2000; i++)); do
        [[ -z $(find "$T" -maxdepth 1 -name '.llmws-*') ]] || break
        sleep 0.01
    done
    kill -"$1" $pid
    wait $pid
}
t 130 '' '' interrupt INT big.gguf
gone big.gguf
none
t 143 '' '' interrupt TERM bigdir bf16
gone bigdir
none
cp llama3.gguf old.gguf
interrupt KILL old.gguf 2>err
t 0 '' '' cmp llama3.gguf old.gguf
find "$T" -maxdepth 1 -name '.llmws-*' -delete

# On a terminal it shows how far it is, and takes that away.
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    TERM=xterm timeout 100 script -qec "'$LLMWS' convert big -o big.gguf --type q5_1 -t 1" /dev/null </dev/null >out 2>&1
    LC_ALL=C grep -qaP '\rconverting \[#* *\] \d+ %, [\d.]+ \w+/s, \d+ s left\x1b\[K' out || bad "no progress: $(head -c 600 out | cat -v)"
    [[ $(<out) == *$'\r\e[Kbig.gguf: '* ]] || bad "the line is not taken away: $(tail -c 300 out | cat -v)"
    count=$((count + 2))
fi

# Memory does not grow with the model: 732 MiB of weights.
t 0 '*' '*memory?*' c big -o big.gguf --type q8_0 -v -t 2
peak=$(grep -oP 'peak=\K[0-9]+' err)
[[ -n ${LLMWS_EMULATOR-} ]] || ((peak < 128)) || nm "$LLMWS" | grep -q __asan_init || bad "peak memory $peak MiB"
count=$((count + 1))
finish
