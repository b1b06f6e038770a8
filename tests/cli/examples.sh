# Every example of the manual pages runs, in their order: model.gguf is the test model, and the files they name are made first.
. "${BASH_SOURCE%/*}/cases.bash"
mkdir bin && ln -s "$LLMWS" bin/llmws
PATH=$T/bin:$PATH
export LLMWS_MODEL=$M
printf 'Once upon a time' >prompt.txt
printf 'There was a boat that nobody had ever seen. %.0s' {1..40} >text.txt
cp text.txt stories.txt
ln -s "$M" original && mkdir models && ln -s "$M" models/
export XDG_CONFIG_HOME=$T # no machine file
printf '[{"role": "user", "content": "Hello"}]' >messages.json
cp -r "$M" model && chmod -R u+w model && cp -r "$SRC/tests/data/adapters/llama3" adapter
printf '{"prompt": "Is it %d? ", "completion": "It is."}\n' {1..40} >chats.jsonl
"$LLMWS" train chats.jsonl -m "$M" -o run --steps 4 --save-every 2 --seq-len 32 -t 1 >/dev/null || bad "no run for the examples"
cp -r run run2
"$LLMWS" train chats.jsonl -m "$M" -o lora-run --lora r=2 --steps 1 --seq-len 32 -t 1 >/dev/null || bad "no adapter for the examples"
{ # an importance matrix of one tensor: its name, one call, 64 values of 1
    printf '\1\0\0\0\21\0\0\0token_embd.weight\1\0\0\0\100\0\0\0'
    for ((i = 0; i < 64; i++)); do printf '\0\0\200\77'; done
} >imatrix.dat

lines() { # FILE: the text between .nf and .fi below EXAMPLES, as a reader sees it
    sed -n '/^\.SH EXAMPLES/,/^\.SH SEE/p' "$1" | sed -n '/^\.nf/,/^\.fi/{/^\./!p}' |
        sed 's/\\&//g; s/\\(aq/'\''/g; s/\\(ga/`/g; s/\\(ha/^/g; s/\\(ti/~/g; s/\\(dq/"/g; s/\\-/-/g; s/\\e/\\/g'
}

for page in "$SRC"/man/llmws-*.1; do
    before=$count
    while IFS= read -r line; do
        run=${line// -m model.gguf/}
        run=${run// model.gguf/}
        [[ $page == */llmws-convert.1 || $run != *.gguf* ]] || bad "${page##*/}: a model that the test does not know: $line"
        t 0 '*' '' bash -o pipefail -c "$run" </dev/null
        [[ ! -s after.json || -e before.json ]] || cp after.json before.json
    done < <(lines "$page")
    ((count > before)) || bad "${page##*/} has no examples"
done
for f in q4.gguf back/model.safetensors small.gguf merged/model.safetensors adapter.gguf model-bf16/config.json earlier/config.json adapter-alone/adapter_config.json tuned-model/config.json story.txt logits.safetensors layer.safetensors loss.svg after.json; do [[ -s $f ]] || bad "an example should have written $f"; done
finish
