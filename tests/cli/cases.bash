# The form of every test in this folder: `t STATUS OUT ERR COMMAND...` runs a command and compares its exit status, its
# stdout and its stderr (newlines at the end aside). OUT and ERR are globs; '=text' compares exactly; '' wants nothing.
set -u
LLMWS=$(realpath "$1") SRC=$(realpath "$2") BUILD=$(realpath "$3")
M=$SRC/tests/data/llama3
exec </dev/null
export LC_ALL=C.UTF-8
unset LLMWS_MODEL NO_COLOR COLUMNS
T=$(mktemp -d "$BUILD/cli.XXXXXX") && cd "$T" || exit 1
trap 'cd /; rm -rf "$T"' EXIT
failed=0 count=0

bad() {
    failed=$((failed + 1))
    echo "line ${BASH_LINENO[1]}: $*"
}

matches() { # TEXT PATTERN
    case $2 in
    =*) [[ $1 == "${2#=}" ]] ;;
    *) [[ $1 == $2 ]] ;;
    esac
}

t() {
    local status=$1 out=$2 err=$3 got
    shift 3
    count=$((count + 1))
    "$@" >"$T/out" 2>"$T/err"
    got=$?
    [[ $got == "$status" ]] || bad "exit status $got, not $status: $*: $(head -c 500 "$T/err")"
    matches "$(tr -d '\0' <"$T/out")" "$out" || bad "stdout of $*: '$(head -c 500 "$T/out")' is not '$out'"
    matches "$(tr -d '\0' <"$T/err")" "$err" || bad "stderr of $*: '$(head -c 500 "$T/err")' is not '$err'"
    return 0
}

# Usage errors: status 2, nothing on stdout, one line that holds PART.
usage() {
    local part=$1
    shift
    t 2 '' "llmws: *$part*" "$@"
    [[ $(wc -l <"$T/err") == 1 ]] || bad "not one line: $(cat "$T/err")"
}

# Every line of a file is one JSON value (RFC 8259).
json_pattern='(?(DEFINE)(?<s>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")(?<n>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)'\
'(?<v>(?&s)|(?&n)|true|false|null|\{(?:(?&s):(?&v)(?:,(?&s):(?&v))*)?\}|\[(?:(?&v)(?:,(?&v))*)?\]))^(?&v)$'
json_lines() {
    count=$((count + 1))
    [[ -s $1 ]] || bad "no JSON in $1"
    if grep -qvP "$json_pattern" "$1"; then bad "not JSON: $(grep -vP "$json_pattern" "$1" | head -n 1)"; fi
}

holds() { # FILE FIXED-STRING
    count=$((count + 1))
    grep -qF -- "$2" "$1" || bad "'$2' is not in: $(head -c 800 "$1")"
}

finish() {
    echo "$count checks, $failed failed"
    exit $((failed > 0))
}
