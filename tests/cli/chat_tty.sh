# Conversations at a terminal, played by the program pty: what is typed, recalled, pasted, stopped and shown.
. "${BASH_SOURCE%/*}/cases.bash"
PTY=$BUILD/tests/pty
[[ -x $PTY && ! ${LLMWS_EMULATOR-} ]] || exit 77
export TERM=xterm HOME=$T XDG_STATE_HOME=$T/state
unset VISUAL EDITOR
echo 'leak:wcsdup' >leaks # libedit keeps the names of functions that a program adds
export LSAN_OPTIONS=suppressions=$T/leaks:print_suppressions=0
chat=("$LLMWS" chat -m "$M" --temp 0 -t 1)

play() { # STATUS COMMAND...: the lines of stdin are the script; what was shown is in ./shown
    local status=$1 got
    shift
    cat >script
    count=$((count + 1))
    "$PTY" script "$@" >shown 2>told
    got=$?
    [[ $got == 77 ]] && exit 77
    [[ $got == "$status" ]] || bad "status $got, not $status: $(cat told); shown: $(tail -c 600 shown | cat -v)"
}
shown() { # FIXED-STRING
    count=$((count + 1))
    grep -qaF -- "$1" shown || bad "'$1' was not shown: $(tail -c 800 shown | cat -v)"
}

# Without the editor lines are read as they come; every command does what it says.
for term in xterm dumb; do
    TERM=$term play 0 "${chat[@]}" -n 4 --ignore-eos <<'SCRIPT'
want /help lists
want 0/512 > 
type Hello\r
want 27/512 > 
type /stats\r
want 27 of 512 tokens
want messages: 2
want 27/512 > 
type /retry\r
want 27/512 > 
type /undo\r
want 0 turns left
want 0/512 > 
type /undo\r
want no turn to take back
want 0/512 > 
type /system Be short\r
want 0/512 > 
type /system\r
want Be short
want 0/512 > 
type Hello\r
want /512 > 
type /save kept.json\r
want saved 2 messages
want /512 > 
type /clear\r
want /512 > 
type /stats\r
want messages: 0
want /512 > 
type /load kept.json\r
want loaded 2 messages
want /512 > 
type /set temp 0.5\r
want /512 > 
type /set\r
want temp 0.5
want /512 > 
type /set top-k many\r
want must be a whole number
want /512 > 
type /image cat.png\r
want takes no images
want /512 > 
type /hlep\r
want did you mean '/help'
want /512 > 
type /help\r
want /retry
want /512 > 
type /exit\r
SCRIPT
    [[ -s kept.json && -s kept.json.kv ]] || bad "/save on $term wrote nothing"
    rm -f kept.json*
done
play 0 "${chat[@]}" -n 4 <<'SCRIPT'
want 0/512 > 
type \x04
SCRIPT

