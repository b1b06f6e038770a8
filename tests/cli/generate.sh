# generate: tokens, prompts, sampling options, events, stop reasons.
. "${BASH_SOURCE%/*}/cases.bash"
g() { "$LLMWS" generate "$@"; }

# Greedy tokens of transformers in float32 (tests/data/expected): "short" of llama3 and llama2.
ids3=27,81,8,74,52,186,63,275,9,230,301,114,333,198,257,66,169,131,171,269,316,156,289,142,93,196,304,181,138,126,68,310,323,235,35,23,292,150,280,17,115,157,263,236,316,131,147,209
ids2=268,51,358,117,276,321,88,194,194,331,64,60,378,163,233,399,49,36,335,285,393,67,159,60,194,251,13,216,323,290,383,193,313,322,157,239,256,399,277,20,283,99,387,149,54,101,16,398
exact=(--temp 0 --compute f32 --kv-type f32)
greedy3='173,300,119,40,332,5,79,300,173,173,173,90,90,90,90,90'
t 0 "*\"event\":\"done\"*\"ids\":\[$greedy3\],\"prompt_tokens\":48,\"completion_tokens\":16,\"stop_reason\":\"length\"*" '' \
    g -m "$M" --ids "$ids3" -n 16 --ignore-eos "${exact[@]}" --json
json_lines out
[[ $(wc -l <out) == 17 ]] || bad "16 token events and done, not $(wc -l <out) lines"
for k in text prompt_tok_s decode_tok_s ttft_ms; do holds out "\"$k\":"; done
[[ $(grep -c '^{"event":"token","id":[0-9]*,"text":".*","logprob":-[0-9.e-]*}$' out) == 16 ]] || bad "token events: $(head -n 1 out)"
# Without a tokenizer the answer is its ids; with SentencePiece's, text.
mkdir bare && cp "$SRC/tests/data/llama2/"{config.json,model.safetensors} bare
t 0 '=162 176 263 200 173 340 208 336 285 361 173 377 150 164 296 123' '' g -m bare --ids "$ids2" -n 16 "${exact[@]}"
t 0 '*"ids":\[162,176,263,200,173,340,208,336,285,361,173,377,150,164,296,123\],*' '' \
    g -m "$SRC/tests/data/llama2" --ids "$ids2" -n 16 "${exact[@]}" --json
for more in '-t 1' '-t 2 --chunk 7' '--chunk 1' '-c 64' '--raw'; do
    t 0 "*\"ids\":\[$greedy3\],*" '' g -m "$M" --ids "$ids3" -n 16 --ignore-eos "${exact[@]}" --json $more
done

# The same seed gives the same text; another seed, another one.
t 0 '*' '' g -m "$M" -p 'Hello, world' -n 40 --temp 1.5 --top-k 0 --top-p 1 --min-p 0 --seed 11 --ignore-eos
a=$(cat out)
t 0 "=$a" '' g -m "$M" -p 'Hello, world' -n 40 --temperature=1.5 --top_k 0 --top_p 1 --min_p 0 --seed=11 --ignore_eos -t 1
t 0 '*' '' g -m "$M" -p 'Hello, world' -n 40 --temp 1.5 --top-k 0 --top-p 1 --min-p 0 --seed 12 --ignore-eos
[[ $(cat out) != "$a" ]] || bad "seed 12 gives the text of seed 11"
iconv -f UTF-8 -t UTF-8 out >/dev/null || bad "the answer is not UTF-8"

