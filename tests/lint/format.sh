# Every C file is as clang-format leaves it. Other versions than 14 break lines elsewhere, so only that one decides.
cd "$2" || exit 1
tool=$(command -v clang-format-14 || command -v clang-format) || exit 77
[[ $("$tool" --version) == *'version 14.'* ]] || exit 77
find core tokenizer formats backends cmd tests -name '*.[ch]' -print0 2>/dev/null | xargs -0 "$tool" --dry-run -Werror
