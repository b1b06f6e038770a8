# inspect --status, --runs, --run, --compare: of runs that were trained here and of files written by hand.
. "${BASH_SOURCE%/*}/cases.bash"
i() { "$LLMWS" inspect "$@"; }
for k in {1..40}; do echo "{\"text\":\"The number $k is followed by $((k + 1)), and the fox jumps over $k dogs.\"}"; done >d.jsonl
small=(d.jsonl -m "$M" --save-every 4 --batch-size 2 --seq-len 64 -t 1)
mkdir -p runs/deep/er
t 0 '*' '' "$LLMWS" train "${small[@]}" --steps 10 --lr 1e-3 --eval d.jsonl --eval-every 5 -o runs/a
t 0 '*' '' "$LLMWS" train "${small[@]}" --steps 12 --lr 2e-3 --seed 7 --eval d.jsonl --eval-every 5 -o runs/deep/er/b
value() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$1"; } # FILE KEY: of its one line

# Done.
t 0 '*runs/a*done*10 of 10, 100.0 %*loss*lowest*eval*best*at step 10*tok/s*runs/a/checkpoints/step-10*iB*' '' i --status runs/a
t 0 '{"event":"run_status","run":"runs/a","state":"done",*"step":10,"steps":10,"percent":100.0,*"checkpoint":10,*}' '' i --status=runs/a --json
json_lines out
[[ $(value out loss) == $(sed -n 's/.*train_progress","step":10,.*"loss":\([^,]*\).*/\1/p' runs/a/events.jsonl) ]] || bad "another loss than the last: $(cat out)"

# Running, then killed: the lock says so, and looking does not take it.
"$LLMWS" train "${small[@]}" --steps 1000000 --save-every 0 -o runs/live >out 2>err &
for k in {1..100}; do grep -qs train_progress runs/live/events.jsonl && break || sleep 0.1; done
t 0 '*runs/live*running*of 1000000*left*last event*s ago*step-0*' '' i --status runs/live
t 0 '*"state":"running"*' '' i --status runs/live --json
[[ $(value out eta_s) =~ ^[0-9.]+$ ]] || bad "no time left: $(cat out)"
t 0 '*runs/live*running*' '' i --run runs/live
kill -9 $!
wait $! 2>/dev/null
t 0 '*dead; go on with: llmws train --resume -o runs/live*' '' i --status runs/live
cp -r runs/live "runs/it's"
t 0 "*llmws train --resume -o 'runs/it'\\\\''s'*" '' i --status "runs/it's"
rm -r "runs/it's"

# What is no run.
t 3 '' "llmws: 'd.jsonl' is no run*" i --status d.jsonl
t 3 '' "llmws: 'runs' is no run: it has no run.json" i --run runs
t 3 '' "llmws: 'nowhere' is no run*" i --compare runs/a nowhere
mkdir other && echo '{"name":"x"}' >other/run.json
t 3 '' "llmws: *'other/run.json'*no run's description" i --status other
t 3 '' "llmws: cannot open 'nowhere'*" i --runs nowhere
usage 'give one' i --runs --status runs/a
usage 'two runs or more' i --compare runs/a
usage '--svg goes with' i "$M" --svg x.svg
usage "unexpected argument 'runs/deep/er/b'" i --run runs/a runs/deep/er/b
usage "unexpected argument 'b'" i a b

# All below a folder: newest first, no loops, what is broken is passed over.
sed -i 's/"time":[0-9.]*/"time":1577880000.5/' runs/a/events.jsonl # noon of 2020-01-01
export TZ=UTC
ln -s .. runs/deep/up && ln -s ../a runs/deep/again
mkdir runs/broken && echo '{' >runs/broken/run.json
t 0 'run *state *model *data *step *loss *best *eval *tok/s *started *time*' '' i --runs runs
[[ $(awk 'NR > 1 {print $1, $2}' out | xargs) == 'runs/live dead runs/deep/er/b done runs/a done' ]] || bad "not the runs: $(cat out)"
holds out 'd.jsonl'
holds out ' 2020-01-01 12:00 '
t 0 '*' '*warning*runs/broken/run.json*' i --runs runs -v
t 0 '{"event":"run",*' '' i --runs --json runs
json_lines out
[[ $(wc -l <out) == 3 ]] || bad "not a line a run: $(cat out)"
t 0 '' '' i --runs other
cd runs && t 0 '*deep/er/b *' '' i --runs && cd ..

