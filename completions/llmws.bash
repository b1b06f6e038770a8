# Completion of llmws in bash. Written by 'llmws __emit bash'; change the tables of the commands instead.
_llmws() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]}
    local options='' words='' kind=''
    COMPREPLY=()
    if [[ $word == = ]]; then
        word=''
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [[ ${COMP_WORDS[0]##*/} == llmws-* ]]; then
        cmd=${COMP_WORDS[0]##*/llmws-}
        cmd=${cmd#llmws-}
    elif ((COMP_CWORD == 1)) || [[ $cmd == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'generate chat inspect convert train snapshot bench test-models help --help --version --install' -- "$word")
        return
    fi
    case $cmd in
    generate)
        options='--model --prompt --file --ids --chat --raw --prompt-cache --echo --batch --parallel --system --max-tokens --stop --reasoning --logprobs --temp --top-k --top-p --min-p --typical --top-n-sigma --xtc-probability --xtc-threshold --repeat-penalty --repeat-last-n --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --samplers --grammar --json-schema --ignore-eos --logit-bias --seed --capture --out --capture-last --capture-every --reduce --capture-dtype --capture-buffer --intervene --backend --threads --ctx --kv-type --compute --isa --repack --chunk --lora --json --quiet --verbose --color --help'
        case $before in
        -m | --model) kind=file ;;
        -p | --prompt) kind=none ;;
        -f | --file) kind=file ;;
        --ids) kind=none ;;
        --prompt-cache) kind=file ;;
        --batch) kind=none ;;
        --parallel) kind=none ;;
        --system) kind=none ;;
        -n | --max-tokens) kind=none ;;
        --stop) kind=none ;;
        --reasoning) words='show hide stderr' ;;
        --logprobs) kind=none ;;
        --temp) kind=none ;;
        --top-k) kind=none ;;
        --top-p) kind=none ;;
        --min-p) kind=none ;;
        --typical) kind=none ;;
        --top-n-sigma) kind=none ;;
        --xtc-probability) kind=none ;;
        --xtc-threshold) kind=none ;;
        --repeat-penalty) kind=none ;;
        --repeat-last-n) kind=none ;;
        --presence-penalty) kind=none ;;
        --frequency-penalty) kind=none ;;
        --dry-multiplier) kind=none ;;
        --dry-base) kind=none ;;
        --dry-allowed-length) kind=none ;;
        --dry-penalty-last-n) kind=none ;;
        --dry-sequence-breaker) kind=none ;;
        --samplers) kind=none ;;
        --grammar) kind=file ;;
        --json-schema) kind=file ;;
        --logit-bias) kind=none ;;
        --seed) kind=none ;;
        --capture) kind=none ;;
        -o | --out) kind=file ;;
        --capture-last) kind=none ;;
        --capture-every) kind=none ;;
        --reduce) words='mean norm max none' ;;
        --capture-dtype) words='f32 f16 bf16' ;;
        --capture-buffer) kind=none ;;
        --intervene) kind=none ;;
        --backend) words='auto cpu' ;;
        -t | --threads) kind=none ;;
        -c | --ctx) kind=none ;;
        --kv-type) words='f32 f16 bf16 q8_0' ;;
        --compute) words='auto f32 bf16 int8' ;;
        --isa) kind=none ;;
        --repack) words='auto now off' ;;
        --chunk) kind=none ;;
        --lora) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    chat)
        options='--model --session --system --max-tokens --stop --reasoning --logprobs --temp --top-k --top-p --min-p --typical --top-n-sigma --xtc-probability --xtc-threshold --repeat-penalty --repeat-last-n --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --samplers --grammar --json-schema --ignore-eos --logit-bias --seed --backend --threads --ctx --kv-type --compute --isa --repack --chunk --lora --json --quiet --verbose --color --help'
        case $before in
        -m | --model) kind=file ;;
        --session) kind=file ;;
        --system) kind=none ;;
        -n | --max-tokens) kind=none ;;
        --stop) kind=none ;;
        --reasoning) words='show hide stderr' ;;
        --logprobs) kind=none ;;
        --temp) kind=none ;;
        --top-k) kind=none ;;
        --top-p) kind=none ;;
        --min-p) kind=none ;;
        --typical) kind=none ;;
        --top-n-sigma) kind=none ;;
        --xtc-probability) kind=none ;;
        --xtc-threshold) kind=none ;;
        --repeat-penalty) kind=none ;;
        --repeat-last-n) kind=none ;;
        --presence-penalty) kind=none ;;
        --frequency-penalty) kind=none ;;
        --dry-multiplier) kind=none ;;
        --dry-base) kind=none ;;
        --dry-allowed-length) kind=none ;;
        --dry-penalty-last-n) kind=none ;;
        --dry-sequence-breaker) kind=none ;;
        --samplers) kind=none ;;
        --grammar) kind=file ;;
        --json-schema) kind=file ;;
        --logit-bias) kind=none ;;
        --seed) kind=none ;;
        --backend) words='auto cpu' ;;
        -t | --threads) kind=none ;;
        -c | --ctx) kind=none ;;
        --kv-type) words='f32 f16 bf16 q8_0' ;;
        --compute) words='auto f32 bf16 int8' ;;
        --isa) kind=none ;;
        --repack) words='auto now off' ;;
        --chunk) kind=none ;;
        --lora) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    inspect)
        options='--model --tensors --modules --families --estimate --parallel --tokenize --no-special --detokenize --template --ids --prompt --runs --status --run --compare --svg --capture --out --capture-last --capture-every --reduce --capture-dtype --capture-buffer --intervene --backend --threads --ctx --kv-type --compute --isa --repack --chunk --lora --json --quiet --verbose --color --help'
        case $before in
        -m | --model) kind=file ;;
        --parallel) kind=none ;;
        --tokenize) kind=none ;;
        --detokenize) kind=none ;;
        --template) kind=none ;;
        --ids) kind=none ;;
        -p | --prompt) kind=none ;;
        --status) kind=none ;;
        --run) kind=none ;;
        --compare) kind=none ;;
        --svg) kind=file ;;
        --capture) kind=none ;;
        -o | --out) kind=file ;;
        --capture-last) kind=none ;;
        --capture-every) kind=none ;;
        --reduce) words='mean norm max none' ;;
        --capture-dtype) words='f32 f16 bf16' ;;
        --capture-buffer) kind=none ;;
        --intervene) kind=none ;;
        --backend) words='auto cpu' ;;
        -t | --threads) kind=none ;;
        -c | --ctx) kind=none ;;
        --kv-type) words='f32 f16 bf16 q8_0' ;;
        --compute) words='auto f32 bf16 int8' ;;
        --isa) kind=none ;;
        --repack) words='auto now off' ;;
        --chunk) kind=none ;;
        --lora) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    convert)
        options='--model --output --type --imatrix --lora --base --max-shard --pre --force --allow-nan --threads --json --quiet --verbose --color --help'
        case $before in
        -m | --model) kind=file ;;
        -o | --output) kind=none ;;
        --type) kind=none ;;
        --imatrix) kind=file ;;
        --lora) kind=none ;;
        --base) kind=file ;;
        --max-shard) kind=none ;;
        --pre) kind=none ;;
        -t | --threads) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    train)
        options='--model --arch --config --tokenizer --train-tokenizer --tie-embeddings --out --resume --dry-run --gpu-mem --preview --save-every --keep --log-every --eval-every --skip-bad --steps --epochs --batch-size --seq-len --grad-accum --eval --no-pack --train-on-prompt --seed --lora --optimizer --lr --lr-schedule --warmup --weight-decay --momentum --adamw-lr --adjust-lr --no-decay --clip --betas --eps --precision --attention --dropout --grad-checkpoint --backend --threads --isa --json --quiet --verbose --color --help'
        case $before in
        -m | --model) kind=file ;;
        --arch) kind=none ;;
        --config) kind=none ;;
        --tokenizer) kind=none ;;
        --train-tokenizer) kind=none ;;
        -o | --out) kind=none ;;
        --gpu-mem) kind=none ;;
        --preview) kind=none ;;
        --save-every) kind=none ;;
        --keep) kind=none ;;
        --log-every) kind=none ;;
        --eval-every) kind=none ;;
        --steps) kind=none ;;
        --epochs) kind=none ;;
        --batch-size) kind=none ;;
        --seq-len) kind=none ;;
        --grad-accum) kind=none ;;
        --eval) kind=none ;;
        --seed) kind=none ;;
        --lora) kind=none ;;
        --optimizer) words='adamw adamw_torch sgd muon' ;;
        --lr) kind=none ;;
        --lr-schedule) words='constant linear cosine wsd' ;;
        --warmup) kind=none ;;
        --weight-decay) kind=none ;;
        --momentum) kind=none ;;
        --adamw-lr) kind=none ;;
        --adjust-lr) words='original match_rms_adamw' ;;
        --no-decay) kind=none ;;
        --clip) kind=none ;;
        --betas) kind=none ;;
        --eps) kind=none ;;
        --precision) words='fp32 bf16' ;;
        --attention) words='sdpa manual' ;;
        --dropout) kind=none ;;
        --backend) words='auto cpu' ;;
        -t | --threads) kind=none ;;
        --isa) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    snapshot)
        options='--out --merge-lora --base --dtype --max-shard --json --quiet --verbose --color --help'
        case $before in
        -o | --out) kind=none ;;
        --base) kind=file ;;
        --dtype) words='f32 f16 bf16' ;;
        --max-shard) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    bench)
        options='--model --synthetic --type --prompt --gen --depth --batch --repeat --train --precision --grad-checkpoint --ppl --against --csv --compare --backend --threads --ctx --kv-type --compute --isa --repack --chunk --lora --json --quiet --verbose --color --help'
        case $before in
        -m | --model) kind=file ;;
        --synthetic) kind=none ;;
        --type) kind=none ;;
        -p | --prompt) kind=none ;;
        -n | --gen) kind=none ;;
        -d | --depth) kind=none ;;
        -b | --batch) kind=none ;;
        -r | --repeat) kind=none ;;
        --precision) words='fp32 bf16' ;;
        --ppl) kind=none ;;
        --against) kind=file ;;
        --backend) words='auto cpu' ;;
        -t | --threads) kind=none ;;
        -c | --ctx) kind=none ;;
        --kv-type) words='f32 f16 bf16 q8_0' ;;
        --compute) words='auto f32 bf16 int8' ;;
        --isa) kind=none ;;
        --repack) words='auto now off' ;;
        --chunk) kind=none ;;
        --lora) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    test-models)
        options='--model --quick --verify --record --markdown --backend --threads --kv-type --compute --isa --json --quiet --verbose --color --help'
        case $before in
        -m | --model) kind=file ;;
        --record) kind=file ;;
        --backend) words='all cpu cuda' ;;
        -t | --threads) kind=none ;;
        --kv-type) words='f32 f16 bf16 q8_0' ;;
        --compute) words='auto f32 bf16 int8' ;;
        --isa) kind=none ;;
        --color) words='auto always never' ;;
        esac
        ;;
    esac
    if [[ $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    elif [[ ! $kind && $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    elif [[ $kind != none ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -F _llmws llmws llmws-generate llmws-chat llmws-inspect llmws-convert llmws-train llmws-snapshot llmws-bench llmws-test-models
