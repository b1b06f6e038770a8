# train: what is said of data that cannot all be learned, and how a run goes on past a bad line.
. "${BASH_SOURCE%/*}/cases.bash"
small=(-m "$M" --batch-size 2 --seq-len 32 -t 1)
train() { "$LLMWS" train "$@"; }
for i in {1..30}; do echo "{\"text\":\"The number $i is followed by $((i + 1)).\"}"; done >d.jsonl

# A bad line ends a run, which keeps what it has learned and goes on past it.
{ cat d.jsonl && echo '{broken' && cat d.jsonl; } >bad.jsonl
t 3 '' "llmws: bad.jsonl:31: invalid JSON*the last checkpoint is 'run/checkpoints/step-*--resume --skip-bad*" train bad.jsonl "${small[@]}" --steps 30 -o run
step=$(ls run/checkpoints | sed -n 's/step-//p' | sort -n | tail -1)
[[ $step -gt 0 ]] || bad 'what was learned before a bad line is lost'
holds run/events.jsonl '"event":"train_stopped"'
t 0 '*stopped; go on with: llmws train --resume -o run*' '' "$LLMWS" inspect --status run
t 3 '' '*bad.jsonl:31: *' train --resume -o run
t 0 'step 30, *' '*bad.jsonl:31: *; the line is left out*' train --resume --skip-bad -v -o run
grep -q '"bad_lines":[12]' run/events.jsonl || bad 'bad lines are not counted'
t 0 'step 30, *' '' train bad.jsonl "${small[@]}" --steps 30 --skip-bad -o whole
cmp -s {run,whole}/checkpoints/step-30/model.safetensors || bad 'a bad line between leaves other weights'
if grep -q train_stopped run/events.jsonl; then bad 'a run that went on still says that it stopped'; fi
# Nothing begins with one.
echo '{"messages":[{"role":"user","content":"a"}]}' >chat.jsonl
t 3 '' "llmws: chat.jsonl:1: the model has no chat template for 'messages'; give *" train chat.jsonl -m builtin --seq-len 32 -t 1 --steps 3 -o none
[[ ! -e none ]] || bad 'a run that cannot begin leaves a directory'

# Nothing is cut without a word.
long=$(seq -s ' ' 1 80)
{ cat d.jsonl && echo "{\"prompt\":\"$long\",\"completion\":\"no room\"}" && echo "{\"prompt\":\"1 2\",\"completion\":\"$long\"}"; } >long.jsonl
t 0 '*' '*left out: within a row of 32 tokens*' train long.jsonl "${small[@]}" -v -o long
holds long/events.jsonl '"samples":31,"truncated":1,"unlearned":1,"bad_lines":0'
t 0 '*' '*of 32 samples 1 lost their end; 1 had nothing to learn within 32 tokens*' train --resume -v -o long
t 0 '*' '*rows of 5000 tokens are longer than the context of *' train d.jsonl -m "$M" --batch-size 1 --seq-len 5000 --steps 1 -t 1 -v -o far

# A folder of data may hold its run.
mkdir -p texts && cp d.jsonl texts
t 0 'step 2, *' '' train texts "${small[@]}" --steps 2 --save-every 1 -o texts/run
t 0 'step 2*' '' train --resume -o texts/run

# Ctrl-C says how it goes on.
"$LLMWS" train d.jsonl "${small[@]}" --steps 100000 --save-every 0 -v -o ended >out 2>err &
for i in {1..200}; do grep -q '"step":3' ended/events.jsonl 2>/dev/null && break || sleep 0.05; done
kill -INT $! && wait $!
[[ $? == 130 ]] || bad 'interrupted: another status'
holds err '; llmws train --resume -o ended goes on'
tail -1 ended/events.jsonl | grep -q '"event":"train_stopped",.*"why":"interrupted"' || bad 'the last event is no stop'

finish
