# Every write to stdout is whole characters of UTF-8, though the model says them byte by byte and wherever they are cut.
. "${BASH_SOURCE%/*}/cases.bash"
PTY=$BUILD/tests/pty WHOLE=$BUILD/tests/writes
[[ -x $WHOLE && ! ${LLMWS_EMULATOR-} ]] || exit 77
export WRITES=$T/writes TERM=xterm HOME=$T XDG_STATE_HOME=$T/state
echo 'leak:wcsdup' >leaks # libedit keeps the names of functions that a program adds
export LSAN_OPTIONS=suppressions=$T/leaks:print_suppressions=0
said='🦉é漢字👩‍👩‍👧 done'
echo "root ::= \"$said\"" >said.gbnf
echo "root ::= \"<think>\\n$said\\n</think>\\n\\n$said\"" >think.gbnf
chat=("$WHOLE" "$LLMWS" chat -m "$M" --temp 0 -t 1)
talk() { printf 'Hello\n' | "${chat[@]}" "$@"; }
between() { # LEAST MOST: so many writes were made
    count=$((count + 1))
    ((($(<"$WRITES") >= $1) && ($(<"$WRITES") <= $2))) || bad "$(<"$WRITES") writes, not $1 to $2"
}

# The helper sees what it is there to see.
t 99 '*' '*write 1 is not whole*' "$WHOLE" bash -c "printf 'a\xc3'; printf '\xa9'; printf '\xf0\x9f'"
between 3 3

# 14 characters of 35 bytes, a token each: a write for every character, and perhaps one that ends the line.
t 0 "=$said" '' talk --grammar said.gbnf
between 14 15
t 0 "=$said" '' "$WHOLE" "$LLMWS" generate -m "$M" -p Hello --temp 0 --grammar said.gbnf
between 14 15
t 0 "*\"completion_tokens\":35,*" '' "$WHOLE" "$LLMWS" generate -m "$M" -p Hello --temp 0 --grammar said.gbnf --json
between 36 36
t 0 $'=<think>\n'"$said"$'\n</think>\n\n'"$said" '' talk --grammar think.gbnf
between 28 40

# Cut anywhere, by a number of tokens or by a stop text inside a character's neighbours; bytes that are no text.
for n in 1 2 3 4 5 6 8 9; do
    t 0 '*' '' talk --grammar said.gbnf -n $n
    t 0 '*' '' "$WHOLE" "$LLMWS" generate -m "$M" --temp 0 --grammar said.gbnf --batch - -n $n <<<'{"prompt":"a"}'
    between 1 1
done
t 0 '=🦉é' '' talk --grammar said.gbnf --stop '漢字x' --stop '漢字👩'
bytes=$("$LLMWS" generate -m "$M" -p Hello --temp 0 --grammar said.gbnf -n 4 --json | sed -n 's/.*"done".*"ids":\[\([^]]*\)\].*/\1/p')
for id in ${bytes//,/ }; do t 0 '*' '' talk --logit-bias "$id=1000" -n 7 --ignore-eos; done

# At a terminal, too.
if [[ -x $PTY ]]; then
    printf '%s\n' 'want 0/512 > ' 'type Hello\r' 'want done' 'type \x04' >script
    "$PTY" script "${chat[@]}" --grammar said.gbnf >shown 2>told
    got=$?
    count=$((count + 1))
    [[ $got == 0 || $got == 77 ]] || bad "status $got: $(cat told) $(tail -c 300 shown | cat -v)"
    [[ $got == 77 ]] || between 14 15
fi
finish
