# generate --batch: every line gives what it gives alone, at its place; bad lines, streams, signals.
. "${BASH_SOURCE%/*}/cases.bash"
g() { "$LLMWS" generate -m "$M" "$@"; }
b() { # LINES OPTION...: what --batch gives for printf's LINES
    printf "$1" | "$LLMWS" generate -m "$M" --batch - "${@:2}"
}
untimed() { sed -E 's/"(prompt_tok_s|decode_tok_s|ttft_ms)":[^,}]*/"\1":0/g' "$@"; }
alone() { # LINE-NUMBER OPTION...: that line of ./batch has the done event of generate with these options
    local want got
    count=$((count + 1))
    want=$(g "${@:2}" --json 2>&1 | tail -n 1 | untimed)
    got=$(sed -n "$1p" batch | untimed | sed -E 's/,"id":[^,]*,"line":[0-9]+//; s/,"tokens":\[.*\](,"prompt_tokens")/\1/')
    [[ $want == "$got" ]] || bad "line $1 gives $got; alone it gives $want"
}

# Each kind of line, together.
cat >in.jsonl <<'JSONL'
{"id":"one","prompt":"Hello, world","max_tokens":20,"seed":11,"temp":1.5,"top_k":0,"ignore_eos":true}
{"id":2,"messages":[{"role":"user","content":"Hello"}],"max-tokens":12,"seed":3,"ignore-eos":true}
{"id":"3","ids":[27,81,8,74,52,186,63,275],"n_predict":5,"temperature":0,"logprobs":2}

{"id":"vier","prompt":"Hello, world","seed":4,"max_tokens":30,"stop":["e","t"],"ignore_eos":true}
{"prompt":"Hello","grammar":"root ::= \"yes\" | \"no\"","seed":5}
{"id":6.5,"prompt":"Hello","grammar":"root ::= \"yes\" | \"no\"","seed":6,"stop":null}
{"id":"7","prompt":"Hello","json_schema":{"type":"integer","minimum":3,"maximum":40},"seed":7,"temp":2}
{"id":"8","prompt":"a","max_tokens":3,"temp":0,"logit_bias":{"7":100}}
{"id":"9","prompt":"a","max_tokens":3,"temp":0,"logit_bias":["7=-100","8=100"]}
{"id":"10","messages":[{"role":"system","content":"Be short"},{"role":"user","content":"Hello"}],"max_tokens":4,"temp":0}
{"id":"11","prompt":"a","max_tokens":0}
JSONL
long=$(printf '7,8,9,10,11,12,13,14,%.0s' {1..40})5
echo "{\"id\":\"12\",\"ids\":[$long],\"max_tokens\":3,\"temp\":0}" >>in.jsonl
t 0 '*' '' g --batch in.jsonl
json_lines out
cp out batch
count=$((count + 1))
[[ $(grep -oP '^{"event":"done","id":\K[^,]*,"line":\d+' batch | tr -d '\n') == '"one","line":12,"line":2"3","line":3"vier","line":5null,"line":66.5,"line":7"7","line":8"8","line":9"9","line":10"10","line":11"11","line":12"12","line":13' ]] ||
    bad "ids and lines: $(cut -c1-60 batch)"
alone 1 -p 'Hello, world' -n 20 --seed 11 --temp 1.5 --top-k 0 --ignore-eos
alone 2 --chat -p Hello -n 12 --seed 3 --ignore-eos
alone 3 --ids 27,81,8,74,52,186,63,275 -n 5 --temp 0
alone 4 -p 'Hello, world' --seed 4 -n 30 --stop e --stop t --ignore-eos
alone 5 -p Hello --grammar 'root ::= "yes" | "no"' --seed 5
alone 6 -p Hello --grammar 'root ::= "yes" | "no"' --seed 6
alone 7 -p Hello --json-schema '{"type":"integer","minimum":3,"maximum":40}' --seed 7 --temp 2
alone 8 -p a -n 3 --temp 0 --logit-bias 7=100
alone 9 -p a -n 3 --temp 0 --logit-bias 7=-100 --logit-bias 8=100
alone 10 --chat --system 'Be short' -p Hello -n 4 --temp 0
alone 11 -p a -n 0
alone 12 --ids "$long" -n 3 --temp 0
count=$((count + 1))
tokens=$(g --ids 27,81,8,74,52,186,63,275 -n 5 --temp 0 --logprobs 2 --json | sed -n 's/^{"event":"token",/{/p' | paste -sd,)
[[ $(sed -n 's/.*"tokens":\(\[.*\]\),"prompt_tokens".*/\1/p' batch) == "[$tokens]" ]] || bad "tokens of a line: $(sed -n 3p batch)"

# The same for any number at once, threads and chunks, and in another order.
untimed batch >same
for more in '--parallel 1' '--parallel 2' '--parallel 5 -t 1' '--parallel 3 --chunk 1' '--chunk 7' '--json'; do
    t 0 '*' '' g --batch in.jsonl $more
    untimed out | cmp -s - same || bad "$more gives $(untimed out | diff - same | head -n 2)"
