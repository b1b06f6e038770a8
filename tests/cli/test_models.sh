# test-models: what is sound passes, each kind of damage fails, what is absent is skipped; records, machine files, the support matrix.
. "${BASH_SOURCE%/*}/cases.bash"
tm() { "$LLMWS" test-models "$@"; }
export XDG_CONFIG_HOME=$T/config HOME=$T
mkdir -p models/deep && cp -r "$M" models/one && cp -r "$SRC/tests/data/gpt2" models/deep/two

# A table, a row for each model, the count; the folders are searched.
t 0 'model *family *format *backend *ppl *result*two *gpt2 *safetensors *cpu *passed*one *llama *safetensors *cpu *passed*all *cuda *skipped: *
2 passed, 0 failed, 2 skipped' '' tm models
t 0 '*two *passed*one *passed
2 passed, 0 failed, 0 skipped' '' tm models --backend cpu --quick
t 0 '*  prefill *passed*  coherence *skipped: *  leaks *passed*1 passed, 0 failed, 0 skipped' '*' tm models/one --backend cpu -v
t 0 '{"event":"test","model":"one","path":"models/one","backend":"cpu","result":"passed","family":"llama",*"checks":{*"prefill":"passed","pieces":"passed","reference":"passed",*}*"event":"test"*"backend":"cuda","result":"skipped"*{"event":"done","passed":1,"failed":0,"skipped":1}' '' tm models/one --json
json_lines out
t 0 '*1 passed, 0 failed, 0 skipped' '' tm models/one --backend cpu --compute int8 --kv-type q8_0 -t 1 --isa ref --quick

# Nothing that passes is exit 6.
t 6 '*0 passed, 0 failed, 1 skipped' 'llmws: nothing passed: *' tm models/one --backend cuda
t 6 '*gone *skipped: it is not on this machine*0 passed, 0 failed, 1 skipped' 'llmws: nothing passed: *' tm gone --backend cpu
mkdir empty && t 6 '*0 passed, 0 failed, 0 skipped' 'llmws: no models to test: *' tm empty

t 0 '*one *passed*1 passed, 0 failed, 0 skipped' '' tm -m models/one --backend cpu --quick
t 0 '*one *passed*1 passed, 0 failed, 0 skipped' '' env LLMWS_MODEL=models/one "$LLMWS" test-models --backend cpu --quick

