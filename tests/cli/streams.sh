# Where output goes and what happens when it cannot; signals.
. "${BASH_SOURCE%/*}/cases.bash"
sh_() { bash -c "$1" "$LLMWS" "$M"; }

if [[ -w /dev/full ]]; then
    t 1 '' 'llmws: writing to standard output failed: *' sh_ '"$0" --version >/dev/full'
    t 1 '' 'llmws: writing to standard output failed: *' sh_ '"$0" generate --help >/dev/full'
    t 1 '' 'llmws: writing to standard output failed: *' sh_ '"$0" generate -m "$1" -p Hi -n 4 --ignore-eos >/dev/full'
    t 1 '' 'llmws: writing to standard output failed: *' sh_ '"$0" inspect "$1" --tensors >/dev/full'
    t 1 '' '' sh_ '"$0" --version >/dev/full 2>/dev/full'
fi
t 1 '' 'llmws: writing to standard output failed: *' sh_ '"$0" --version >&-'
t 1 '' 'llmws: writing to standard output failed: *' sh_ '"$0" generate -m "$1" -p Hi -n 4 --ignore-eos >&-'
t 2 '' '' sh_ '"$0" generate -m "$1" --bogus 2>&-'
t 1 '' "llmws: cannot read 'standard input'*" sh_ '"$0" generate -m "$1" <&-'

# A reader that leaves ends the program quietly.
t 0 '=141 0' '' sh_ '"$0" generate -m "$1" --ids 1,2,3 --ignore-eos --json -c 100000 -q 2>err2 | head -c 1 >/dev/null; echo "${PIPESTATUS[@]}"'
[[ ! -s err2 ]] || bad "a reader that leaves: $(cat err2)"
t 0 '=141 0' '' sh_ 'trap "" PIPE; { sleep 0.3; exec "$0" inspect "$1" --tensors 2>err2; } | true; echo "${PIPESTATUS[@]}"'
[[ ! -s err2 ]] || bad "with SIGPIPE ignored: $(cat err2)"

# A signal ends an answer after the token that is being computed.
interrupted() { # SIGNAL STATUS
    count=$((count + 1))
    rm -f out
    "$LLMWS" generate -m "$M" --ids 1,2,3 --ignore-eos --json -c 400000 -q >out 2>err &
    local pid=$! i
    for ((i = 0; i < 300; i++)); do
        [[ -s out ]] && break
        sleep 0.05
    done
    kill "-$1" $pid
    wait $pid
    local got=$?
    [[ $got == "$2" ]] || bad "status $got after SIG$1, not $2"
    [[ ! -s err ]] || bad "stderr after SIG$1: $(cat err)"
    json_lines out
    [[ $(tail -n 1 out) == '{"event":"done",'*'"stop_reason":"interrupt",'* ]] || bad "after SIG$1: $(tail -n 1 out | head -c 300)"
}
interrupted INT 130
interrupted TERM 143

# Text arrives while it is made, not at the end.
mkfifo pipe
"$LLMWS" generate -m "$M" --ids 1,2,3 --ignore-eos -c 400000 -q --json >pipe 2>err &
pid=$!
exec 3<pipe
read -r -t 20 -u 3 line || bad "nothing within 20 s of a long answer"
[[ $line == '{"event":"token",'* ]] || bad "first line: $line"
kill -TERM $pid
exec 3<&-
wait $pid
finish
