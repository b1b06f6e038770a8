#!/usr/bin/env python3
"""Small tokenizers and what the `tokenizers` package makes of hard strings with them.

    python3 tests/tokenizer/make_goldens.py        # needs the PyPI package tokenizers; 0.23.3 made the stored files

Writes tests/data/tokenizer/<name>/tokenizer.json and golden.json. A case is {"hex": bytes of the text, "ids",
"offsets": with special tokens recognised but none added; "added": the ids with those the post-processor adds; "plain":
the ids with special tokens not recognised, where they differ; "text_hex": the decoded bytes, where they are not the
text with every broken part replaced}. Trained on the samples below and on this repository's core/*.h.
"""
import glob
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "tests", "data", "tokenizer")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")

SAMPLES = [
    "The quick brown fox jumps over the lazy dog. It's 1024 + 2048 = 3072, isn't it? We'll see; they've gone, I'm sure.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Voix ambiguë d'un cœur qui au zéphyr préfère les jattes de kiwis.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "いろはにほへと ちりぬるを わかよたれそ つねならむ",
    "天地玄黃 宇宙洪荒 日月盈昃 辰宿列張",
    "다람쥐 헌 쳇바퀴에 타고파",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "Pijamalı hasta yağız şoföre çabucak güvendi. İIıi",
    "Tiếng Việt: Do bạch kim rất quý nên sẽ dùng để lắp vô xương.",
]

HARD = [
    "", " ", "  ", "   ", "\n", "\r\n", "\t", " \n", "\n ", " \n \n ", "\r\r\n\n", "a", "A", " a", "a ", "  a  ", "\ta\t",
    "a\nb", "a\r\nb", "a \n b", "a\n\n\nb", "a  b", "a   b    c", "   \n   x", "x   \n", "\n\n  two", "tab\t\ttab", "\u00a0",
    "a\u00a0b", "\u2003em\u2003space", "\u3000全角\u3000", "\u180emvs\u180e", " \u180e x", "\u200bzw\u200b", "\u0085nel\u0085",
    "\u2028ls\u2029ps", "it's", "IT'S", "It'S we'LL they'Ve I'D 'tis 'RE", "''s", "'", "''", "'\u017f", "x'\u017fx",
    "don't can't", "rock 'n' roll", "1", "12", "123", "1234", "1234567890", "3.14159", "1,000,000", "1e-10", "a1b2c3",
    "1st 2nd", "٣٤٥٦", "१२३४", "１２３４", "½¾", "Ⅷ ⅷ", "x²+y³", "①②③④", "一二三", "v1.2.3-rc4", "0x7fff", "%d %s", "!!!",
    "?!?!", "...", "…", "--", "a-b", "foo_bar_baz", "__init__", "snake_case camelCase PascalCase", "a+b=c",
    "#include <stdio.h>\n\nint main(void) {\n\treturn 0;\n}\n", "for (int i = 0; i < n; i++) {}",
    "if (a && b || !c) { x ^= ~y; }", "def f(x):\n    return x ** 2  # square\n", "https://example.org/a?b=c&d=%20#e",
    "user@example.org", "C:\\dir\\file", "\"quoted\" 'single' `tick`", "«guillemets» „low“ ‹x›", "crème brûlée",
    "cre\u0300me bru\u0302le\u0301e", "\u0301lone", "a\u0301\u0302\u0303b", "Straße STRASSE ẞ", "ﬁ ﬂ ﬆ", "İstanbul ıI",
    "Добрый день", "Ὀδυσσεύς", "日本語のテキスト", "日本 語", "中文,标点。", "한국어 텍스트", "ภาษาไทย", "हिन्दी भाषा",
    "عربي نص", "\u202bעברית\u202c", "தமிழ்", "ქართული", "հայերեն", "አማርኛ", "\U00020000\U0002a6d6", "🙂", "🙂🙂",
    "👩\u200d💻", "👨\u200d👩\u200d👧\u200d👦", "👍🏽", "🇩🇪🇫🇷", "☺\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\U0001d7d8\U0001d7d9", "\x00", "a\x00b",
    "\x01\x02\x7f", "\x1b[31mred\x1b[0m", "\ufeffbom", "\ufffd", "\uffff", "\U0010ffff", "\ue000", "a\u00adb", "\u0378",
    "x" * 47, "x" * 48, "x" * 49, "x" * 50, "ab" * 100, " " * 300, "\n" * 70, "é" * 60, "!" * 90, "1" * 61, "\t \t \t x",
    "the the the the the", "The THE the tHe", " leading", "trailing ", "Hello, world!", "naïve café — déjà vu",
    "mixed 日本 and 🙂 with Русский\tand\n\n123 numbers", "Ġ Ċ ĉ Ã© âĢĻ", "Ġthe", "a lazy mixed Pascal texttext",
    "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>", "<|im_start|><|im_end|>",
    "<|im_start", "<|im_start|", "a<|im_end|>b", " <|im_end|> ", "<|im_start|>1<|im_start|>", "<|IM_START|>",
    "<<|im_start|>>", "日<|im_end|>本", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are.<|eot_id|>",
    "<|eot_id|>", "x<|eot_id|>\n\ny", "plain [MASK] words", "word[MASK]word", "  [MASK]  x", "x\t\n[MASK]\u3000y",
    "[MASK][MASK]", " [MASK] [MASK] ", "日[MASK]本", "one foo two", "foofoo", "foo", "xfoo foox foo.", "foo-foo", "_foo",
    "foo1", "fooé", "foo\u0301", "foo\u200dx", "日foo", "barbaz", "bar baz", "bar", "rabbar",
    "longest longestmatch longestmatc", "œuvre", "l'œuvre", "[L] x", " [L]", "a  [L]b", "[R]  b", "[R]", "x [R] [L] y",
    "[L][R]", "[R]   [L]", "[R]\n", "[R]\u00a0x", "é [L] é", "\t\tx", "  two", "   three", "<s>x</s>", "<s> x </s>",
]

