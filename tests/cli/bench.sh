# bench: its two tests, their numbers, three forms of output, comparing. What the numbers are is the machine's affair; that they agree is not.
. "${BASH_SOURCE%/*}/cases.bash"
b() { "$LLMWS" bench "$@"; }
small=(-m "$M" -t 1 --prompt 24 --gen 8 --repeat 2)
teach=(-m "$M" -t 1 --train --prompt 16 --repeat 2)

t 0 '{"event":"bench","test":"prompt","n":24,"depth":0,"batch":1,"repeat":2,"tok_s":*{"event":"bench","test":"gen","n":8,*"roof_share":*' '' b "${small[@]}" --json
json_lines out
[[ $(wc -l <out) == 2 ]] || bad "two tests, not $(wc -l <out) lines"
for k in '"sd":' '"kv_bytes":' '"ttft_ms":' '"gflop_s":' '"weight_bytes":' '"gb_s":' '"read_gb_s":' '"threads":1' '"kv_type":"f16"' '"chunk":24'; do holds out "$k"; done
cp out before.json

value() { sed -n "s/.*\"test\":\"$2\".*\"$3\":\([0-9.e+-]*\).*/\1/p" "$1"; }
near() { # WHAT A B: equal but for rounding, of slow machines' figures to 3 decimals
    count=$((count + 1))
    awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(a > 0 && d < 0.01 * a + 0.0005 && d > -0.01 * a - 0.0005) }' || bad "$1: $2 is not $3"
}
# A tied embedding is the head and read whole; another one is only looked up.
weights() { # MODEL PATTERN-TO-LEAVE-OUT
    t 0 '*' '' "$LLMWS" inspect "$1" --tensors --json
    read_bytes=$(grep -v "$2" out | sed -n 's/.*"bytes":\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n }')
}
weights "$SRC/tests/data/llama2" embed_tokens
t 0 "*\"test\":\"gen\"*\"weight_bytes\":$read_bytes,*" '' b -m "$SRC/tests/data/llama2" --prompt 0 --gen 2 --repeat 1 --json
weights "$M" '^$'
[[ $(value before.json gen weight_bytes) == "$read_bytes" ]] || bad "weights of a token: not $read_bytes bytes"
kv_bytes() { # DEPTH N KV-TYPE ROW-BYTES: what a step of generation reads of the cache, in the mean
    t 0 '*' '' b -m "$M" -t 1 --depth "$1" --prompt 0 --gen "$2" --kv-type "$3" --repeat 1 --json
    [[ $(value out gen kv_bytes) == $(($4 * 2 * layers * ($1 + ($2 + 1) / 2))) ]] || bad "--depth $1 --gen $2 --kv-type $3 reads $(value out gen kv_bytes) bytes of keys and values"
}
t 0 '*' '' "$LLMWS" inspect "$M" --json
shape() { grep -oP "\"$1\":\K\d+" out | head -1; }
layers=$(shape layers) row=$(($(shape kv_heads) * $(shape head_dim)))
kv_bytes 0 8 f16 $((row * 2))
kv_bytes 30 9 f32 $((row * 4))
kv_bytes 7 2 q8_0 $((row / 32 * 34))
near 'GB/s' "$(value before.json gen gb_s)" "$(awk -v r="$(value before.json gen tok_s)" -v n="$((read_bytes + $(value before.json gen kv_bytes)))" 'BEGIN { print r * n * 1e-9 }')"
near 'time to first token' "$(value before.json prompt ttft_ms)" "$(awk -v r="$(value before.json prompt tok_s)" 'BEGIN { print 24000 / r }')"
share() { # SHARE RATE ROOF
    count=$((count + 1))
    awk -v s="$1" -v a="$2" -v b="$3" 'BEGIN { d = s - a / b; exit !(b > 0 && d < 0.0011 && d > -0.0011) }' || bad "$1 is not $2 of $3"
}
if grep -q '"isa":"avx' before.json; then # where the roof of products is known
    for k in peak_gflop_s f32_gflop_s bf16_gflop_s int8_gflop_s read_gb_s; do
        [[ $(grep -c "\"$k\":" before.json) == 2 ]] || bad "not every result has $k"
    done
    t 0 '*roofs of this run: reading * GB/s; GFLOP/s of f32 *, bf16 *, int8 *' '' b "${small[@]}" --prompt 0
    share "$(value before.json prompt roof_share)" "$(value before.json prompt gflop_s)" "$(value before.json prompt peak_gflop_s)"
