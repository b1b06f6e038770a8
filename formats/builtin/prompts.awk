# Beginnings of short stories, one JSON line each, for llmws generate --batch: awk -v n=COUNT -v seed=N -f prompts.awk
function pick(list, a, k) {
    k = split(list, a, "|")
    return a[1 + int(rand() * k)]
}
BEGIN {
    srand(seed)
    who = "a little girl named Lily|a boy named Tom|a small cat|a brave mouse|a kind dog|a young rabbit|a shy fox|a happy bear|a tiny bird|a boy named Ben|a girl named Mia|an old man|a little duck|a baby elephant|a friendly frog|a girl named Anna|a boy named Sam|a lazy pig|a clever crow|a little fish|two friends named Jack and Lucy|a grandmother|a farmer and his horse|a little robot|a turtle named Tim|a queen|a small dragon|a sheep|a squirrel|a boy named Max"
    want = "who finds a shiny stone|who wants to fly a kite|who is afraid of the dark|who lost a red hat|who plants a seed|who wants a new friend|who bakes a cake|who hears a strange noise|who gets lost in the woods|who helps someone in need|who learns to share|who builds a small boat|who wants to see the sea|who breaks a toy|who finds a magic box|who must tell the truth|who waits for the rain to stop|who wants to touch the moon|who is too proud|who learns to swim|who looks for a lost ball|who has a birthday|who cannot sleep|who saves a small bug|who climbs a tall tree|who eats too many apples|who sings a song|who draws a picture|who wants to be big|who goes to the market"
    where = "in a quiet village|in the forest|by the river|on a farm|in a big garden|near the sea|on a snowy day|in a small house|in the park|on a hill|at school|on a sunny morning|in the city|under a big tree|by the lake|one windy night"
    ends = "It has a happy ending.|Someone says thank you at the end.|They learn to be kind.|They learn to be brave.|They go home and are happy.|There is a surprise.|Friends help.|They say sorry and hug.|They laugh together at the end.|It ends at bedtime."
    for (i = 1; i <= n; i++)
        printf "{\"id\":\"%d\",\"seed\":%d,\"prompt\":\"Here is a very short story for small children about %s %s %s. %s It is told in easy words and short sentences.\\n\\nOnce upon a time\"}\n", i, seed * 100003 + i, pick(who), pick(want), pick(where), pick(ends)
}
