# Which room may include which: core knows itself and libc; tokenizer, formats and each backend know core and themselves;
# cmd knows all. The facade behind the public header, core/llmws_*, ties the rooms together: it may include all but cmd, and
# nothing else may include its header. Foreign headers stay in the room that owns them.
cd "$2" || exit 1
failed=0
bad() {
    echo "$*"
    failed=1
}

check() { # FOLDER ALLOWED-PREFIXES
    local f line allowed
    for f in "$1"/*.[ch] "$1"/*.def; do
        [[ -e $f ]] || continue
        allowed="^($2)/"
        [[ $f == core/llmws_* ]] && allowed='^(core|tokenizer|formats|backends/[a-z]*)/'
        while IFS= read -r line; do
            [[ $line =~ $allowed ]] || bad "$f includes \"$line\": not allowed from $1"
            [[ $line != core/llmws_* || $f == core/llmws_* ]] || bad "$f includes \"$line\": only the facade may"
        done < <(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$f")
    done
}
check core 'core'
check tokenizer 'core|tokenizer'
check formats 'core|formats'
for b in backends/*/; do [[ -d $b ]] && check "${b%/}" "core|${b%/}"; done
check cmd 'core|tokenizer|formats|backends/[a-z]*|cmd'

fence() { # HEADERS OWNER
    local hits
    hits=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*<($1)>" --include='*.[ch]' $(ls -d core tokenizer formats backends cmd 2>/dev/null) | grep -v "^$2/")
    [[ -z $hits ]] || bad "only $2 may include this: $hits"
}
fence '[a-z0-9]*intrin\.h|arm_neon\.h|cblas\.h' backends/cpu
fence 'cuda.*|cublas.*|nccl.*' backends/cuda
fence '(cjson/)?cJSON\.h|stb.*|yajl.*' formats
fence 'pcre2.*|utf8proc\.h' tokenizer
fence 'curl.*' formats
fence 'termios\.h|sys/ioctl\.h|editline.*|readline.*|histedit\.h' cmd
hits=$(grep -rnE '__builtin_ia32_|_mm(256|512)?_[a-z]' --include='*.[ch]' core tokenizer formats cmd)
[[ -z $hits ]] || bad "intrinsics outside backends/cpu: $hits"
exit $failed