fi
share "$(value before.json gen roof_share)" "$(value before.json gen gb_s)" "$(value before.json gen read_gb_s)"
t 0 '*"test":"prompt",*' '' b "${small[@]}" --isa ref --gen 0 --json
grep -q roof_share out && bad "plain C has no roof of products: $(cat out)"

t 0 '*tok/s*prompt *24 *0 *1 *±*first token after * ms*gen *8 *0 *1 *±*reads * GB/s*roofs of this run: *' '' b "${small[@]}"
t 0 'test,n,depth,batch,repeat,tok_s,*prompt,24,0,1,2,*gen,8,0,1,2,*' '' b "${small[@]}" --csv
awk -F, 'NR == 1 { n = NF } NF != n { exit 1 }' out || bad "CSV lines differ in their fields: $(cat out)"
t 0 '*"test":"prompt","n":24,"depth":40,"batch":3,*"test":"gen","n":8,"depth":40,"batch":3,*' '' b "${small[@]}" --depth 40 --batch 3 --chunk 16 --json
t 0 '{"event":"bench","test":"gen"*' '' b "${small[@]}" --prompt 0 --json
[[ $(wc -l <out) == 1 ]] || bad "--prompt 0 leaves the test out"
t 0 '{"event":"bench","test":"prompt"*"sd":0*' '' b "${small[@]}" --gen 0 --repeat 1 --json --kv-type f32 --compute f32
[[ $(wc -l <out) == 1 ]] || bad "--gen 0 leaves the test out"
t 0 '*' '*\[plan\]*total*' env LLMWS_MODEL="$M" "$LLMWS" bench --prompt 4 --gen 1 --repeat 1 -v

# Models without a file: every test has them, their name says so; what is no family, size or type names those that are.
syn=(--synthetic llama:1M -t 1 --prompt 8 --gen 2 --repeat 1 --json)
t 0 '{*"test":"prompt",*"model":"synthetic llama 1M","dtypes":"f32 5, q4_0 *"params":557696,*{*"test":"gen",*' '' b "${syn[@]}" --type q4_0
t 0 '*"dtypes":"f32 5, bf16 16",*"depth":0*' '' b "${syn[@]}"
t 0 '*"depth":20,"batch":2,*"dtypes":"f32 *, q8_0 *' '' b "${syn[@]}" --type Q8_0 --depth 20 --batch 2 -c 64
t 0 '*"test":"train",*"model":"synthetic qwen3 1M",*' '' b --synthetic qwen3:1M --type f32 --train -t 1 --prompt 8 --repeat 1 --precision fp32 --json
t 0 'test,*,"synthetic gemma3 1M"*' '' b --synthetic gemma3:1M --type q4_k_m -t 1 --prompt 4 --gen 0 --repeat 1 --csv
usage '--type goes with --synthetic' b -m "$M" --type q4_0
usage '--synthetic are both given' b -m "$M" --synthetic llama:1M
usage '--synthetic does not go with --ppl' b --synthetic llama:1M --ppl text
usage "'1Q' is no size of family 'qwen3'; known: 0.6B, *" b --synthetic qwen3:1Q
usage "'lama' is not supported" b --synthetic lama:1B
usage "'q9' is no type of weights; known: f32, *" b --synthetic llama:1M --type q9
usage 'such as llama:1B:q4_0' b --synthetic llama
t 4 '' "llmws: cannot make 'synthetic:llama:3000B:f32': *" b --synthetic llama:3000B --type f32
# The same model as a file, with the same values.
t 0 'random.gguf: *' '' "$LLMWS" convert synthetic:qwen3:2M:q4_k_m -o random.gguf
hash_of() { "$LLMWS" generate -m "$1" -p abc -n 6 --temp 0 --json -t 1 | sed -n 's/.*"ids":\(\[[^]]*\]\).*/\1/p'; }
[[ $(hash_of random.gguf) == "$(hash_of synthetic:qwen3:2M:q4_k_m)" && $(hash_of random.gguf) == *,* ]] || bad "a synthetic model is another one than its file: $(hash_of random.gguf)"
t 0 '*"dtypes":"f32 *q4_k *' '' b -m random.gguf -t 1 --prompt 2 --gen 0 --repeat 1 --json

