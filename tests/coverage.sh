# Lines that the tests run, per file and per room, by gcov alone (cc must be gcc): bash tests/coverage.sh [BUILD_DIR [ROOM...]]
# Builds in BUILD_DIR (default build-coverage), runs the tests there, then prints the files of the rooms (default: formats
# tokenizer), worst first. A run that ends by a signal or by _exit counts nothing. SKIP=REGEX leaves tests out.
# As root fault/test_hostile fails here: what it starts without root's rights says that it may not write its counts.
set -euo pipefail
src=$(cd "${BASH_SOURCE%/*}/.." && pwd)
dir=${1:-$src/build-coverage}
rooms=("${@:2}")
failed=0
[[ ${#rooms[@]} -gt 0 ]] || rooms=(formats tokenizer)
export LC_ALL=C

cmake -S "$src" -B "$dir" -G Ninja -DLLMWS_COVERAGE="$(IFS=';'; echo "${rooms[*]}")" >/dev/null
cmake --build "$dir" | tail -n 1
find "$dir" -name '*.gcda' -delete
# The lints look at sources and a plain build; install links a program that knows nothing of gcov.
ctest --test-dir "$dir" -E "^lint/|cli/install${SKIP:+|$SKIP}" --timeout 600 | tail -n 4 || failed=1

cd "$src"
find "$dir/CMakeFiles/objects.dir" -name '*.gcda' -print0 | xargs -0 gcov -n -r -s "$src" 2>/dev/null | awk -v rooms="${rooms[*]}" '
/^File / { file = substr($0, 7, length($0) - 7) }
/^Lines executed:/ && file ~ /\.c$/ {
    split(substr($0, 16), part, "% of ")
    room = substr(file, 1, index(file, "/"))
    hit[room] += part[1] * part[2] / 100
    lines[room] += part[2]
    printf "%6.1f %% of %5d lines  %s\n", part[1], part[2], file | "sort -n"
    file = "" # the last count of a run is of all files
}
END {
    close("sort -n")
    for (room in lines) printf "%6.1f %% of %5d lines  %s\n", 100 * hit[room] / lines[room], lines[room], room
}'
exit $failed