# Messages of several lines: a block, a backslash, a paste, an editor's file. Each is one turn.
seq -f 'line %g' 50 >fifty
paste=$(sed 's/$/\\r/' fifty | tr -d '\n')
play 0 env VISUAL='printf "of\nan editor" >' "${chat[@]}" -n 2 --ignore-eos -c 2000 --session many.json <<SCRIPT
want 0/2000 > 
type """one\r
want ... 
type  two\r
want ... 
type three"""\r
want /2000 > 
type four\\\\\\r
want ... 
type five\\r
want /2000 > 
type \\x1b[200~$paste\\x1b[201~
want line 50
type \\r
want /2000 > 
type /edit\\r
want /2000 > 
type \\x1b[200~a\\x1b[31mb\\x1b[201~c\\r
want /2000 > 
type \\x04
SCRIPT
count=$((count + 1))
[[ $(grep -c '"user"' many.json) == 5 ]] || bad "not five messages: $(grep '"user"' many.json)"
holds many.json '"content": "one\n two\nthree"'
holds many.json '"content": "four\nfive"'
holds many.json "\"content\": \"$(sed ':a;N;$!ba;s/\n/\\n/g' fifty)\""
holds many.json '"content": "of\nan editor"'
holds many.json '"content": "a[31mbc"'

# The history outlasts the program, keeps messages whole and is nobody else's to read.
count=$((count + 1))
[[ $(stat -c %a state/llmws/history) == 600 ]] || bad "the history: $(stat -c %A state/llmws/history)"
play 0 "${chat[@]}" -n 2 --ignore-eos -c 2000 --session again.json <<'SCRIPT'
want 0/2000 > 
type \x1b[A\x1b[A
want editor
type !\r
want /2000 > 
type \xe4\xbd\xa0\xe5\xa5\xbd\x7f\xc3\xa9\r
want /2000 > 
type \x12fou
want four
type \r
want /2000 > 
type \x04
SCRIPT
holds again.json '"content": "of\nan editor!"'
holds again.json '"content": "你é"'
holds again.json '"content": "four\nfive"'

# A history that grew too long keeps its last thousand messages, and stays nobody else's to read.
mkdir -p old/llmws
{ echo _HiStOrY_V2_ && printf '%0500d\\040old\n' {1..3000}; } >old/llmws/history
chmod 600 old/llmws/history
XDG_STATE_HOME=$T/old play 0 "${chat[@]}" -n 2 --ignore-eos -c 2000 <<'SCRIPT'
want 0/2000 > 
type \x1b[A
want 3000 old
type \x15new one\r
want /2000 > 
type \x04
SCRIPT
count=$((count + 3))
[[ $(wc -l <old/llmws/history) == 1002 ]] || bad "the history has $(wc -l <old/llmws/history) lines"
grep -q '^0*2001.040old$' old/llmws/history && ! grep -q '^0*2000.040old$' old/llmws/history && tail -n 1 old/llmws/history | grep -q '^new.040one$' ||
    bad "the history: $(cut -c490- old/llmws/history | sed -n '2p;$p')"
[[ $(stat -c %a old/llmws/history) == 600 && $(ls old/llmws) == history ]] || bad "the history: $(ls -l old/llmws)"

# Ctrl-C: takes back what was typed; at an empty prompt leaves, the second time.
play 130 "${chat[@]}" -n 4 <<'SCRIPT'
want 0/512 > 
type never sent
want never sent
type \x03
want 0/512 > 
type \x03
want Ctrl-C again leaves
want 0/512 > 
type /stats\r
want messages: 0
want 0/512 > 
type """block\r
want ... 
type \x03
want 0/512 > 
type \x03
want Ctrl-C again leaves
want 0/512 > 
type \x03
SCRIPT

# Ctrl-C in an answer stops it; what was said stays. The next turn goes on from there.
long=("${chat[@]}" --ignore-eos -c 100000 --isa ref)
play 0 "${long[@]}" --session cut.json --logit-bias 40=1000 <<'SCRIPT'
want 0/100000 > 
type Hello\r
want IIII
type \x03
want /100000 > 
type /set max-tokens 3\r
want /100000 > 
type And\r
want /100000 > 
type /stats\r
want messages: 4
want /100000 > 
type \x04
SCRIPT
count=$((count + 1))
grep -qP '"assistant", "content": "I{4}' cut.json || bad "what was said did not stay: $(head -c 600 cut.json)"

play 130 "${long[@]}" --logit-bias 40=1000 <<'SCRIPT'
want 0/100000 > 
type Hello\r
want IIII
last \x03
SCRIPT

# What is typed during an answer waits for the prompt: a line and its beginning, then Ctrl-D, which leaves.
play 0 "${long[@]}" -n 600 --session ahead.json --logit-bias 40=1000 <<'SCRIPT'
want 0/100000 > 
type Hello\r
want IIII
type typed ahead\rand begun
want > typed ahead
want IIII
want > and begun
type !\r
want IIII
type \x04
want /100000 > 
SCRIPT
count=$((count + 1))
[[ $(grep -c '"assistant"' ahead.json) == 3 ]] || bad "not three answers: $(grep -o '"content": .\{20\}' ahead.json)"
holds ahead.json '"content": "typed ahead"'
holds ahead.json '"content": "and begun!"'

# Before anything is said the question is taken back.
printf '%.0shello there ' {1..3000} >long.txt
play 0 env VISUAL='cat long.txt >' "${long[@]}" -n 2 --chunk 64 <<SCRIPT
want 0/100000 > 
type /edit\\r
want prompt
type \\x03
want taken back
want > 
type \\x04
SCRIPT

# The window becomes narrow while a line is typed; wide characters wrap.
play 0 "${chat[@]}" -n 2 --ignore-eos -c 2000 --session narrow.json <<'SCRIPT'
want 0/2000 > 
type one two three four five six seven eight nine ten eleven
want eleven
size 10 21
type  twelve \xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0
want \xe4\xbd\xa0
size 24 100
type \x01\x04\x05!\r
want 2004l
want /2000 > 
type \x04
SCRIPT
holds narrow.json '"content": "ne two three four five six seven eight nine ten eleven twelve 你好你好你好你!"'
count=$((count + 1))
iconv -f UTF-8 -t UTF-8 shown >/dev/null || bad "what was shown is not UTF-8"

# Stopped and taken up again by a shell: the line stands there as it was, keys are read one by one.
play 0 bash --norc --noprofile -i <<SCRIPT
type PS1='sh% '; ${chat[*]} -n 2 --ignore-eos --session stopped.json\r
want 0/512 > 
type half of
want half of
type \x1a
want Stopped
want sh% 
type fg\r
want 0/512 > half of
type  a line\x01\x04H\r
want /512 > 
type \x04
want sh% 
type exit\r
SCRIPT
holds stopped.json '"content": "Half of a line"'

# What a model says cannot steer the terminal, nor what a user pasted.
printf 'root ::= "\\x1b[31mred\\x07"\n' >esc.gbnf
play 0 "${chat[@]}" --grammar esc.gbnf <<'SCRIPT'
want 0/512 > 
type Hello\r
want \\x1b[31mred\\x07
none \x1b[31mred
want /512 > 
type \x04
SCRIPT

# Thinking is dim.
printf 'root ::= "<think>\\nwell\\n</think>\\n\\nyes"\n' >think.gbnf
play 0 "${chat[@]}" --grammar think.gbnf <<'SCRIPT'
want 0/512 > 
type Hello\r
want \x1b[2mw
want \x1b[0m
want yes
none think
want /512 > 
type \x04
SCRIPT
finish
