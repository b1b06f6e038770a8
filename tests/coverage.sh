# Lines that the tests run, per file and per room, by gcc's gcov alone: bash tests/coverage.sh [BUILD_DIR [ROOM...]]
# Builds in BUILD_DIR (default build-coverage), runs the tests there, then prints the files of the rooms (default: formats
# tokenizer), worst first. A run that ends by a signal or by _exit counts nothing. SKIP=REGEX leaves tests out.
set -euo pipefail
src=$(cd "${BASH_SOURCE%/*}/.." && pwd)
dir=${1:-$src/build-coverage}
rooms=("${@:2}")
[[ ${#rooms[@]} -gt 0 ]] || rooms=(formats tokenizer)
export LC_ALL=C

cmake -S "$src" -B "$dir" -G Ninja -DCMAKE_C_COMPILER=gcc -DLLMWS_COVERAGE="$(IFS=';'; echo "${rooms[*]}")" >/dev/null
cmake --build "$dir" | tail -n 1
find "$dir" -name '*.gcda' -delete
# The lints look at sources and a plain build; install links a program that knows nothing of gcov.
ctest --test-dir "$dir" -E "^lint/|cli/install${SKIP:+|$SKIP}" --timeout 600 | tail -n 4

cd "$src"
find "$dir/CMakeFiles/objects.dir" -name '*.gcda' -print0 | xargs -0 gcov -n -r -s "$src" 2>/dev/null | awk -v rooms="${rooms[*]}" '
/^File / { file = substr($0, 7, length($0) - 7) }
/^Lines executed:/ && file ~ /\.c$/ {
    split(substr($0, 16), part, "% of ")
    room = substr(file, 1, index(file, "/"))
    hit[room] += part[1] * part[2] / 100
    lines[room] += part[2]
    printf "%6.1f %% of %5d lines  %s\n", part[1], part[2], file | "sort -n"
}
END {
    close("sort -n")
    for (room in lines) printf "%6.1f %% of %5d lines  %s\n", 100 * hit[room] / lines[room], lines[room], room
}'
