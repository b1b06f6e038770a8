# A run of training stands wherever a model or an adapter is named.
. "${BASH_SOURCE%/*}/cases.bash"
small=(-m "$M" --batch-size 2 --seq-len 32 -t 1)
train() { "$LLMWS" train "$@"; }
for i in {1..30}; do echo "{\"text\":\"The number $i is followed by $((i + 1)).\"}"; done >d.jsonl

gen() { "$LLMWS" generate -p 'The number' -n 4 --temp 0 --ignore-eos -q "$@"; }
t 0 '*' '' train d.jsonl "${small[@]}" --steps 4 --save-every 2 --eval 0.2 --eval-every 2 --lr 1e-2 -o r
last=$(gen -m r/checkpoints/step-4)
t 0 "=$last" '' gen -m r
t 0 "=$(gen -m r/checkpoints/step-2)" '' gen -m r@2
t 0 "=$(gen -m r/checkpoints/best)" '' gen -m r@best
t 3 '' "llmws: the run 'r' has no checkpoint of step 9; the last is 4" gen -m r@9
t 0 '*' '' "$LLMWS" convert r -o r.gguf -q
t 0 '*f32*' '' "$LLMWS" inspect r@2
t 0 '*' '' train d.jsonl "${small[@]}" --steps 2 --lora r=2 --lr 1e-1 -o lo
t 0 "=$(gen -m "$M" --lora lo/checkpoints/step-2)" '' gen -m "$M" --lora lo
t 0 "=$(gen -m "$M" --lora lo/checkpoints/step-2:0.5)" '' gen -m "$M" --lora lo:0.5
t 3 '' "*'lo': the run trains an adapter; give the model that it is for, and --lora lo" gen -m lo
t 3 '' "*'r': the run trains a model's own weights" gen -m "$M" --lora r
t 0 '*' '' train d.jsonl -m builtin --batch-size 2 --seq-len 32 -t 1 --steps 1 --lora r=2 -o on_builtin
t 0 '*' '' "$LLMWS" snapshot on_builtin -o merged --merge-lora
# What is no directory is told as it is.
t 1 '' "llmws: cannot make the directory 'd.jsonl': *" train d.jsonl "${small[@]}" -o d.jsonl
t 1 '' 'llmws: cannot make the directory *: File name too long' train d.jsonl "${small[@]}" -o "$(printf 'x%.0s' {1..300})"
# Paths of a run are those of the folder in which it began.
mkdir -p far && echo '{"text":"eight is followed by nine"}' >eval.jsonl
t 0 '*' '' train d.jsonl "${small[@]}" --steps 2 --eval eval.jsonl -o begun_here
t 0 '*' '' "$LLMWS" convert "$M" -o base.gguf -q
t 0 '*' '' train d.jsonl -m base.gguf --batch-size 2 --seq-len 32 -t 1 --steps 2 --lora r=2 -o adapter_here
rm -r {begun,adapter}_here/checkpoints/{step-2,best} 2>/dev/null
(cd far && "$LLMWS" train --resume -o ../begun_here >../out 2>../err && "$LLMWS" train --resume -o ../adapter_here >>../out 2>>../err)
[[ $? == 0 && ! -s err ]] || bad "from another folder: $(cat err)"
[[ -e begun_here/checkpoints/step-2 && -e adapter_here/checkpoints/step-2 ]] || bad 'nothing was trained'
finish