# Ways to give a prompt, all the same answer.
t 0 '*' '' g -m "$M" -p 'Hello, world' -n 8 --temp 0 --ignore-eos
a=$(cat out)
printf 'Hello, world' >prompt
printf ', world' >rest
t 0 "=$a" '' g -m "$M" -f prompt -n 8 --temp 0 --ignore-eos
t 0 "=$a" '' g -m "$M" -n8 --temp 0 --ignore-eos <prompt
t 0 "=$a" '' g -m "$M" -f - -n8 --temp 0 --ignore-eos <prompt
t 0 "=$a" '' g -m "$M" -p Hello -f rest -n 8 --temp 0 --ignore-eos
t 0 "=$a" '' g -m "$M" -f <(cat prompt) -n 8 --temp 0 --ignore-eos
t 0 "=$a" '' env LLMWS_MODEL="$M" "$LLMWS" generate -p 'Hello, world' -n 8 --temp 0 --ignore-eos
t 0 "=Hello, world$a" '' g -m "$M" -p 'Hello, world' -n 8 --temp 0 --ignore-eos --echo
t 0 '*"event":"prompt","text":"Hello, world","ids":*' '' g -m "$M" -p 'Hello, world' -n 1 --temp 0 --echo --json
json_lines out
t 0 '' '' g -m "$M" -p a -n 0
usage 'one or the other' "$LLMWS" generate -m "$M" -p a --ids 1
usage 'holds none' "$LLMWS" generate -m "$M" --ids ,
usage 'token ids' "$LLMWS" generate -m "$M" --ids 1,x
usage 'standard input is empty' "$LLMWS" generate -m "$M"
usage 'token id 384: the vocabulary ends at 383' "$LLMWS" generate -m "$M" --ids 1,384
t 1 '' "llmws: cannot open 'missing'*" g -m "$M" -f missing
t 1 '' "llmws: cannot read '.'*" g -m "$M" -f .

# Every way to cache keys and values gives a text, the same on any threads and chunks.
for k in f16 bf16 q8_0; do
    t 0 '*"completion_tokens":16,*' '' g -m "$M" --ids "$ids3" -n 16 --ignore-eos --temp 0 --kv-type $k --json
    ids=$(grep -oP '"ids":\[\K[0-9,]+' out | tail -n 1)
    t 0 "*\"ids\":\[$ids\],*" '' g -m "$M" --ids "$ids3" -n 16 --ignore-eos --temp 0 --kv-type $k -t 1 --chunk 2 --json
done

# Sampling options change what is drawn.
t 0 '*"ids":\[7,7,7\]*' '' g -m "$M" -p Hello -n 3 --temp 0 --logit-bias 7=100 --json
t 0 '*"ids":\[7,7,7\]*' '' g -m "$M" -p Hello -n 3 --logit-bias 7+100 --logit-bias 8-3 --json
t 0 '*"ids":\[173\],*' '' g -m "$M" --ids "$ids3" -n 1 "${exact[@]}" --json
t 0 '*"completion_tokens":1,*' '' g -m "$M" --ids "$ids3" -n 1 "${exact[@]}" --logit-bias 173=-inf --json
holds out '"event":"done"'
grep -q '"id":173,' out && bad "a forbidden token was drawn"
t 0 '*' '' g -m "$M" --ids "$ids3" -n 16 --ignore-eos "${exact[@]}" --repeat-penalty 10 --repeat-last-n -1 --json
grep -qF "[$greedy3]" out && bad "--repeat-penalty changes nothing"
for o in --top-k=1 --top-p=0.000001 --min-p=1; do
    t 0 "*\"ids\":\[$greedy3\],*" '' g -m "$M" --ids "$ids3" -n 16 --ignore-eos --temp 2 --compute f32 --kv-type f32 $o --json
done
sampled() { g -m "$M" -p 'Hello, world' -n 40 --temp 1.5 --top-k 0 --top-p 1 --min-p 0 --seed 11 --ignore-eos "$@"; }
plain=$(sampled)
for o in '--typical 0.3' '--top-n-sigma 1' '--xtc-probability 1 --xtc-threshold 0.01' '--samplers penalties;dry'; do
    t 0 '*' '' sampled $o
    [[ $(cat out) != "$plain" ]] || bad "$o changes nothing"
    t 0 "=$(cat out)" '' sampled $o -t 1
done
for o in '--typical-p=1' '--top-nsigma -1' '--xtc-probability 0 --xtc-threshold 0' '--dry-multiplier 0 --dry-base 3' \
    '--samplers penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature' '--samplers=temp,top-k'; do
    t 0 "=$plain" '' sampled $o
