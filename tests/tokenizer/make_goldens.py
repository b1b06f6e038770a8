#!/usr/bin/env python3
"""Small tokenizers and what the `tokenizers` package makes of hard strings with them.

    python3 tests/tokenizer/make_goldens.py        # needs the PyPI packages tokenizers and sentencepiece; 0.23.3 and
                                                   # 0.2.3 made the stored files

Writes tests/data/tokenizer/<name>/tokenizer.json and golden.json. A case is {"hex": bytes of the text, "ids",
"offsets": with special tokens recognised but none added; "added": the ids with those the post-processor adds; "plain":
the ids with special tokens not recognised, where they differ; "text_hex": the decoded bytes, where they are not the
text with every broken part replaced}. A tokenizer.model has ids and text_hex of SentencePiece. Trained on the samples below and on this repository's core/*.h.
"""
import base64
import glob
import json
import os
import sys
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

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


def metaspace():
    """Characters, bytes for what is unknown, normal forms, an added token that is looked for in normalised text."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.StripAccents()])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.train_from_iterator(SAMPLES[:4], trainers.BpeTrainer(
        vocab_size=650, show_progress=False, max_token_length=12,
        special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]))
    state = json.loads(t.to_str())
    state["added_tokens"] = [a for a in state["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(state))
    t.add_tokens([AddedToken("FOO", normalized=True), AddedToken("ÉBar", normalized=True, lstrip=True), AddedToken("[R]", rstrip=True)])
    return t


def gemma():
    """A space becomes a mark before anything else; unk without bytes, several together."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.train_from_iterator(SAMPLES[:2], trainers.BpeTrainer(vocab_size=200, show_progress=False, special_tokens=["<unk>", "<s>"]))
    t.post_processor = processors.RobertaProcessing(("<s>", 1), ("<unk>", 0), trim_offsets=False, add_prefix_space=False)
    return t


def gemma3(apart):
    """A space becomes a mark and splits nothing; bytes for what is unknown; merges that join text and the mark behind it;
    every way to make a token of two others is a merge: beside the first one, or `apart`, behind all."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.train_from_iterator([s for s in training_text() if len(s) < 400][:2] + training_text()[14:40], trainers.BpeTrainer(
        vocab_size=600, show_progress=False, max_token_length=8,
        special_tokens=["<unk>", "<s>"] + ["<0x%02X>" % b for b in range(256)]))
    state = json.loads(t.to_str())
    state["added_tokens"] = [a for a in state["added_tokens"] if not a["content"].startswith("<0x")]
    vocab, merges, more = state["model"]["vocab"], [], []
    for a, b in state["model"]["merges"]:
        others = [[(a + b)[:i], (a + b)[i:]] for i in range(1, len(a + b)) if i != len(a)]
        others = [o for o in others if o[0] in vocab and o[1] in vocab]
        merges.append([a, b])
        (more if apart else merges).extend(others)
    state["model"]["merges"] = merges + more
    t = Tokenizer.from_str(json.dumps(state))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def charsmap():
    """SentencePiece's map for a few rules, and the model that it came with."""
    rules = [("ﬁ", "fi"), ("Ⅷ", "VIII"), ("\u00a0", " "), ("①", "1"), ("½", "1/2"), ("e\u0301", "é"), ("\t", " "), ("\u200b", ""), ("ab", "x y")]
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/rules.tsv", "w", encoding="utf-8") as f:
            f.writelines("%s\t%s\n" % (" ".join("%X" % ord(c) for c in a), " ".join("%X" % ord(c) for c in b)) for a, b in rules)
        with open(d + "/text.txt", "w", encoding="utf-8") as f:
            f.write("\n".join(t.replace("\n", " ") for t in training_text()))
        out = {}
        for kind, more in (("unigram", {}), ("bpe", {"byte_fallback": True, "remove_extra_whitespaces": False})):
            sentencepiece.SentencePieceTrainer.train(
                input=d + "/text.txt", model_prefix=d + "/m", model_type=kind, vocab_size=700, normalization_rule_tsv=d + "/rules.tsv",
                user_defined_symbols=["<user>", "[M]", "barbaz"], control_symbols=["<ctl>"], minloglevel=2, character_coverage=0.98,
                num_threads=1, **more)
            out[kind] = open(d + "/m.model", "rb").read()
    return out


