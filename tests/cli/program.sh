# The program itself: how commands are found, help, version, links, wrong usage.
. "${BASH_SOURCE%/*}/cases.bash"

t 0 'Usage: llmws COMMAND*generate*inspect*' '' "$LLMWS"
t 0 'Usage: llmws COMMAND*' '' "$LLMWS" -h
t 0 'Usage: llmws COMMAND*' '' "$LLMWS" --help
t 0 'Usage: llmws COMMAND*' '' "$LLMWS" help
t 0 'Usage: llmws COMMAND*' '' "$LLMWS" help help
t 0 'Usage: llmws inspect *' '' "$LLMWS" --help inspect
t 0 'Usage: llmws inspect *' '' env COLUMNS=50 "$LLMWS" inspect --help
sed '/^Examples/,$d' out | grep -P '^.{51,}' && bad "COLUMNS=50: help is wider"
t 0 'llmws [0-9]*.[0-9]*' '' "$LLMWS" --version
for c in generate chat inspect bench; do
    t 0 "Usage: llmws $c *Examples:*llmws $c *" '' "$LLMWS" "$c" --help
    cp "$T/out" "$T/help"
    t 0 "=$(cat "$T/help")" '' "$LLMWS" help "$c"
    t 0 "=$(cat "$T/help")" '' "$LLMWS" "$c" -h
    # Every option that help names is known, in both spellings, and nothing is wider than the page.
    for o in $(grep -oP -- '^ {2,6}(-\w, )?--\K[a-z0-9-]+' "$T/help"); do
        for spelled in "--$o" "--${o//-/_}"; do
            "$LLMWS" "$c" "$spelled" 2>&1 | grep -q 'unknown option' && bad "$c $spelled is unknown"
        done
    done
    sed '/^Examples/,$d' "$T/help" | grep -P '^.{81,}' && bad "$c: help is wider than 80 columns"
done

usage "'' must be one of man, bash, zsh, fish" "$LLMWS" __emit
usage "'html' must be one of" "$LLMWS" __emit html
usage "unknown command 'nope'" "$LLMWS" __emit man nope
usage 'one file serves all commands' "$LLMWS" __emit bash generate

t 0 '' '' "$LLMWS" --install .
t 0 'Usage: llmws inspect *' '' ${LLMWS_EMULATOR-} ./llmws-inspect --help
t 0 '' '' "$LLMWS" --install .
usage 'unknown option' ${LLMWS_EMULATOR-} ./llmws-generate --bogus
touch taken && mkdir d && touch d/llmws-generate
t 1 '' 'llmws: cannot make the link *' "$LLMWS" --install d

usage "unknown command 'genrate' (did you mean 'generate'?)" "$LLMWS" genrate
usage "unknown command 'xyzzy'" "$LLMWS" xyzzy
usage "unknown command 'nope'" "$LLMWS" help nope
usage 'options follow the command' "$LLMWS" --json generate
usage "did you mean '--temp'?); see 'llmws generate --help'" "$LLMWS" generate --tmp 0
usage "did you mean '--max-tokens'" "$LLMWS" generate --max_toknes 5
usage "did you mean '--tensors'" "$LLMWS" inspect "$M" --tensor
usage "unexpected argument 'words'" "$LLMWS" generate -m "$M" words
usage "unexpected argument 'two'" "$LLMWS" inspect one two
usage "must be a whole number from 1 to" "$LLMWS" generate -m "$M" -p a -t 0
usage "must be one of f32|f16|bf16|q8_0" "$LLMWS" generate -m "$M" -p a --kv-type q9
usage "must be one of auto|cpu" "$LLMWS" generate -m "$M" -p a --backend gpu
usage "no model" "$LLMWS" generate -m '' -p a
usage "no prompt" "$LLMWS" generate -m "$M"
usage "unexpected argument '-n'" "$LLMWS" generate -m "$M" -p a -- -n 5
usage "unknown option '--?x1b?31m'" "$LLMWS" generate $'--\033[31m'
t 5 '' 'llmws: backend not available*' "$LLMWS" generate -m "$M" -p a --backend cuda
t 5 '' 'llmws: backend not available*' "$LLMWS" inspect "$M" --estimate --backend cuda:1

usage 'no such instruction set' "$LLMWS" generate -m "$M" -p a --isa z80

# A path that is no model: the one that was meant.
ln -s "$M" tiny-llama && mkdir folder two && touch folder/m.gguf two/{a,b}.gguf
t 3 '' "=llmws: cannot open 'tiny-lama': No such file or directory (did you mean 'tiny-llama'?)" "$LLMWS" generate -m tiny-lama -p a
t 3 '' "*'$T/tiny-lama': No such file or directory (did you mean '$T/tiny-llama'?)" "$LLMWS" inspect "$T/tiny-lama"
t 3 '' "*no config.json (did you mean 'folder/m.gguf'?)" "$LLMWS" inspect folder
t 3 '' "*; name one of its 2 .gguf files, such as 'two/?.gguf'" "$LLMWS" inspect two/
t 3 '' "=llmws: cannot open 'quite/another': No such file or directory" "$LLMWS" inspect quite/another

t 0 $'\033*' '' "$LLMWS" generate --help --color always
t 2 '' $'\033*' "$LLMWS" generate --color always
t 2 '' 'llmws: *' "$LLMWS" generate --color never
finish