done
tac in.jsonl >reversed
t 0 '*' '' g --batch reversed --parallel 4
untimed out | sed -E 's/"line":[0-9]+,//' | tac | cmp -s - <(sed -E 's/"line":[0-9]+,//' same) || bad "another order, other answers: $(cut -c1-200 out)"

# What the command line says holds for lines that say nothing else.
t 0 '*"text":"@(yes|no)"*"text":"@(yes|no)"*"text":"(((",*' '' b '{"prompt":"a"}\n{"prompt":"b","seed":2}\n{"prompt":"a","grammar":"root ::= \\"(((\\""}' \
    --grammar 'root ::= "yes" | "no"' --seed 9
t 0 '*"ids":\[7,7\],*"ids":\[8,8,8\]*' '' b '{"prompt":"a","max_tokens":2}\n{"prompt":"a","logit_bias":"8=99","ignore_eos":false}\n' --logit-bias 7=99 -n 3 --temp 0 --ignore-eos
t 0 '*' '' b '{"messages":[{"role":"user","content":"Hello"}]}\n{"prompt":"Hello"}\n{"prompt":"Hello","system":"@x"}' --chat --system 'Be short' -n 4 --temp 0
cp out batch
for line in 1 2; do alone $line --chat --system 'Be short' -p Hello -n 4 --temp 0; done
alone 3 --chat --system '@'<(printf @x) -p Hello -n 4 --temp 0

# Forms of input: a mark before the first line, ends of lines, no end of the last.
t 0 '*"line":1,*"line":3,*' '' b '\xef\xbb\xbf{"prompt":"a"}\r\n \t\r\n{"prompt":"b"}' -n 1
t 0 '' '' b ''
t 0 '' '' b '\n\n'
t 1 '' "llmws: cannot open 'missing.jsonl'*" g --batch missing.jsonl
t 1 '' "llmws: cannot read '.'*" g --batch .

# A bad line is told at its place; the others run.
b() { printf '{"prompt":"a"}\n%s\n{"prompt":"a"}\n' "$line" | "$LLMWS" generate -m "$M" --batch - -n 1 "$@"; }
bad_line() { # PART LINE OPTION...
    local line=$2
    t 3 "*\"line\":1,\"text\"*{\"event\":\"error\",\"id\":*,\"line\":2,\"error\":\"*$1*\"}"$'\n''*"line":3,"text"*' \
        "llmws: 'standard input': 1 of 3 lines were not answered, the first is line 2;*" b "${@:3}"
    [[ $(wc -l <err) == 1 ]] || bad "not one line: $(cat err)"
    json_lines out
}
bad_line 'invalid JSON at byte' '{bad'
bad_line 'not an object' '[1]'
bad_line 'no prompt: *prompt*messages*ids' '{"id":7}'
holds out '{"event":"error","id":7,"line":2,'
bad_line 'two of' '{"prompt":"a","ids":[1],"id":"x\ny"}'
holds out '"id":"x\ny","line":2,'
bad_line "unknown key 'tmep' (did you mean 'temp'?)" '{"prompt":"a","tmep":1}'
bad_line "key 'temp' must be a number" '{"prompt":"a","temp":"1"}'
bad_line "key 'top-k' must be a whole number" '{"prompt":"a","top_k":1.5}'
bad_line "key 'prompt' must be a string" '{"prompt":["a"]}'
bad_line "key 'ignore-eos' must be true or false" '{"prompt":"a","ignore_eos":1}'
bad_line "key 'messages' must be a list" '{"messages":"a"}'
bad_line "key 'stop' must be a string or a list of strings" '{"prompt":"a","stop":{"a":1}}'
bad_line "key 'stop' must be a string or a list of strings" '{"prompt":"a","stop":["a",1]}'
bad_line "key 'id' must be a string or a number" '{"prompt":"a","id":[1]}'
bad_line "key 'ids' must be a list of token ids" '{"ids":[1,-1]}'
bad_line "key 'ids' holds none" '{"ids":[]}'
bad_line 'token id 384: the vocabulary ends at 383' '{"ids":[384]}'
bad_line 'must be a number from 0 to 1000' '{"prompt":"a","temp":-1}'
bad_line 'at least one character' '{"prompt":"a","stop":""}'
bad_line "unknown key 'threads'" '{"prompt":"a","threads":1}'
bad_line 'stands twice' '{"prompt":"a","prompt":"b"}'
bad_line 'the prompt does not fit: 6 tokens, the context holds 5' '{"ids":[1,2,3,4,5,6]}' -c 5
bad_line 'system text goes through the chat template' '{"prompt":"a","system":"b"}'
bad_line "key 'tools' goes with 'messages'" '{"prompt":"a","tools":[]}'
bad_line 'grammar, line 1' '{"prompt":"a","grammar":"root ::= ("}'
bad_line "no rule 'root ::=" '{"prompt":"a","grammar":"g.gbnf"}'
bad_line 'the schema itself, an object' '{"prompt":"a","json_schema":"s.json"}'
bad_line 'this keyword is not supported' '{"prompt":"a","json_schema":{"not":{}}}'
bad_line 'every token is forbidden' "{\"prompt\":\"a\",\"grammar\":\"root ::= \\\"a\\\"\",\"logit_bias\":{\"$("$LLMWS" inspect "$M" --tokenize a --json | grep -oP '\d+(?=\],"offsets)')\":\"-inf\"}}"
for o in '-p a' '-f x' '--ids 1' --echo '--prompt-cache x' '--capture lm_head -o x'; do usage 'leave --' g --batch in.jsonl $o; done
usage 'must be a whole number from 1' g --batch in.jsonl --parallel 0
usage 'WHERE must be all, or positions' g --batch in.jsonl --intervene 'model.layers.1 = 0 @ last'
t 0 '*' '' g --batch in.jsonl --intervene 'model.layers.2.mlp = 0'
cp out batch
alone 3 --ids 27,81,8,74,52,186,63,275 -n 5 --temp 0 --intervene 'model.layers.2.mlp = 0'