# Training: whole updates, a test for each precision. Every product of a token is done three times.
t 0 '{"event":"bench","test":"train","n":16,"depth":0,"batch":2,"repeat":2,"tok_s":*"compute":"fp32",*{*"test":"train","n":16,*"compute":"bf16",*' '' b "${teach[@]}" --batch 2 --json
json_lines out
[[ $(wc -l <out) == 2 ]] || bad "two precisions, not $(wc -l <out) lines"
for k in '"sd":' '"gflop_s":' '"mem_bytes":' '"grad_checkpoint":false' '"threads":1'; do holds out "$k"; done
cp out two.json && sed -n '/fp32/p' out >train.json
per_token() { awk -v r="$(value "$1" "$2" tok_s)" -v g="$(value "$1" "$2" gflop_s)" 'BEGIN { print g / r }'; }
t 0 '*"test":"prompt","n":1,*' '' b "${small[@]}" --prompt 1 --gen 0 --json
near 'work of training' "$(per_token train.json train)" "$(awk -v g="$(per_token out prompt)" 'BEGIN { print 3 * g }')"
t 0 '*train *16 *0 *1 *±*bf16, * [KM]iB*' '*\[plan\] gradients*total*' b "${teach[@]}" --precision bf16 --grad-checkpoint -v
[[ $(grep -c ^train out) == 1 ]] || bad "--precision leaves one test"
t 0 'test,*train,16,0,1,2,*' '' b "${teach[@]}" --csv
awk -F, 'NR == 1 { n = NF } NF != n { exit 1 }' out || bad "CSV lines differ in their fields: $(cat out)"
usage '--precision goes with --train' "$LLMWS" bench -m "$M" --precision bf16
usage '--grad-checkpoint goes with --train' "$LLMWS" bench -m "$M" --grad-checkpoint
usage 'a --prompt of 2 tokens or more' "$LLMWS" bench -m "$M" --train --prompt 1

# Perplexity: of a random model about as large as its vocabulary; the same however the windows are cut into steps.
for i in {1..60}; do echo "The quick brown fox number $i jumps over the lazy dog, and the dog sleeps on."; done >text
ppl() { b -m "$M" --ppl text -c 64 -t 1 --compute f32 --kv-type f32 "$@"; }
t 0 '{"event":"bench","test":"ppl","n":*,"ppl":*,"ppl_error":*,"scored":*,"windows":*,"window":64,*}' '' ppl --json
json_lines out
figure() { sed -n "s/.*\"$1\":\([0-9.e+-]*\)[,}].*/\1/p" out; }
whole=$(figure ppl)
[[ $(figure scored) == $(($(figure windows) * 31)) && $(figure n) == $(($(figure windows) * 64)) ]] || bad "windows of 64 score 31 tokens each: $(cat out)"
awk -v p="$whole" -v n="$("$LLMWS" inspect "$M" --json | grep -oP '"vocab":\K\d+')" 'BEGIN { exit !(p > n / 4 && p < n * 4) }' || bad "perplexity of a random model: $whole"
t 0 "*\"ppl\":$whole,*" '' ppl --json --chunk 5
t 0 '-: *, * windows of 64; the second half of each is scored*perplexity *±*' '' bash -c '"$0" bench -m "$1" --ppl - -c 64 <text' "$LLMWS" "$M"
t 0 "*\"ppl\":$whole,*\"against_ppl\":$whole,*\"ppl_ratio\":1.0,*\"kl_mean\":*,\"kl_max\":*,\"same_top\":1.0,*" '' ppl --json --against "$M"
json_lines out
awk -v k="$(figure kl_max)" 'BEGIN { exit !(k < 1e-12) }' || bad "divergence of a model from itself: $(cat out)"
t 0 '*perplexity *reference *ratio *1.0*KL divergence *mean 0.000*same likeliest *' '' b -m "$M" --ppl text -c 64 --against "$M" --compute int8 --kv-type q8_0
t 3 '' "llmws: * have vocabularies of *" ppl --against "$SRC/tests/data/llama2"
t 3 '' "llmws: 'short': a text of * tokens is too short" bash -c 'echo >short; exec "$0" bench -m "$1" --ppl short' "$LLMWS" "$M"
t 1 '' "llmws: cannot open 'missing'*" b -m "$M" --ppl missing
for o in '--gen 4' '--depth 4' '-c 64' '--kv-type f32' '--compute f32' '--chunk 4' '--lora x'; do
    usage 'does not go with --train' b "${teach[@]}" $o
