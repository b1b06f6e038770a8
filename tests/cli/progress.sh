# What a terminal shows while a long prompt is computed, through a pseudo-terminal (script of util-linux); nothing elsewhere.
. "${BASH_SOURCE%/*}/cases.bash"
script -qec true /dev/null </dev/null >/dev/null 2>&1 || exit 77 # no program, or no pseudo-terminals, as in a bare chroot
export TERM=xterm
for ((i = 0; i < 1500; i++)); do printf '%d,' $((i % 300)); done >ids
slow="'$LLMWS' generate -m '$M' --ids @ids -n 1 --temp 0 -t 1 --isa ref -c 2000 --chunk 256"
on_tty() { timeout 100 script -qec "$1" /dev/null </dev/null >out 2>&1; } # COMMAND: all that it writes to its terminal
clear=$'\r\033[K'

count=$((count + 7))
on_tty "$slow --json 2>err" || bad "status $? with stderr in a file"
[[ ! -s err ]] || bad "stderr in a file: $(head -c 300 err)"
on_tty "stty cols 30; $slow >answer" || bad "status $? on a terminal"
LC_ALL=C grep -qaP '\rprompt \d+/1500 tokens\x1b\[K' out || bad "no line of at most 29 columns, whole parts alone: $(head -c 600 out | cat -v)"
[[ $(<out) == *"$clear"* ]] || bad "the line is not taken away: $(tail -c 300 out | cat -v)"
[[ $(<out) == *"$clear"*$'\rprompt'* ]] && bad "drawn again after it was taken away"
on_tty "$slow -q >answer" || bad "status $? with -q"
[[ ! -s out ]] || bad "-q: $(head -c 300 out | cat -v)"
TERM=dumb on_tty "$slow >answer" || bad "status $? on a dumb terminal"
grep -q 'tokens,.*left' out && bad "a dumb terminal cannot redraw: $(head -c 300 out | cat -v)"

# Ctrl-C in the middle: the line goes, the summary says so, status 130.
interrupt() { # COMMAND
    rm -f keys out && mkfifo keys
    timeout 100 script -qefc "$1" out <keys >/dev/null 2>&1 &
    local pid=$! i
    exec 4>keys
    for ((i = 0; i < 600; i++)); do
        grep -qa ' left' out 2>/dev/null && break
        sleep 0.05
    done
    printf '\003' >&4
    wait $pid
    status=$?
    exec 4>&-
    count=$((count + 1))
    [[ $status == 130 ]] || bad "status $status after Ctrl-C: $1"
}
interrupt "$slow --json >answer"
json_lines answer
holds answer '"completion_tokens":0,"stop_reason":"interrupt"'
count=$((count + 2))
[[ $(<out) == *"$clear"*'ended by interrupt'* ]] || bad "after Ctrl-C: $(tail -c 300 out | cat -v)"
[[ $(grep -a '\[time\]' out) =~ prompt\ ([0-9]+)\ token && ${BASH_REMATCH[1]} -lt 1500 ]] || bad "tokens after the signal count as computed"
interrupt "'$LLMWS' inspect '$M' --ids @ids --capture model.layers.1 -t 1 --isa ref --chunk 256 -o never.st"
count=$((count + 1))
[[ ! -e never.st ]] || bad "a capture that was stopped was saved"

# A training's line gives up its bar before anything else, and no number is cut.
echo '{"text":"The quick brown fox jumps over the lazy dog."}' >d.jsonl
line() { # COLUMNS PATTERN
    rm -rf run
    interrupt "stty cols $1; '$LLMWS' train d.jsonl -m '$M' -o run --steps 1000000 --batch-size 1 --seq-len 64 -t 1"
    count=$((count + 1))
    LC_ALL=C grep -qaP "\\r$2\\x1b\\[K" out || bad "$1 columns: $(tail -c 300 out | cat -v)"
}
line 110 'training \[[# ]{24}\] \d+/1000000, loss \d\.\d{4}, \d+ tok/s, \d+:\d\d:\d\d left'
line 80 'training \[(?=[^\x1b]{69}\x1b)[# ]{8,23}\] \d+/1000000, loss \d\.\d{4}, \d+ tok/s, \d+:\d\d:\d\d left'
line 40 'training \d+/1000000, \d+:\d\d:\d\d left'
finish
