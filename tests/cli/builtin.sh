# The models that are part of the program: each is the file in formats/builtin, in every command; what is absent or unknown says so.
. "${BASH_SOURCE%/*}/cases.bash"
export XDG_CONFIG_HOME=$T HOME=$T
have=() lack=()
for name in llama mistral phi qwen; do
    if [[ -e $SRC/formats/builtin/$name.gguf ]]; then have+=("$name"); else lack+=("$name"); fi
done
same=$BUILD/tests/same_model
echo 'Once upon a time there was a program that told a story of a program that told a story.' >tale.txt

for name in "${have[@]}"; do
    m=builtin:$name file=$SRC/formats/builtin/$name.gguf
    t 0 "*\"format\":\"gguf\",*\"params\":*\"tokenizer\":\"*" '' "$LLMWS" inspect $m --json
    family=$(grep -oP '"family":"\K[^"]*' out)
    [[ $family == "$name"* ]] || bad "$m is of the family $family"
    t 0 "*\"name\":\"$family\",*\"builtin\":\"$m\",*" '' "$LLMWS" inspect --families --json
    json_lines out

    # The same answer as from a file; every command that opens a model opens it.
    t 0 '*' '' "$LLMWS" generate -m "$file" -p 'Once upon a time' -n 24 --temp 0
    answer=$(<out)
    t 0 "=$answer" '' "$LLMWS" generate -m $m -p 'Once upon a time' -n 24 --temp 0
    t 0 "=$answer" '' env LLMWS_MODEL=$m "$LLMWS" generate -p 'Once upon a time' -n 24 --temp 0 --prompt-cache $name.kv
    t 0 "=$answer" '' "$LLMWS" generate -m "$file" -p 'Once upon a time' -n 24 --temp 0 --prompt-cache $name.kv
    t 0 '*"event":"tokens","ids":\[*' '' "$LLMWS" inspect $m --tokenize 'Once upon a time' --json
    ids=$(grep -oP '"ids":\[\K[^]]*' out)
    t 0 '*Once upon a time*' '' "$LLMWS" inspect $m --detokenize "$ids"
    t 0 '*"test":"gen"*' '' "$LLMWS" bench -m $m --prompt 8 --gen 4 --repeat 1 --json
    t 0 '*' '*' "$LLMWS" convert $m -o $name.gguf
    t 0 '*' '' "$same" $name.gguf "$file"
    t 0 '*' '*' "$LLMWS" convert $m -o $name --type f32
    t 0 '*' '' "$LLMWS" inspect $name
    t 0 'step 1, *' '' "$LLMWS" train tale.txt -m $m -o $name-run --steps 1 --batch-size 1 --seq-len 32
    t 0 '' '' "$LLMWS" snapshot $m -o $name-copy
    t 0 '*' '' "$LLMWS" generate -m $name-copy -p 'Once upon a time' -n 4
    t 0 "*$m *passed*1 passed, 0 failed, 0 skipped" '' "$LLMWS" test-models $m --backend cpu --record $name.json
    [[ ! -e $name.json ]] || grep -qF "$(sha256sum <"$file" | cut -d' ' -f1)" $name.json || bad "$name.json has another SHA-256"
done

for name in "${lack[@]}"; do
    t 3 '' "llmws: cannot open 'builtin:$name': absent from this build, which has *" "$LLMWS" inspect builtin:$name
    t 6 '*skipped: it is not in this build*' 'llmws: nothing passed*' "$LLMWS" test-models builtin:$name --backend cpu
done
for bad in builtin: builtin:lama builtin:llama.gguf; do
    t 3 '' "llmws: cannot open '$bad': no builtin model has this name; this build has *" "$LLMWS" generate -m $bad -p a
done

# All of them are what test-models runs where nothing else is named, and a machine file may name them.
rows=$(printf '*builtin:%s *' llama mistral phi qwen)
t $((${#have[@]} ? 0 : 6)) "$rows${#have[@]} passed, 0 failed, ${#lack[@]} skipped" '*' "$LLMWS" test-models --backend cpu --quick
mkdir llmws && echo '{"models": ["builtin:qwen", "builtin:llama"]}' >llmws/test.json
t $((${#have[@]} ? 0 : 6)) '*builtin:qwen *builtin:llama * passed, 0 failed, *' '*' "$LLMWS" test-models --backend cpu --quick
rm llmws/test.json

# Without -m: $LLMWS_MODEL, else the first. What a folder is called changes nothing; a path that begins with ./ is a file.
if ((${#have[@]})); then
    t 0 '*' '' "$LLMWS" generate -m "builtin:${have[0]}" -p 'Once upon a time' -n 16 --seed 7
    answer=$(<out)
    ln -s "$M" builtin
    t 0 "=$answer" '' "$LLMWS" generate -p 'Once upon a time' -n 16 --seed 7
    t 0 "=$answer" '' "$LLMWS" generate -m builtin -p 'Once upon a time' -n 16 --seed 7
    t 0 "=$answer" '' env LLMWS_MODEL= "$LLMWS" generate -p 'Once upon a time' -n 16 --seed 7
    t 0 '*family *llama*vocabulary *341*' '' "$LLMWS" inspect ./builtin
    t 0 '*family *llama*vocabulary *341*' '' env LLMWS_MODEL=./builtin "$LLMWS" inspect
    cp "$(readlink -f "$LLMWS")" alone && chmod +x alone
    [[ -n ${LLMWS_EMULATOR-} ]] || t 0 "=$answer" '' env -i ./alone generate -p 'Once upon a time' -n 16 --seed 7
else
    t 3 '' "llmws: cannot open 'builtin': absent from this build, which has none" "$LLMWS" generate -p a
fi
usage 'no model' "$LLMWS" generate -m '' -p a
finish