BROKEN = [
    b"\x80", b"a\xffb", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82x", b"\xe2(\xa1", b"\xf0\x9f\x99", b"\xf0\x9f\x99 ok",
    b"\xf0\x9f", b"\xf0", b"\xf0\x28\x8c\xbc", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xed\xb0\x80x",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe\xff", b"ok \xe6\x97\xa5\xe6\x9c tail", b"\xe6\xe6\x97\xa5",
    b"<|im_end|>\x80<|im_end|>", b"\x80\x80\x80", b"\xf1\x80\x80\xe2\x80z",
]


def training_text():
    text = list(SAMPLES)
    for path in sorted(glob.glob(os.path.join(ROOT, "core", "*.h"))):
        with open(path, encoding="utf-8") as f:
            text += f.read().split("\n\n")
    return text


def trainer(size, special):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, min_frequency=2,
                               initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))


def smollm():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(training_text(), trainer(2000, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]))
    return t


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(training_text(), trainer(1900, []))
    # Words that no merge builds: only ignore_merges finds them.
    state = json.loads(t.to_str())
    vocab = state["model"]["vocab"]
    for word in [" lazy", " mixed", "日本", " texttext", " Pascal", "é" * 60]:
        spelled = "".join(p for p, _ in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word))
        vocab.setdefault(spelled, len(vocab))
    t = Tokenizer.from_str(json.dumps(state))
    t.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"])
    bos = t.token_to_id("<|begin_of_text|>")
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)])])
    return t


def gpt2():
    """A prefix space, trimmed offsets, tokens around the text, every flag of added tokens. (An added token whose letters are
    all of the byte alphabet, as in é, is decoded as those bytes by the package, which is no text: none here.)"""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(training_text(), trainer(600, ["<s>", "</s>"]))
    t.add_special_tokens([AddedToken("[MASK]", lstrip=True, rstrip=True), AddedToken("[L]", lstrip=True),
                          AddedToken("[R]", rstrip=True)])
    t.add_tokens([AddedToken("foo", single_word=True), "bar", "barbaz", AddedToken("longest", normalized=False),
                  "longestmatch", AddedToken("œuvre", normalized=False)])
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True, add_prefix_space=True),
        processors.TemplateProcessing(single="<s> $A </s>",
                                      special_tokens=[("<s>", t.token_to_id("<s>")), ("</s>", t.token_to_id("</s>"))])])
    return t


def unk():
    """No alphabet beyond what was seen, an unknown token, fused; offsets trimmed without a prefix space."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(SAMPLES[:1], trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>"], show_progress=False))
    t.post_processor = processors.ByteLevel(trim_offsets=True, add_prefix_space=False)
    return t


def case(t, raw):
    text = raw.decode("utf-8", "replace")
    e = t.encode(text, add_special_tokens=False)
    out = {"hex": raw.hex(), "ids": e.ids, "offsets": [x for o in e.offsets for x in o],
           "added": t.encode(text, add_special_tokens=True).ids}
    t.encode_special_tokens = True
    plain = t.encode(text, add_special_tokens=False).ids
    t.encode_special_tokens = False
    if plain != e.ids:
        out["plain"] = plain
    decoded = t.decode(e.ids, skip_special_tokens=False)
    if decoded != text:
        out["text_hex"] = decoded.encode().hex()
    return out


def main():
    for name, make in (("smollm_2k", smollm), ("llama3_2k", llama3), ("gpt2_600", gpt2), ("unk_120", unk)):
        t = make()
        folder = os.path.join(OUT, name)
        os.makedirs(folder, exist_ok=True)
        t.save(os.path.join(folder, "tokenizer.json"), pretty=False)
        cases = [case(t, s.encode()) for s in SAMPLES + HARD] + [case(t, b) for b in BROKEN]
        with open(os.path.join(folder, "golden.json"), "w", encoding="ascii") as f:
            f.write('{"cases": [\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
