# The Debian package: what it needs, what it holds, and that the program in it runs.
. "${BASH_SOURCE%/*}/cases.bash"
command -v cpack >/dev/null && command -v dpkg-deb >/dev/null && command -v dpkg-shlibdeps >/dev/null || exit 77
grep -q '^LLMWS_SAN:STRING=.' "$BUILD/CMakeCache.txt" && exit 77
cp "$BUILD/CPackConfig.cmake" . && t 0 '*generated*' '*' cpack --config CPackConfig.cmake -B "$T/deb"
deb=$(echo "$T"/deb/llmws_*.deb)
field() { dpkg-deb -f "$deb" "$1"; }
count=$((count + 4))
[[ $(field Depends) =~ ^libc6\ .*libcjson1.*libpcre2-8-0 ]] || bad "Depends: $(field Depends)"
[[ $(field Package) == llmws && $(field Section) == science ]] || bad "$(field Package), $(field Section)"
[[ "llmws $(field Version)" == "$("$LLMWS" --version)" ]] || bad "Version: $(field Version)"
[[ $(field Description) == *$'\n'* && $(field Maintainer) == *@* ]] || bad "Description: $(field Description)"
dpkg-deb -c "$deb" >list
grep -vE '^[-d]rw[-x]r-[-x]r-[-x] root/root|^l' list && bad "owners or modes are unusual"
dpkg-deb -x "$deb" root
for f in bin/llmws include/llmws.h lib/libllmws.a lib/libllmws.so lib/libllmws.so.0 lib/pkgconfig/llmws.pc share/doc/llmws/copyright \
    share/man/man1/llmws.1.gz share/man/man1/llmws-generate.1.gz share/bash-completion/completions/llmws \
    share/zsh/vendor-completions/_llmws share/fish/vendor_completions.d/llmws.fish; do
    count=$((count + 1))
    [[ -s root/usr/$f ]] || bad "usr/$f is missing"
done
[[ $(wc -l <list) == $(grep -cE ' \./usr/' list) ]] || bad "something stands outside /usr: $(grep -vE ' \./usr/' list)"
count=$((count + 1))
(($(stat -c %s root/usr/bin/llmws) < $(stat -c %s "$BUILD/llmws"))) || bad "the program is not stripped"

# A copy of the program alone is enough.
mv root/usr/bin/llmws alone && rm -r root
t 0 '*"event":"done"*' '' ${LLMWS_EMULATOR-} ./alone generate -m "$M" --ids 1,2,3 -n 2 --temp 0 --ignore-eos --json -t 1
if compgen -G "$SRC/formats/builtin/*.gguf" >ggufs; then
    t 0 '*"event":"done"*' '' ${LLMWS_EMULATOR-} ./alone generate -p 'Once upon a time' -n 2 --ignore-eos --json -t 1
fi
finish
