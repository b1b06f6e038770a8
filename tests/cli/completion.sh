# What bash offers after a beginning of a line.
. "${BASH_SOURCE%/*}/cases.bash"
. "$SRC/completions/llmws.bash"
compopt() { :; } # only known while bash completes

offers() { # WANTED WORD...: the last word is the one being completed
    local want=$1
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    count=$((count + 1))
    _llmws
    [[ ${COMPREPLY[*]} == $want ]] || bad "after '$*': '${COMPREPLY[*]}' is not '$want'"
}
touch some.gguf
offers '*generate*inspect*bench*help*--version*' llmws ''
offers 'generate' llmws gen
offers 'inspect' llmws help ins
offers '*--prompt*--temp*--kv-type*--help' llmws generate --
offers '--repeat' llmws bench --repe
offers '' llmws bench --tokeni
offers 'f32 f16 bf16 q8_0' llmws generate --kv-type ''
offers 'f32' llmws generate --kv-type = f3
offers 'f32 f16 bf16 q8_0' llmws generate --kv-type =
offers 'auto cpu' llmws inspect some.gguf --backend ''
offers 'some.gguf' llmws generate -m so
offers 'some.gguf' llmws inspect so
offers '' llmws generate --seed ''
offers '' llmws generate --prompt so
offers '--tokenize' llmws-inspect --toke
offers 'auto always never' /usr/bin/llmws-bench --color ''
complete -p llmws llmws-generate | grep -q -- '-F _llmws' || bad "the completion is not registered"
finish