done
usage '--batch does not go with --ppl' b -m "$M" --ppl text --batch 2
usage '--train does not go with --ppl' b -m "$M" --ppl text --train
usage '--against goes with --ppl' "$LLMWS" bench -m "$M" --against "$M"
usage 'no columns for --ppl' "$LLMWS" bench -m "$M" --ppl text --csv
usage 'give -c 4 or more' "$LLMWS" bench -m "$M" --ppl text -c 2

usage 'both 0' "$LLMWS" bench -m "$M" --prompt 0 --gen 0
usage 'give one' "$LLMWS" bench -m "$M" --json --csv
usage 'a model is -m MODEL' "$LLMWS" bench "$M"
usage '--compare needs two files' "$LLMWS" bench --compare before.json
usage 'a step takes at most --chunk 2' "$LLMWS" bench -m "$M" --batch 3 --chunk 2
t 4 '' 'llmws: the tests do not fit: 24 tokens, -c 16 *' b "${small[@]}" -c 16

# Side by side.
sed 's/"tok_s":[0-9.e+]*,"sd":[0-9.e+-]*/"tok_s":200,"sd":1/' before.json >a.json
sed 's/"tok_s":[0-9.e+]*,"sd":[0-9.e+-]*/"tok_s":300,"sd":2/' before.json >b.json
sed 's/"tok_s":[0-9.e+]*,"sd":[0-9.e+-]*/"tok_s":201,"sd":9/' before.json >c.json
t 0 '*prompt *24 *200.0 ± 1.0 *300.0 ± 2.0 *1.500x faster*gen *1.500x faster *' '' b --compare a.json b.json
t 0 '*0.667x slower*' '' b --compare b.json a.json
t 0 '*1.005x *' '' b --compare a.json c.json
t 0 '{"event":"compare","test":"prompt","n":24,"depth":0,"batch":1,"compute_a":"*","compute_b":"*","model_a":"llama3","model_b":"llama3","tok_s_a":200*"tok_s_b":300*"ratio":1.5,"beyond_noise":true,"roof_share_*}*' '' b --compare a.json b.json --json
json_lines out
t 0 'test,*prompt,24,0,1,200.000,1.000,300.000,2.000,1.5000,faster,*,*,"*","*","llama3","llama3"*' '' b --compare a.json b.json --csv
t 0 '*1.500x faster  *llama3' '' b --compare a.json b.json
sed 's/"roof_share":[0-9.]*/"roof_share":0.25/' a.json >half.json
sed 's/"roof_share":[0-9.]*,//' b.json >none.json
t 0 '*1.500x faster *25 % *- *' '' b --compare half.json none.json
t 0 '*,faster,0.250,,"*' '' b --compare half.json none.json --csv
# Which arithmetic and which model a row is of; those that are the same meet, whatever their order.
sed 's/"tok_s":[0-9.e+]*,/"tok_s":100,/; /"compute":"bf16"/s/"tok_s":100,/"tok_s":200,/' two.json >train_a.json
tac train_a.json >train_b.json
for k in train_b another; do
    sed 's/"model":"llama3"/"model":"o,t\\"her"/' train_b.json >another.json
    t 0 '*' '' b --compare train_a.json $k.json
    [[ $(grep -c '1.000x .* fp32\|1.000x .* bf16' out) == 2 ]] || bad "rows that are no pair: $(cat out)"
    t 0 '*,"fp32","fp32","llama3",*,"bf16","bf16","llama3",*' '' b --compare train_a.json $k.json --csv
done
holds out '"o,t""her"'
sed -n '/"compute":"bf16"/p' train_b.json >only.json
t 0 '{*"compute_a":"fp32","compute_b":"bf16",*"ratio":2.0,*}' '' b --compare <(sed -n /fp32/p train_a.json) only.json --json
sed 's/"n":/"n":1/' a.json >other.json
echo '{"event":"done"}' >none.json
printf '{"event":"bench","test":"gen","tok_s":"fast"}\n' >bad.json
t 3 '' "llmws: cannot compare 'a.json' with 'other.json': no test is in both" b --compare a.json other.json
t 3 '' "llmws: cannot compare 'none.json': it holds no result*" b --compare none.json a.json
t 3 '' "llmws: 'bad.json' line 1*" b --compare a.json bad.json
t 1 '' "llmws: cannot open 'missing.json'*" b --compare a.json missing.json
finish
