# man/ and completions/ are what the option tables say; tests/cli/test_models.sh looks after man/MODEL_SUPPORT.md. After a change of a table: bash tests/lint/emitted.sh --write build/llmws
if [[ ${1-} == --write ]]; then
    write=1 llmws=$(realpath "$2") source_dir=$(realpath "${BASH_SOURCE%/*}/../..")
else
    write='' llmws=$(realpath "$1") source_dir=$2
fi
cd "$source_dir" || exit 1
export LC_ALL=C.UTF-8
failed=0 known=' '
bad() {
    echo "$*"
    failed=1
}

one() { # FILE ARGUMENT...
    local file=$1
    shift
    known+="$file "
    if [[ $write ]]; then
        mkdir -p "${file%/*}" && "$llmws" __emit "$@" >"$file" || failed=1
    elif ! diff -u "$file" <("$llmws" __emit "$@"); then
        bad "$file is not what the tables say; write it with: bash tests/lint/emitted.sh --write PROGRAM"
    fi
}
one man/llmws.1 man
while read -r c; do one "man/llmws-$c.1" man "$c"; done < <(sed -n 's/^CMD(\(.*\))$/\1/p' cmd/cmds.def | tr _ -)
one completions/llmws.bash bash
one completions/_llmws zsh
one completions/llmws.fish fish
known+='man/MODEL_SUPPORT.md '
if [[ $write ]]; then "$llmws" test-models tests/data --quick --markdown --backend cpu >man/MODEL_SUPPORT.md || failed=1; fi
for f in man/* completions/*; do [[ $known == *" $f "* ]] || bad "$f belongs to no command"; done

# Readers of these forms have nothing to say against them, as far as they are here.
bash -n completions/llmws.bash || bad "bash does not take its completion"
! command -v zsh >/dev/null || zsh -n completions/_llmws || bad "zsh does not take its completion"
! command -v fish >/dev/null || fish -n completions/llmws.fish || bad "fish does not take its completion"
if command -v man >/dev/null && command -v groff >/dev/null; then
    for f in man/*.1; do
        said=$(MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$f" 2>&1 >/dev/null)
        [[ -z $said ]] || bad "$f: $said"
    done
fi
exit $failed
