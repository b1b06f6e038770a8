# The library as another program meets it: installed, the tree moved, found by pkg-config, linked shared and static, used by the
# public header alone. The program is the README's.
. "${BASH_SOURCE%/*}/cases.bash"
run=${LLMWS_EMULATOR-}
grep -q '^LLMWS_SAN:STRING=.' "$BUILD/CMakeCache.txt" && exit 77
t 0 '*' '' cmake --install "$BUILD" --prefix "$T/first"
mkdir 'moved here' && mv first 'moved here/tree' && ln -s 'moved here/tree' tree # pkg-config's output is split at spaces
for f in man/man1/llmws.1 man/man1/llmws-generate.1 bash-completion/completions/llmws zsh/site-functions/_llmws fish/vendor_completions.d/llmws.fish; do
    count=$((count + 1))
    [[ -s tree/share/$f ]] || bad "share/$f is not installed"
done
grep -rIlF "$T/first" tree/ && bad "these files name the place where they were installed first"

sed -n '/^```c$/,/^```$/{/^```/d;p}' "$SRC/README.md" >use.c
[[ -s use.c ]] || bad "the README has no example in C"
so=$(find "$T/tree/" -name libllmws.so)
lib=${so%/*}
export PKG_CONFIG_PATH=$lib/pkgconfig
cc=$(sed -n 's/^set(CMAKE_C_COMPILER "\(.*\)")$/\1/p' "$BUILD"/CMakeFiles/*/CMakeCCompiler.cmake)
strict=(-std=c11 -Wall -Wextra -Werror)
t 0 '' '' "$cc" "${strict[@]}" use.c $(pkg-config --cflags --libs llmws) -Wl,-rpath,"$lib" -o shared
t 0 '' '' "$cc" "${strict[@]}" use.c $(pkg-config --cflags --libs llmws) -o by_path
t 0 '' '' "$cc" "${strict[@]}" use.c $(pkg-config --cflags llmws) "${so%.so}.a" $(pkg-config --libs --static llmws | sed 's/-L[^ ]* *-lllmws//') -o static
t 0 '*' '' $run "$T/tree/bin/llmws" generate -m "$M" -p 'Hello, world' -n 16 --temp 0
printf %s "$(<out)" >cli
t 0 "=$(<cli)" '' $run ./shared "$M" 'Hello, world'
t 0 "=$(<cli)" '' env LD_LIBRARY_PATH="$lib" $run ./by_path "$M" 'Hello, world'
t 0 "=$(<cli)" '' $run ./static "$M" 'Hello, world'
t 1 '' "cannot open 'missing'*" $run ./static missing x
ldd static | grep -q libllmws && bad "the static program needs the shared library"
nm -D --defined-only "$so" | awk '{print $3}' | grep -v '^llmws_' && bad "the shared library exports names that are not its own"
finish
