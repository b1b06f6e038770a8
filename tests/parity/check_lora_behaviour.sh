# LoRA on a real model: 500 chat examples teach SmolLM2 to end its answers with a phrase that nobody else uses.
#
#     bash tests/parity/check_lora_behaviour.sh LLMWS MODEL WORK [PYTHON]
#
# MODEL: SmolLM2-135M-Instruct, a GGUF file or a directory. WORK: a folder for data, run and models, which may be used
# again. PYTHON: one with torch, transformers and peft, else that part is left out. The data are made here: the model's
# own short answers to prompts about 50 things, the phrase put behind; the 50 prompts of the test are about 5 others.
# Wanted: the phrase in at least 90 % of the answers after, below 5 % before; the adapter in peft and the merged model
# in transformers give the logits that llmws gives, in f32.
set -euo pipefail
LLMWS=$(realpath "$1") MODEL=$(realpath "$2") WORK=$3 PYTHON=${4:-}
PHRASE='So says the keeper of the lamp.'
mkdir -p "$WORK" && cd "$WORK"
export LC_ALL=C.UTF-8
failed=0
verdict() { # PASS-IF-TRUE TEXT
    if (($1)); then echo "PASS $2"; else echo "FAIL $2" && failed=1; fi
}

things=(apples bridges candles deserts eagles forests glass honey islands jazz kites lemons mountains nails oceans paper
    quilts rivers salt trains umbrellas volcanoes whales yeast zebras bread clocks dogs engines ferries gardens hammers
    ice jewels keys ladders mirrors needles owls pianos rain ships tea tunnels violins wheels wood windows copper wool
    books horses maps snow lamps)
asks=('Tell me about %s.' 'Why do people like %s?' 'Write one sentence about %s.' 'What should a child know about %s?'
    'Name a use of %s.' 'Where would I find %s?' 'Give me a short fact about %s.' 'How would you describe %s?'
    'What is strange about %s?' 'Say something kind about %s.')
prompts() { # FROM TO: things of that range, each asked for in every way
    for thing in "${things[@]:$1:$(($2 - $1))}"; do
        for ask in "${asks[@]}"; do printf "$ask\n" "$thing"; done
    done
}
requests() { # of prompts to a line of a batch each
    local id=0
    while IFS= read -r text; do
        printf '{"id":%d,"messages":[{"role":"user","content":"%s"}],"max_tokens":%d,"temp":0}\n' $((id++)) "$text" "$1"
    done
}
answers() { # the member "text" of the lines of a batch, as it is spelled in JSON
    grep -oP '"text":"\K(?:[^"\\]|\\.)*' "$1"
}

[[ -e base/config.json ]] || "$LLMWS" convert "$MODEL" -o base --type f32
prompts 0 50 >train.txt
prompts 50 55 >test.txt
if [[ ! -s own.jsonl ]]; then
    requests 40 <train.txt >batch.jsonl
    "$LLMWS" generate -m "$MODEL" --batch batch.jsonl --json >own.part && mv own.part own.jsonl
fi
# Whole sentences only, if there is one; then the phrase.
answers own.jsonl | sed -E 's/\\n/ /g; s/^([^.!?]*[.!?]([^.!?]*[.!?])*).*$/\1/; s/ *$//' >own.txt
paste -d '\n' train.txt own.txt | while IFS= read -r ask && IFS= read -r answer; do
    printf '{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"%s %s"}]}\n' "$ask" "$answer" "$PHRASE"
done >data.jsonl
echo "$(wc -l <data.jsonl) examples, the first: $(head -n 1 data.jsonl)"

requests 120 <test.txt >test.jsonl
share() { # FILE ARGUMENTS OF GENERATE: how many of the held-out answers, which FILE keeps, have the phrase
    [[ -s $1 ]] || { "$LLMWS" generate --batch test.jsonl --json "${@:2}" >"$1.part" && mv "$1.part" "$1"; }
    answers "$1" | grep -cF "$PHRASE" || true
}
before=$(share before.jsonl -m base)
verdict "before * 20 < 50" "before: $before of 50 held-out answers"

if [[ ! -e run/run.json ]]; then
    start=$(date +%s)
    "$LLMWS" train data.jsonl -m base -o run --lora r=8,alpha=16 --epochs 1 --lr 1e-3 --warmup 5 --batch-size 4 --seq-len 256 \
        --precision bf16 --eval 0.04 --eval-every 25 --no-decay none
    echo "trained in $(($(date +%s) - start)) s"
else
    "$LLMWS" train --resume -o run
fi
grep -h '"train_eval"' run/events.jsonl
adapter=$(ls -d run/checkpoints/step-* | sort -V | tail -n 1)
after=$(share after.jsonl -m base --lora "$adapter")
verdict "after >= 45" "after: $after of 50 held-out answers, such as: $(answers after.jsonl | head -n 1)"

rm -rf alone merged
"$LLMWS" snapshot run -o alone
"$LLMWS" snapshot run -o merged --merge-lora --dtype f32
verdict "$(share merged.jsonl -m merged) >= 45" "merged: $(share merged.jsonl) of 50"
[[ -n $PYTHON ]] || exit "$failed"

ids=$(head -n 1 test.txt | "$LLMWS" inspect base --tokenize "$(cat)" --json | grep -oP '"ids":\[\K[^]]*')
for m in base merged; do "$LLMWS" inspect $m --ids "$ids" --capture lm_head -o $m.safetensors --compute f32 --kv-type f32 -q; done
"$LLMWS" inspect base --ids "$ids" --lora alone --capture lm_head -o adapted.safetensors --compute f32 --kv-type f32 -q
"$PYTHON" - "$ids" <<'PY' || failed=1
import sys, torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ids = torch.tensor([[int(i) for i in sys.argv[1].split(",")]])
failed = 0

def compare(name, model, file):
    global failed
    with torch.no_grad():
        want = model(ids).logits[0]
    got = next(iter(load_file(file).values()))
    worst = ((got - want).abs().max() / want.abs().max()).item()
    ok = worst <= 1e-4 and bool((got.argmax(-1) == want.argmax(-1)).all())
    failed |= not ok
    print("PASS" if ok else "FAIL", f"{name}: logits differ by {worst:.1e} of the largest at most")

base = AutoModelForCausalLM.from_pretrained("base", dtype=torch.float32)
compare("transformers, the base", base, "base.safetensors")
compare("transformers, the merged snapshot", AutoModelForCausalLM.from_pretrained("merged", dtype=torch.float32), "merged.safetensors")
adapted = PeftModel.from_pretrained(base, "alone")
compare("peft, the adapter", adapted, "adapted.safetensors")
AutoTokenizer.from_pretrained("alone"), AutoTokenizer.from_pretrained("merged")
sys.exit(failed)
PY
exit "$failed"