# Prompts that begin alike are computed once: 13 lines, one of them first, with the others' own ends.
for ((i = 0; i < 13; i++)); do echo "{\"ids\":[${long},$i,$((i * 7))],\"max_tokens\":2,\"seed\":$i}"; done >alike.jsonl
t 0 '*' '*\[time\] 13 lines in *: prompts 347 tokens, answers 26 tokens*' g --batch alike.jsonl -v --parallel 4 --ignore-eos
cp out batch
alone 1 --ids "$long,0,0" -n 2 --seed 0 --ignore-eos
alone 13 --ids "$long,12,84" -n 2 --seed 12 --ignore-eos

# Positions that depend on a sequence's length: prompts beyond the limit, answers that cross it, beginnings that are shared.
far=$SRC/tests/data/phi3_longrope
for n in 3 60 90 95 96 97 110; do
    ids=$(seq -s, 3 $((n + 2)))
    echo "{\"ids\":[$ids],\"max_tokens\":8,\"temp\":0,\"ignore_eos\":true}"
done >far.jsonl
M=$far t 0 '*' '' g --batch far.jsonl --parallel 4 --chunk 32 -c 128
cp out batch
line=0
for n in 3 60 90 95 96 97 110; do
    line=$((line + 1))
    M=$far alone $line --ids "$(seq -s, 3 $((n + 2)))" -n 8 --temp 0 --ignore-eos -c 128
done
printf '{"ids":[3,4],"max_tokens":1}\n{"prompt":"a"}\n{"ids":[3],"stop":"a"}\n' >texts.jsonl
M=$far t 3 '*"done"*"line":1,*"error"*"line":2,*no tokenizer*"line":3,*no tokenizer*' '*2 of 3 lines*' g --batch texts.jsonl

# An answer is written while the input is still open, and a free place takes what comes.
mkfifo lines
"$LLMWS" generate -m "$M" --batch - -n 2 <lines >live 2>err &
pid=$!
exec 3>lines
for ((i = 1; i <= 3; i++)); do
    echo "{\"prompt\":\"a\",\"id\":$i}" >&3
    for ((k = 0; k < 600; k++)); do
        [[ $(wc -l <live) == "$i" ]] && break
        sleep 0.05
    done
    count=$((count + 1))
    [[ $(tail -n 1 live) == '{"event":"done","id":'$i,* ]] || bad "line $i was not answered at once: $(cat live)"
done
# Ctrl-C where nothing is at work but the input is open.
kill -INT $pid
wait $pid
status=$?
exec 3>&-
count=$((count + 1))
[[ $status == 130 && ! -s err ]] || bad "status $status after SIGINT at an open input: $(cat err)"

# Ctrl-C: what is complete is written, also behind what is not; nothing else.
stopped() { # SIGNAL STATUS
    printf '{"id":1,"ids":[1,2],"max_tokens":2}\n{"id":2,"ids":[1,2],"max_tokens":-1}\n{"id":3,"ids":[1,2],"max_tokens":2}\n' >three.jsonl
    rm -f live
    "$LLMWS" generate -m "$M" --batch three.jsonl --parallel 3 --ignore-eos -c 100000 >live 2>err &
    local pid=$! k
    for ((k = 0; k < 600; k++)); do
        [[ -s live ]] && break
        sleep 0.05
    done
    kill "-$1" $pid
    wait $pid
    status=$?
    count=$((count + 1))
    [[ $status == "$2" && ! -s err ]] || bad "status $status after SIG$1: $(cat err)"
    [[ $(grep -o '"id":.' live | tr -d '\n') == '"id":1"id":3' ]] || bad "after SIG$1: $(cut -c1-100 live)"
    json_lines live
}
stopped INT 130
stopped TERM 143

# Output that fails.
full() { bash -c '{ sleep 0.3; exec "$0" generate -m "$1" --batch in.jsonl '"$1" "$LLMWS" "$M"; }
[[ ! -w /dev/full ]] || t 1 '' 'llmws: writing to standard output failed: *' full '>/dev/full; }'
t 1 '' 'llmws: writing to standard output failed: *' full '>&-; }'
t 0 '=141 0' '' full '-q 2>err2; } | true; echo "${PIPESTATUS[@]}"'
[[ ! -s err2 ]] || bad "a reader that leaves: $(cat err2)"
finish
