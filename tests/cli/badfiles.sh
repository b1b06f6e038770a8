# Models that are missing, broken or no models: one line, the right status, nothing on stdout.
. "${BASH_SOURCE%/*}/cases.bash"

refused() { # STATUS MODEL
    local args
    for args in "generate -p a -n 1 -m" "inspect" "inspect --tensors" "inspect --tokenize a"; do
        # shellcheck disable=SC2086
        t "$1" '' 'llmws: *' timeout 20 "$LLMWS" $args "$2"
        [[ $(wc -l <err) == 1 ]] || bad "not one line: $(cat err)"
        grep -qF -- "${2##*/}" err || bad "the file is not named: $(cat err)"
    done
}

refused 3 missing.gguf
refused 3 missing/folder
mkdir empty
refused 3 empty
head -c 4096 /dev/urandom >garbage.gguf
refused 3 garbage.gguf
printf 'GGUF' >short.gguf
refused 3 short.gguf
: >nothing.gguf
refused 3 nothing.gguf
mkfifo fifo.gguf
refused 3 fifo.gguf
refused 3 /dev/zero

cp -r "$M" cut && chmod -R u+w cut
head -c 100000 "$M/model.safetensors" >cut/model.safetensors
t 3 '' 'llmws: *model.safetensors*' "$LLMWS" inspect cut
cp -r "$M" odd && chmod -R u+w odd
echo '{"model_type":"llama"' >odd/config.json
t 3 '' 'llmws: *config.json*' "$LLMWS" inspect odd
sed 's/"llama"/"no_such_family"/; s/LlamaForCausalLM/NoSuchFamily/' "$M/config.json" >odd/config.json
t 3 '' 'llmws: *' "$LLMWS" inspect odd
printf '{"model_type":"\\u001b[31mred"}' >odd/config.json
t 3 '' 'llmws: *' "$LLMWS" inspect odd
grep -q $'\033' err && bad "a control character of a file reached the terminal"
finish