# One in full.
t 0 '*settings *--steps=10*--lr=0.001*defaults *--optimizer=adamw*data *d.jsonl, *sha256 *machine *loss *at step 1, last *grad norm *lr *speed *memory *peak*' '' i --run runs/a --svg a.svg
grep '^settings' out | grep -q 'optimizer' && bad "a default among the settings: $(cat out)"
holds out '└'
holds out '⠤⠒ loss'
holds a.svg '<svg xmlns="http://www.w3.org/2000/svg"'
t 0 '*+--*\* loss   o eval' '' env LC_ALL=C "$LLMWS" inspect --run runs/a
LC_ALL=C grep -qP '[^\x00-\x7f]' out && bad "no ASCII in a locale that has nothing else: $(cat out)"
for w in 40 60 119; do
    COLUMNS=$w i --run runs/a | sed '1,/^$/d' >out
    (($(wc -L <out) <= w && $(wc -L <out) >= w - 12)) || bad "$(wc -L <out) columns of $w"
done
t 0 '{"event":"run_report",*"first_loss":*"grad_norm_max":*"options":{*"files":\[{*"loss_curve":\[\[1.0,*' '' i --run runs/a --json
json_lines out
t 1 '' "llmws: *'nowhere/a.svg'*" i --run runs/a --svg nowhere/a.svg
cp -r runs/a fresh && head -1 runs/a/events.jsonl >fresh/events.jsonl
t 3 '' "llmws: nothing to draw: 'fresh' has no value yet" i --run fresh --svg fresh.svg
[[ ! -e fresh.svg ]] || bad 'an empty picture'
command -v xmllint >/dev/null && { xmllint --noout a.svg || bad "a.svg is no XML"; }

# Time is what was trained, not what lay between; its dates begin long ago, in as many bytes.
for from in 8 10; do
    rm -rf long
    t 0 '*' '' "$LLMWS" train "${small[@]}" --steps 10 -o long
    sed -i 's/"time":[0-9]\{4\}/"time":1577/' long/events.jsonl
    i --status long --json >out
    spent=$(value out seconds)
    ((from == 10)) || rm -r long/checkpoints/step-10
    t 0 '*' '' "$LLMWS" train --resume -o long
    t 0 '*"state":"done"*' '' i --status long --json
    awk -v a="$spent" -v b="$(value out seconds)" 'BEGIN { exit !(a > 0 && b > 0 && b < a + 1000) }' ||
        bad "from step $from: $spent s became $(value out seconds)"
done

# What --epochs came to was not given; a long list of settings has the width of a terminal.
t 0 '*' '' "$LLMWS" train "${small[@]}" --epochs 0.5 -o half
t 0 '*settings *--epochs=0.5*' '' env COLUMNS=60 "$LLMWS" inspect --run half
sed -n '/^settings/,/^data/p' out | sed '$d' >settings
grep -q -- --steps settings && bad "steps that were not given: $(cat settings)"
(($(wc -L <settings) <= 60 && $(wc -l <settings) > 4 && $(grep -o -- '--[a-z]' settings | wc -l) > 15)) || bad "not wrapped: $(cat settings)"
t 0 '*' '' "$LLMWS" train "${small[@]}" -o whole
t 0 '*' '' i --run whole
sed -n '/^settings/,/^data/p' out | grep -q 'settings.*--epochs\|--steps' && bad "given by nobody: $(cat out)"