def precompiled_of(model):
    """The character map in a model's bytes: field 2 of field 3."""
    from sentencepiece import sentencepiece_model_pb2
    m = sentencepiece_model_pb2.ModelProto.FromString(model)
    return m.normalizer_spec.precompiled_charsmap


def unigram(model):
    state = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None, "pre_tokenizer": None,
             "normalizer": {"type": "Sequence", "normalizers": [
                 {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(precompiled_of(model)).decode()},
                 {"type": "Nmt"}, {"type": "Strip", "strip_left": True, "strip_right": True},
                 {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
             "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
             "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["</s>", 0.0]], "byte_fallback": False}}
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    state["model"]["vocab"] += [[sp.id_to_piece(i), sp.get_score(i)] for i in range(3, sp.get_piece_size()) if not sp.is_control(i)]
    t = Tokenizer.from_str(json.dumps(state))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    t.add_special_tokens(["</s>"])
    return t


def splits():
    """Every pre-tokenizer of text, one after the other, and no decoder."""
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Strip(left=True, right=False)])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.CharDelimiterSplit("x"), pre_tokenizers.Split(Regex("[aeiou]+"), "merged_with_next"),
        pre_tokenizers.Split("th", "removed"), pre_tokenizers.Split(Regex(r"\p{L}+"), "contiguous", invert=True), pre_tokenizers.Whitespace()])
    t.train_from_iterator(SAMPLES[:4], trainers.BpeTrainer(vocab_size=250, show_progress=False, special_tokens=["<unk>"]))
    return t


def trained():
    """What the package's own trainer makes of tests/parity/text20k.txt, which tests/tokenizer/test_trainer.c trains on too."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    with open(os.path.join(ROOT, "tests", "parity", "text20k.txt"), encoding="utf-8", newline="") as f:
        t.train_from_iterator(f.read().split("\n\n"), trainer(1000, ["<s>", "</s>"]))
    return t


def spm_case(sp, raw):
    text = raw.decode("utf-8", "replace")
    ids = sp.encode(text)
    decoded = sp.decode(ids)
    out = {"hex": raw.hex(), "spm": ids}
    if decoded != text:
        out["text_hex"] = decoded.encode().hex()
    return out


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
    spm = charsmap()
    makers = {"smollm_2k": smollm, "llama3_2k": llama3, "gpt2_600": gpt2, "unk_120": unk, "metaspace_650": metaspace,
              "gemma_200": gemma, "splits_250": splits, "unigram_700": lambda: unigram(spm["unigram"]),
              "gemma3_600": lambda: gemma3(False), "gemma3_apart": lambda: gemma3(True), "trained_1000": trained}
    chosen = sys.argv[1:] or list(makers) + ["spm_unigram", "spm_bpe"]
    for name in chosen:
        if name.startswith("spm_"):
            folder = os.path.join(OUT, name)
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
                f.write(spm[name[4:]])
            sp = sentencepiece.SentencePieceProcessor(model_proto=spm[name[4:]])
            cases = [spm_case(sp, s.encode()) for s in SAMPLES + HARD] + [spm_case(sp, b) for b in BROKEN]
            with open(os.path.join(folder, "golden.json"), "w", encoding="ascii") as f:
                f.write('{"cases": [\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")
            continue
        t = makers[name]()
        folder = os.path.join(OUT, name)
        os.makedirs(folder, exist_ok=True)
        t.save(os.path.join(folder, "tokenizer.json"), pretty=False)
        if name.startswith("trained_"):
            continue
        cases = [case(t, s.encode()) for s in SAMPLES + HARD] + [case(t, b) for b in BROKEN]
        with open(os.path.join(folder, "golden.json"), "w", encoding="ascii") as f:
            f.write('{"cases": [\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