done
# A greedy loop: DRY ends it, unless every token in it ends a repeat.
same=$(printf '40,%.0s' {1..23})40
loop=(-m "$M" -p a -n 24 --temp 0 --logit-bias 40=30 --ignore-eos --json)
t 0 "*\"ids\":\[$same\]*" '' g "${loop[@]}"
t 0 '*"ids":\[40,*' '' g "${loop[@]}" --dry-multiplier 5
grep -qF "[$same]" out && bad "--dry-multiplier does not end a loop"
piece=$("$LLMWS" inspect "$M" --detokenize 40)
t 0 "*\"ids\":\[$same\]*" '' g "${loop[@]}" --dry-multiplier 5 --dry-sequence-breaker "$piece"
t 0 '*' '*no token holds it*' g -m "$M" -p a -n 1 --dry-multiplier 1 --dry-sequence-breaker 'no such words' -v
usage "unknown name 'bogus'" "$LLMWS" generate -m "$M" -p a --samplers 'top_k;bogus'
usage 'must be ID=V' "$LLMWS" generate -m "$M" -p a --logit-bias 7
usage 'from 0 to 383' "$LLMWS" generate -m "$M" -p a --logit-bias 384=1

# What ends an answer. Tokens 337 and 340 end one here.
t 0 '*"text":"","ids":\[\],*"completion_tokens":0,"stop_reason":"eos"*' '' g -m "$M" -p a -n 5 --temp 0 --logit-bias 340=1000 --json
t 0 '*"completion_tokens":5,"stop_reason":"length"*' '' g -m "$M" -p a -n 5 --temp 0 --logit-bias 9=1000 --logit-bias 340=1 --json
t 0 '*"completion_tokens":15,"stop_reason":"context"*' '' g -m "$M" --ids 1,2 -c 16 --temp 0 --ignore-eos --json
t 0 '*"prompt_tokens":16,"completion_tokens":1,"stop_reason":"context"*' '' g -m "$M" --ids 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 -c 16 --temp 0 --ignore-eos --json
t 4 '' 'llmws: *48*16*' g -m "$M" --ids "$ids3" -c 16
[[ $(wc -l <err) == 1 ]] || bad "not one line: $(cat err)"

# -v says what is in force, on stderr only.
t 0 '*' '*\[plan\]*total*\[sampling\] flag: temp 0*\[sampling\] built in: top-k 40, *\[sampling\] seed 5 (flag)*\[memory\] generate: before=*MiB after=*MiB peak=*MiB*\[time\]*' \
    g -m "$M" -p a -n 4 --temp 0 --seed 5 -v
t 0 '*' '' g -m "$M" -p a -n 4 --temp 0 -q
cp -r "$M" set && chmod -R u+w set
echo '{"temperature":0.25,"top_k":3,"min_p":7}' >set/generation_config.json
t 0 '*' "*min_p*out of range*flag: temp 0.5, dry-base 2*generation_config.json: top-k 3*built in: top-p 0.95, min-p 0.05,*penalties;dry;*;temperature*" \
    g -m set -p a -n 1 --temp 0.5 --dry-base 2 -v

