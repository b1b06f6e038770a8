# Unfinished work and paths of one machine stay out of the tree; every command has a test named after it.
cd "$2" || exit 1
failed=0
rooms=(core tokenizer formats backends cmd tests man completions CMakeLists.txt CMakePresets.json README.md)
here=()
for r in "${rooms[@]}"; do [[ -e $r ]] && here+=("$r"); done
look() { # WHAT PATTERN
    local hits
    hits=$(grep -rnIE "$2" --exclude-dir=data --exclude-dir=seeds --exclude=habits.sh "${here[@]}" | cut -c1-200)
    if [[ -n $hits ]]; then
        printf '%s:\n%s\n' "$1" "$hits"
        failed=1
    fi
}
look 'unfinished work' '\b(TODO|FIXME|XXX|HACK)\b|[Nn]ot (yet )?implemented'
look 'code that is switched off' '^[[:space:]]*#[[:space:]]*if[[:space:]]+0\b'
look 'a path of one machine' '(^|[^[:alnum:]_.])/(work|root|home|Users)/[[:alnum:]]'
while read -r name; do
    if ! compgen -G "tests/cli/$name*.sh" >/dev/null; then
        echo "no tests/cli/$name.sh for the command $name"
        failed=1
    fi
done < <(sed -n 's/^CMD(\(.*\))$/\1/p' cmd/cmds.def)
exit $failed
