# Conversations through a pipe, sessions, --chat of generate. What a terminal does is in chat_tty.sh.
. "${BASH_SOURCE%/*}/cases.bash"
export HOME=$T
say() { # INPUT OPTION...: printf's escapes in INPUT
    printf "$1" | "$LLMWS" chat -m "$M" --temp 0 --ignore-eos --compute f32 --kv-type f32 "${@:2}"
}
g() { "$LLMWS" generate -m "$M" --temp 0 --ignore-eos --compute f32 --kv-type f32 "$@"; }
done_events() { grep '^{"event":"done"' "$1"; }

# An answer is what generate gives for the template's ids, the second one too, in one program or in two.
t 0 '*' '' g --chat -p Hello -n 6
t 0 "=$(cat out)" '' say 'Hello\n' -n 6
t 0 "=$(cat out)" '' say '\n\nHello\r\n\n' -n 6
t 0 "=$(cat out)" '' say 'Hello' -n 6
t 0 '*' '' say 'Hello\nAnd again\n' -n 6 --json --session talk.json
json_lines out
count=$((count + 2))
[[ $(done_events out | wc -l) == 2 ]] || bad "not two answers: $(done_events out)"
done_events out | head -n 1 | grep -q '"cached_tokens":0}' || bad "cached without a cache: $(done_events out)"
second=$(done_events out | tail -n 1 | grep -oP '"ids":\[\K[^]]*')
reused=$(done_events out | tail -n 1 | grep -oP '"cached_tokens":\K\d+')
((reused > 20)) || bad "the second turn computes the first one again: $(done_events out)"
grep -v assistant talk.json | tail -n 2 | grep -q 'And again' || bad "the session: $(cat talk.json)"
head -n 4 talk.json | sed '4s/,$/],"add_generation_prompt":true}/' >second.json
t 0 '*' '' "$LLMWS" inspect "$M" --template second.json --json
ids=$(grep -oP '"ids":\[\K[^]]*' out)
t 0 "*\"ids\":\[$second\]*" '' sh -c '"$0" generate -m "$1" --temp 0 --ignore-eos --compute f32 --kv-type f32 --ids "$2" -n 6 --json' "$LLMWS" "$M" "$ids"
t 0 '*' '' say 'Hello\n' -n 6 --session two.json
t 0 "*\"ids\":\[$second\]*" '' say 'And again\n' -n 6 --session two.json --json
cmp talk.json two.json || bad "a session in two parts is not that in one"
grep -q "\"cached_tokens\":$reused}" out || bad "a session that goes on computes the first turn again: $(done_events out)"
t 0 '*' '*from the cache*' say 'More\n' -n 2 --session two.json -v

# A cache that is damaged or missing is told of, and computed again.
for damage in 'truncate -s 100' 'rm'; do
    t 0 '*' '' say 'Hello\n' -n 6 --session d.json
    $damage d.json.kv
    t 0 "*\"ids\":\[$second\]*\"cached_tokens\":0}" '*' say 'And again\n' -n 6 --session d.json --json -v
    rm d.json*
done
for broken in '{' '{"messages":1}' '[{"role":"assistant","content":"a"}]' '[{"role":"user","content":"a"}]' '[{"role":"user"}]' '[{"role":"user","content":3}]'; do
    printf '%s' "$broken" >b.json
    t 3 '' "llmws: *b.json*" say 'Hello\n' --session b.json
done