# Directories of a file system without blocks.
if [[ $(stat -fc %T /dev/shm 2>/dev/null) == tmpfs ]] && ram=$(mktemp -d /dev/shm/llmws.XXXXXX 2>/dev/null); then
    cp -r runs/a "$ram/run"
    t 0 '*' '' i --status "$ram/run" --json
    (($(value out bytes) > $(stat -c %s runs/a/checkpoints/step-10/model.safetensors))) || bad "on disk: $(value out bytes)"
    rm -r "$ram"
fi

# Side by side.
t 0 'setting *runs/a *runs/deep/er/b*steps *10 *12*seed *0 *7*lr *0.001 *0.002*equal*state *done *done*last loss*best eval*at step 10 *tok/s*●*○*● runs/a   ○ runs/deep/er/b' '' \
    i --compare runs/a runs/deep/er/b --svg both.svg
grep -q 'optimizer' out && bad "equal settings are shown: $(cat out)"
grep -q 'not the same' out && bad "equal data are told apart"
[[ $(grep -c '<polyline' both.svg) == 4 && $(grep -o 'stroke="#[0-9a-f]*" stroke-width' both.svg | sort -u | wc -l) == 2 ]] || bad "not two curves of two colours: $(cat both.svg)"
t 0 '*"event":"compared_run","run":"runs/a"*"differs":{"steps":10,*"lr":0.001*}*"event":"comparison","step":10.0,"tokens":1280.0,*"data_equal":true}' '' \
    i --compare runs/a --compare runs/deep/er/b --json
json_lines out
cp -r runs/a other_data && sed -i 's/"sha256":"..../"sha256":"0000/' other_data/run.json
t 0 '*the data are not the same*' '' i --compare runs/a other_data
t 0 '*"data_equal":false}' '' i --compare runs/a other_data --json

# Files of another version, half written, with names that would steer a terminal.
evil=$'e\e[31m\xff<&"'
mkdir "$evil"
echo '{"llmws":"0.0.1","model":"x\u001b[2J","data":["\u009b2J"],"options":{"lr":"\u202e","gone":null}}' >"$evil/run.json"
for ((s = 1; s <= 60; s++)); do
    echo "{\"event\":\"train_progress\",\"step\":$s,\"loss\":$((90 - s)).5}"
    ((s % 20)) || echo "{\"event\":\"train_eval\",\"step\":$s,\"loss\":$((95 - s))}"
done >"$evil/events.jsonl"
printf '{"event":"train_progress","step":61,"loss":NaN}\n{"event":"train_progress","step":62,"loss":null}\n{"event":"train_pro' >>"$evil/events.jsonl"
t 0 '*e\\x1b\[31m\\xff<&"*dead*62*loss *30.5000*eval *35.0000, best 35.0000 at step 60*1 lines of events.jsonl are no JSON' '' i --status "$evil"
t 0 '*no number *the loss of 1 steps*○ eval' '' i --run "$evil" --svg evil.svg
t 0 '*' '' i --compare "$evil" runs/a
t 0 '*' '' i --runs .
for f in --status --run; do i $f "$evil" && i $f "$evil" --color never; done >seen
i --compare "$evil" runs/a >>seen && i --runs >>seen
LC_ALL=C grep -qP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae|\xff' seen && bad "control characters: $(grep -aP '\x1b' seen | cat -v | head -3)"
LC_ALL=C grep -qP '[\x00-\x09\x0b-\x1f\x7f\xff]' evil.svg && bad "control characters in an SVG"
holds evil.svg '&lt;&amp;&quot;'
command -v xmllint >/dev/null && { xmllint --noout evil.svg || bad "evil.svg is no XML"; }
t 0 '*"run":"e\\u001b\[31m�<&\\""*' '' i --status "$evil" --json
json_lines out
rm "$evil/events.jsonl"
t 0 '*none yet*' '' i --status "$evil"
t 0 '*' '' i --run "$evil"
t 0 '*' '' i --compare "$evil" "$evil"
t 0 '* -  *' '' i --runs .
grep -qw nan out && bad "nan of a run without a step: $(cat out)"
finish