# A record, and what is no longer what was recorded.
t 0 '*2 passed, *' '' tm models --backend cpu --record record.json
tr -d '\n' <record.json >line && json_lines line
again() { tm record.json models/one --backend cpu "$@"; }
t 0 '*1 passed, 0 failed, 0 skipped' '' again
t 0 '*  files *passed*  weights *passed*1 passed, *' '*' again --verify -v
t 0 '*  record *passed*1 passed, *' '*' again --quick -v
damaged() { # FILE CHECK ARGUMENT...: what fails, in the files and in what they give
    local check=$2 file=$1
    shift 2
    t 6 "*one *failed*  $check *failed: *0 passed, 1 failed, 0 skipped" 'llmws: 1 of 1 tests failed' again "$@"
    cp "$M/$file" "models/one/$file"
}
weights=models/one/model.safetensors
size=$(stat -c %s "$weights")
flip() { printf "\\x$(printf %02x $(($(od -An -tu1 -j "$1" -N 1 "$weights") ^ $2)))" | dd of="$weights" bs=1 seek="$1" conv=notrunc status=none; }
chmod u+w models/one/*
flip $((size - 9)) 1 && damaged model.safetensors files
flip $((size - 9)) 1 && damaged model.safetensors files --verify
flip $((size - 5)) 128 && damaged model.safetensors record --quick # the sign of a number
sed -i 's/\("chat_template": *"[^"]*\)/\1 /' models/one/tokenizer_config.json
cmp -s models/one/tokenizer_config.json "$M/tokenizer_config.json" && bad "the template was not changed"
damaged tokenizer_config.json template --quick
printf '\x00\x00\xc0\x7f' | dd of="$weights" bs=1 seek=$((size - 4)) conv=notrunc status=none
t 6 "*  weights *failed: weight '*' holds nan at row *" 'llmws: 1 of 1 tests failed' tm models/one --backend cpu --verify
damaged model.safetensors files --verify
t 0 '*1 passed, 0 failed, 0 skipped' '' again
mv models/one/generation_config.json . && t 6 "*files *failed: 'generation_config.json' was recorded and is missing*" '*' again --verify
mv generation_config.json models/one/
t 3 '' "llmws: cannot use the record 'bad.json': *" bash -c 'echo "{\"models\":[]}" >bad.json; exec "$0" test-models bad.json models/one' "$LLMWS"
t 1 '' "llmws: cannot open 'missing.json'*" tm missing.json models/one

# Bad files fail, unknown families and empty files are nothing to test; later parts come with the first.
mkdir bad && printf 'GGUF\x03\0\0\0' >bad/a.gguf
t 6 '*a.gguf *failed*  load *failed: *0 passed, 1 failed, 0 skipped' 'llmws: 1 of 1 tests failed' tm bad --backend cpu
mv bad/a.gguf bad/a-00001-of-00002.gguf && echo >bad/a-00002-of-00002.gguf
t 6 '*0 passed, 1 failed, 0 skipped' '*' tm bad --backend cpu
cp -r models/one other && sed -i 's/"model_type": "llama"/"model_type": "mamba"/' other/config.json
t 6 "*other *skipped: *'mamba' is not supported*0 passed, 0 failed, 1 skipped" 'llmws: nothing passed*' tm other --backend cpu

# The machine file, of the folder or of the user.
mkdir here config config/llmws
cat >here/.llmws-test.json <<END
{"models": ["../models/one", {"path": "../models/deep/two", "max_ppl": 100}, "elsewhere"], "backends": ["cpu"], "threads": 2, "record": "../record.json"}
END
t 0 '*one *passed*two *passed*elsewhere *skipped: it is not on this machine
2 passed, 0 failed, 1 skipped' '' bash -c 'cd here && exec "$0" test-models' "$LLMWS"
t 0 '*2 passed, 0 failed, 1 skipped' '' tm here --quick
sed 's/"threads": 2/"min_decode_tok_s": 1e12/' here/.llmws-test.json >config/llmws/test.json
sed -i 's|\.\./|../../|g' config/llmws/test.json
t 6 '*one *failed*  speed *failed: *0 passed, 2 failed, 1 skipped' 'llmws: 2 of 3 tests failed' tm --quick
echo '{"modles": []}' >here/.llmws-test.json
t 3 '' "llmws: machine file 'here/.llmws-test.json': unknown key 'modles' (did you mean 'models'?)" tm here
echo '{"models": [{"max_ppl": 3}]}' >here/.llmws-test.json
t 3 '' "llmws: machine file 'here/.llmws-test.json': a model without a path" tm here
echo '{"backends": ["tpu"]}' >here/.llmws-test.json
t 3 '' "llmws: machine file *: backend 'tpu' is unknown*" tm here

usage 'leave --quick out' "$LLMWS" test-models models --record r.json --quick
usage 'give one' "$LLMWS" test-models models --markdown --json
usage 'must be one of all|cpu|cuda' "$LLMWS" test-models models --backend tpu

# The matrix that is kept is that of the tiny models, none of which fails.
t 0 '# Models that llmws runs*| llama | `llama` | tested | yes | tested |*' '' tm "$SRC/tests/data" --quick --markdown --backend cpu
diff -u "$SRC/man/MODEL_SUPPORT.md" out || bad "man/MODEL_SUPPORT.md is not current; write it with: bash tests/lint/emitted.sh --write PROGRAM"
finish