# Commands.
first=$(say 'Hello\n' -n 6)
t 0 "=$first"$'\n'"$first" '(0 turns left)' say 'Hello\n/undo\nHello\n' -n 6
t 0 "=$first"$'\n'"$first" '' say 'Hello\n/clear\nHello\n' -n 6
t 0 "=$first"$'\n'"$first" '' say 'Hello\n/retry\n' -n 6
t 0 '*"prompt_tokens":24,*"cached_tokens":23}' '' say 'Hello\n/retry\n' -n 6 --json # but the last token nothing is computed again
t 0 '*"cached_tokens":0}'$'\n''*' '(1 turn left)' say 'Hello\nAnd\n/undo\nAnd\n' -n 6 --json
again=$(done_events out | tail -n 1 | grep -oP '"cached_tokens":\K\d+')
count=$((count + 1))
((again >= reused)) || bad "after /undo $again tokens are in the cache, $reused were before: $(done_events out)"
t 0 '*' '' say 'Hello\n/retry\n/retry\n' -n 20 --temp 1.5 --seed 3
count=$((count + 1))
[[ $(sort -u out | wc -l) == 3 ]] || bad "/retry gives the same answer again: $(cat out)"
t 0 '*' 'context: * of 512 tokens*messages: 2;*last answer: 6 tokens*' say 'Hello\n/stats\n' -n 6
t 0 "=$first" "(saved 2 messages to 'kept.json'*" say 'Hello\n/save kept.json\n' -n 6
[[ -s kept.json && -s kept.json.kv ]] || bad "/save wrote nothing"
t 0 "*\"ids\":\[$second\]*\"cached_tokens\":$reused}" "(loaded 2 messages from 'kept.json')" say '/load kept.json\nAnd again\n' -n 6 --json
system=$(say 'Hello\n' -n 6 --system 'Be short')
[[ $system != "$first" ]] || bad "--system changes nothing"
t 0 "=$system" '' say '/system Be short\nHello\n' -n 6
t 0 "=$system" 'Be short' say '/system Be short\n/system\nHello\n' -n 6
echo 'Be short' >persona.txt
t 0 "=$system" '' say 'Hello\n' -n 6 --system @persona.txt
t 0 "=$system" '' g --chat -p Hello -n 6 --system 'Be short'
t 0 "=$first" '' say '/set max-tokens 6\nHello\n'
t 0 "=$first" '' say '/set max-tokens 3\n/set n_predict=6\nHello\n'
t 0 "=$first" '' say '/set temp 5\n/set temp 0\nHello\n' -n 6
t 0 "=$first" '' say '/set logit-bias 7=100\n/set logit-bias default\nHello\n' -n 6
t 0 '*' '*\[sampling\] flag: temp 0*' say '/set\nHello\n' -n 6
t 0 '*' '*/undo *take the last*' say '/help\n' -n 6
t 0 '' '' say '/exit\nHello\n'
t 0 '?*' '' say '//exit\n' -n 6
VISUAL='printf Hello >' t 0 "=$first" '' say '/edit\n' -n 6
VISUAL=false t 1 '' "llmws: the editor 'false' failed*" say '/edit\n' -n 6
for wrong in "/hlp:did you mean '/help'" '/xyzzy:/help lists them' '/undo:no turn' '/retry:no answer' '/save:needs FILE' '/save x:nothing to save' \
    '/clear now:takes nothing' '/set tmp 3:did you mean' '/set temp x:must be a number' '/set threads 3:unknown option' '/set ctx 3:unknown option'; do
    usage "${wrong#*:}" say "${wrong%%:*}\n"
done
t 3 '' "llmws: /image: 'cat.png'*takes no images" say '/image cat.png\n'
t 1 '' "llmws: cannot open 'none.json'*" say '/load none.json\n'
t 1 "=$first" "llmws: saving the conversation: *" say 'Hello\n/save no/such/folder\n' -n 6
# What is refused changes nothing, on a terminal where the conversation goes on; here the next line shows that it ended.
t 3 "=$first" 'llmws: *bad.gbnf*' sh -c 'echo "root ::= (" >bad.gbnf; printf "Hello\n/set grammar bad.gbnf\nHello\n" | "$0" chat -m "$1" --temp 0 -n 6 --compute f32 --kv-type f32' "$LLMWS" "$M"

# Too long for the context: refused with both numbers. An answer that fills it ends there.
t 4 '' 'llmws: the conversation does not fit: * tokens, the context holds 16;*' say 'Hello, how are you today?\n' -c 16
t 0 '*"stop_reason":"context"*' '' say 'Hello\n' -c 64 --json
t 3 '' 'llmws: *has no chat template*' bash -c 'cp -r "$1" bare && chmod -R u+w bare && sed -i "/chat_template/d; s/\"PreTrainedTokenizerFast\",/\"PreTrainedTokenizerFast\"/" bare/tokenizer_config.json && echo Hi | "$0" chat -m bare' "$LLMWS" "$M"

# A grammar begins anew with every answer; thinking is told apart.
printf 'root ::= "yes" | "no"\n' >yn.gbnf
bound() { printf "$1" | "$LLMWS" chat -m "$M" --temp 0 "${@:2}"; }
t 0 '@(yes|no)'$'\n''@(yes|no)' '' bound 'One\nTwo\n' --grammar yn.gbnf
printf 'root ::= "<think>\\nwell, </thin\\n</think>\\n\\nyes <think>"\n' >think.gbnf
t 0 $'=<think>\nwell, </thin\n</think>\n\nyes <think>' '' bound 'One\n' --grammar think.gbnf
t 0 '=yes <think>' '' bound 'One\n' --grammar think.gbnf --reasoning hide
t 0 '=yes <think>' '=well, </thin' bound 'One\n' --grammar think.gbnf --reasoning stderr --session thought.json
holds thought.json '"content": "yes <think>", "reasoning_content": "well, </thin"'
t 0 '*"text":"yes <think>","reasoning":"well, </thin","ids"*' '' bound 'One\n' --grammar think.gbnf --json
json_lines out
t 0 '=yes <think>' '' "$LLMWS" generate -m "$M" --chat -p One --grammar think.gbnf --temp 0 --reasoning hide
t 0 $'=<think>\nwell, </thin\n</think>\n\nyes <think>' '' "$LLMWS" generate -m "$M" -p One --grammar think.gbnf --temp 0 --reasoning hide
t 0 '=yes' '' bound 'One\n' --grammar think.gbnf --reasoning hide --stop ' <th'

usage 'give --chat too' "$LLMWS" generate -m "$M" -p a --system b
usage '--chat and --raw are both given' "$LLMWS" generate -m "$M" -p a --chat --raw
usage '--chat and --ids are both given' "$LLMWS" generate -m "$M" --ids 1 --chat
usage 'give --json' "$LLMWS" chat -m "$M" --logprobs 2
finish
