# Answers of llmws generate --batch to the prompts of prompts.awk, to training data: a JSON line {"text"} for each story that is kept,
# every 50th one to the file `heldout` instead. Texts stay escaped as JSON has them; bytes, so LC_ALL=C.
#     awk -v heldout=FILE -f filter.awk ANSWERS.jsonl... > stories.jsonl
function plain(s) { # ASCII only: quotes, dashes and dots have spellings in it
    gsub(/\342\200[\230\231]/, "'", s)
    gsub(/\342\200[\234\235]/, "\\\"", s)
    gsub(/ ?\342\200[\223\224] ?/, " - ", s)
    gsub(/\342\200\246/, "...", s)
    gsub(/ *(\\n)+ */, "\\n\\n", s)
    return s
}
# Up to the last end of a sentence outside of quotes.
function whole(s, at, end, quotes, c, n) {
    n = length(s)
    for (at = 1; at <= n; at++) {
        c = substr(s, at, 1)
        if (c == "\\") {
            at++
            if (substr(s, at, 1) != "\"") continue
            if (++quotes % 2 == 0 && index(".!?", substr(s, at - 2, 1))) end = at
        } else if (index(".!?", c) && quotes % 2 == 0) {
            end = at
        }
    }
    return substr(s, 1, end)
}
# The share of four words in a row that did not stand before.
function distinct(s, w, n, i, seen, k, four) {
    gsub(/\\n|\\"/, " ", s)
    n = split(s, w, " ")
    for (i = 4; i <= n; i++) {
        four = w[i - 3] " " w[i - 2] " " w[i - 1] " " w[i]
        if (!(four in seen)) k++
        seen[four] = 1
    }
    return n > 3 ? k / (n - 3) : 0
}
match($0, /"text":"([^"\\]|\\.)*"/) {
    s = whole(plain("Once upon a time" substr($0, RSTART + 8, RLENGTH - 9)))
    if (length(s) < 250 || s in known || s ~ /[^ -~]/ || s ~ /\\[^n"]/) next # short, twice, or in letters of another kind
    if (s ~ /[][*#_<>{}|\/@=~`]|\\n *-|[0-9][.)]|:\\n/) next                   # markup, lists
    if (tolower(s) ~ /(this|the|our|my) (short )?story (is|was|has|of|about|ends|teaches)|the (author|reader|narrator|moral)|chapter|illustrat|in conclusion|fairy tale|.once upon a time/) next
    if (distinct(s) < 0.9) next
    known[s] = 1
    if (++kept % 50 == 0)
        print "{\"text\":\"" s "\"}" > heldout
    else
        print "{\"text\":\"" s "\"}"
}