# Stop texts: not printed, nor what follows; held back only as long as needed.
t 0 '*' '' g -m "$M" -p 'Hello, world' -n 30 --seed 3 --ignore-eos
text=$(tr -d '\0' <out)
at=$((${#text} / 2))
for n in 1 2 5; do
    stop=${text:at:n}
    t 0 "=${text%%"$stop"*}" '' g -m "$M" -p 'Hello, world' -n 30 --seed 3 --ignore-eos --stop 'never said' --stop "$stop"
    t 0 '*"stop_reason":"stop"*' '' g -m "$M" -p 'Hello, world' -n 30 --seed 3 --ignore-eos --json --stop "$stop"
    json_lines out
done
t 0 "=$text" '' g -m "$M" -p 'Hello, world' -n 30 --seed 3 --ignore-eos --stop "${text: -1}never said"
t 0 "=${text%"${text: -3}"}" '' g -m "$M" -p 'Hello, world' -n 30 --seed 3 --ignore-eos --stop "${text: -3}"
usage 'at least one character' "$LLMWS" generate -m "$M" -p a --stop ''
usage 'at least one character' "$LLMWS" generate -m "$M" -p a --stop $'\xff'

# Alternatives: the likeliest first; greedy takes the first of them.
t 0 '*' '' g -m "$M" --ids "$ids3" -n 4 --ignore-eos "${exact[@]}" --logprobs 3 --json
json_lines out
[[ $(grep -cP '^{"event":"token","id":(\d+),"text":".*","logprob":(-[0-9.e-]+),"top_logprobs":\[{"id":\1,"text":".*","logprob":\2}(,{"id":\d+,"text":"[^"]*","logprob":-[0-9.e-]+}){2}\]}$' out) == 4 ]] ||
    bad "alternatives: $(head -n 1 out)"
t 0 '*' '' g -m "$M" -p a -n 1 --ignore-eos --logprobs 1000 --json
[[ $(head -n 1 out | grep -o '"id":' | wc -l) == 385 ]] || bad "not the whole vocabulary: $(head -c 200 out)"
usage 'give --json' "$LLMWS" generate -m "$M" -p a --logprobs 2

# --prompt-cache: the same tokens cold and from the file, from a longer and from a shorter one; damage is told, then replaced.
c() { g -m "$M" -n 16 --ignore-eos "${exact[@]}" --json --prompt-cache kv "$@"; }
t 0 "*\"ids\":\[$greedy3\],*\"cached_tokens\":0}" '' c --ids "$ids3"
[[ -s kv ]] || bad "no prompt cache was written"
cp kv cold
for more in '' '-t 1' '--chunk 7' '-c 64'; do
    t 0 "*\"ids\":\[$greedy3\],*\"cached_tokens\":47}" '' c --ids "$ids3" $more
    cmp -s kv cold || bad "a cache that holds just the prompt was written again"
done
t 0 '*"cached_tokens":48}' '' c --ids "$ids3,7,8,9"
t 0 "*\"ids\":\[$greedy3\],*\"cached_tokens\":47}" '' c --ids "$ids3" # of the longer one
t 0 '*"cached_tokens":48}' '' c --ids "$ids3,7,8,9"
long=$(grep -o '"ids":\[[^]]*\]' out)
t 0 '*' '' g -m "$M" -n 16 --ignore-eos "${exact[@]}" --json --ids "$ids3,7,8,9"
holds out "$long"
t 0 '*"cached_tokens":2}' '' c --ids "${ids3%%,8,*},5"
t 0 '*"cached_tokens":0}' '' c --ids "4,$ids3"
cp cold kv
for damage in 'truncate -s 100' 'truncate -s -1' 'truncate -s 0' "sed -i s/L/M/" "cp -f $M/config.json"; do
    $damage kv
    t 0 "*\"ids\":\[$greedy3\],*\"cached_tokens\":0}" '*prompt cache is not used and will be replaced*' c --ids "$ids3" -v
    [[ $(grep -c 'prompt cache' err) == 1 ]] || bad "not one line of warning: $(cat err)"
    cmp -s kv cold || bad "the damaged cache was not replaced after $damage"
done
t 0 '*"cached_tokens":0}' '*made with other weights*' c --ids "$ids2" -m "$SRC/tests/data/llama2" -v
t 0 "*\"ids\":\[$greedy3\],*\"cached_tokens\":0}" '*made with other weights*' c --ids "$ids3" -v
t 0 '*"cached_tokens":0}' '*holds 48 tokens, the context is 16*' c --ids 1,2 -c 16 -v
t 1 '' 'llmws: saving the prompt cache: *' g -m "$M" -p a -n 1 --prompt-cache no/such/folder/kv
[[ $(wc -l <err) == 1 ]] || bad "not one line: $(cat err)"

# Values kept while generating are those of one pass over the same ids; changed values change what is generated.
gen=("$LLMWS" generate -m "$M" --ids 1,2,3,4,5 -n 6 --temp 0 --ignore-eos -t 1)
t 0 '*"event":"done"*' '' "${gen[@]}" --json
plain=$(grep -oP '"done".*"ids":\[\K[0-9,]+' out)
t 0 '*' '' "${gen[@]}" --capture 'model.layers.{0,2}.mlp' --capture lm_head -o gen.st --chunk 2 --json
[[ $(grep -oP '"done".*"ids":\[\K[0-9,]+' out) == "$plain" ]] || bad "looking changes the answer"
t 0 '*' '' "$LLMWS" inspect "$M" --ids "1,2,3,4,5,${plain%,*}" --capture 'model.layers.{0,2}.mlp' --capture lm_head -o pass.st
cmp -s gen.st pass.st || bad "generate captures other values than inspect"
t 0 '*' '' "${gen[@]}" --json --intervene 'model.layers.2.mlp = 0'
[[ $(grep -oP '"done".*"ids":\[\K[0-9,]+' out) != "$plain" ]] || bad "without the last feed-forward the answer is the same"
t 0 '*' '' "${gen[@]}" --json --intervene 'model.layers.2.mlp = 0 @ 400..401' --intervene 'model.layers.1 *= 1'
[[ $(grep -oP '"done".*"ids":\[\K[0-9,]+' out) == "$plain" ]] || bad "rules that change nothing here change the answer"
t 0 '*' '*\[memory\] load: before=*MiB after=*MiB peak=*MiB*\[plan\] capture *4.00 KiB*\[memory\] generate: before=*' "${gen[@]}" -v --capture lm_head --capture-buffer 4K -o v.st
usage '--capture needs a file' "${gen[@]}" --capture lm_head
usage '-o is where --capture writes' "${gen[@]}" -o x
usage 'leave --prompt-cache out' "${gen[@]}" --capture lm_head -o x --prompt-cache c
usage "no value is named 'no.such'" "${gen[@]}" --intervene 'no.such = 0'
usage 'a rule is' "${gen[@]}" --intervene 'lm_head ^ 2'
# A grammar bounds the answer and ends it; the seed decides what is drawn, cold or from a cache, with any number of threads.
printf 'root ::= "yes" | "no" # either\n' >yn.gbnf
for s in 1 2 3 4; do
    t 0 '@(yes|no)' '' g -m "$M" -p 'Hello' --temp 2 --seed $s --grammar yn.gbnf
    t 0 "=$(cat out)" '' g -m "$M" -p 'Hello' --temp 2 --seed $s --grammar-file - -t 1 --chunk 1 <yn.gbnf
done
t 0 '*"text":"@(yes|no)",*"stop_reason":"eos"*' '' g -m "$M" -p 'Hello' --temp 0 --grammar yn.gbnf --json --logprobs 500
json_lines out
[[ $(head -n 1 out | grep -o '"id":' | wc -l) -lt 8 ]] || bad "more alternatives than the grammar has: $(head -n 1 out)"
schema='{"type":"object","properties":{"n":{"type":"integer","minimum":3,"maximum":40},"s":{"type":"string","maxLength":5}},"required":["n","s"]}'
printf '%s' "$schema" >schema.json
for s in 1 2 3; do
    t 0 '*' '' g -m "$M" -p 'Hello' --temp 1.5 --seed $s --json-schema schema.json
    grep -qzP '^\{\s*"n": ?([3-9]|[1-3]\d|40),\s*"s": ?"([^"\\]|\\["\\/bfnrt]|(\\u[0-9a-fA-F]{4}){1,2}){0,5}"\s*\}$' out || bad "not of the schema: $(cat out)"
    a=$(cat out)
    t 0 "=$a" '' g -m "$M" -p 'Hello' --temp 1.5 --seed $s --json-schema "$schema"
    t 0 "=$a" '*\[grammar\] tables of*' g -m "$M" -p 'Hello' --temp 1.5 --seed $s --json-schema - -v <schema.json
done
t 0 '*"completion_tokens":2,"stop_reason":"length"*' '' g -m "$M" -p 'Hello' --temp 0 --json-schema "$schema" -n 2 --json
usage 'follows one of them' "$LLMWS" generate -m "$M" -p a --grammar yn.gbnf --json-schema schema.json
usage 'ends where' "$LLMWS" generate -m "$M" -p a --grammar yn.gbnf --ignore-eos
t 3 '' "llmws: '--json-schema': schema: '#/not': this keyword is not supported" g -m "$M" -p a --json-schema '{"not":{}}'
printf 'root ::= "a"\nb = 1\n' >bad.gbnf
t 3 '' "llmws: 'bad.gbnf': grammar, line 2, column 3: expected ::= after the name of a rule" g -m "$M" -p a --grammar bad.gbnf
t 1 '' "llmws: cannot open 'none.gbnf'*" g -m "$M" -p a --grammar none.gbnf
t 1 '' 'llmws: *every token is forbidden*' g -m "$M" -p a --grammar <(echo 'root ::= "a"') --logit-bias "$("$LLMWS" inspect "$M" --tokenize a --json | grep -oP '\d+(?=\],"offsets)')=-inf"
finish
