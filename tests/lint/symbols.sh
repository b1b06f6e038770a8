# What the built library calls and keeps. It never prints, exits or reads the environment (BUG in base.c aside); its mutable
# globals are those of mutable_globals.txt, each with its reason.
lib=$3/libllmws.a list=$2/tests/lint/mutable_globals.txt
[[ -e $lib ]] || exit 77
if grep -q '^LLMWS_SAN:STRING=.' "$3/CMakeCache.txt"; then exit 77; fi # sanitizers add symbols of their own
command -v objdump >/dev/null || exit 77
failed=0

# object symbol section
table=$(objdump -t "$lib" | awk '/file format/ { sub(/:.*/, ""); object = $1; next } { sub(/[.]hidden /, "") } NF >= 4 { print object, $NF, $(NF - 2) }')

forbidden='printf|vprintf|__printf_chk|puts|putchar|fputs|fputc|putc|fprintf|__fprintf_chk|vfprintf|__vfprintf_chk|perror|stdout|stderr|stdin|exit|_exit|abort|getenv|secure_getenv|system|environ'
hits=$(awk -v p="^($forbidden)$" '$3 == "*UND*" && $2 ~ p && $1 != "base.c.o" { print "  " $1 " uses " $2 }' <<<"$table")
if [[ -n $hits ]]; then
    printf 'only cmd/ prints, exits or reads the environment:\n%s\n' "$hits"
    failed=1
fi

found=$(awk '$3 ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*|COMMON)/ && $3 !~ /rel\.ro/ && $2 != $3 && $2 !~ /^[$]/ { sub(/\.[0-9]+$/, "", $2); print $1, $2 }' <<<"$table" | sort -u)
allowed=$(awk '!/^#/ && NF { print $1, $2 }' "$list" | sort -u)
extra=$(comm -23 <(printf '%s\n' "$found") <(printf '%s\n' "$allowed") | sed '/^$/d')
stale=$(comm -13 <(printf '%s\n' "$found") <(printf '%s\n' "$allowed") | sed '/^$/d')
if [[ -n $extra ]]; then
    printf 'mutable globals that %s does not allow:\n%s\n' "${list##*/}" "$extra"
    failed=1
fi
if [[ -n $stale ]]; then
    printf 'rows of %s that no object has:\n%s\n' "${list##*/}" "$stale"
    failed=1
fi
if awk '!/^#/ && NF && NF < 4' "$list" | grep .; then
    echo "a row needs a reason"
    failed=1
fi
exit $failed
