"""Builds the reference for tests/parity/check_smollm2.py from a GGUF file of a Llama model with a byte-level BPE tokenizer.

usage: smollm2_reference.py MODEL.gguf DIR [--only model,prompts,text,long] [--threads 2]

DIR becomes a Hugging Face directory whose float32 weights are the DEQUANTISED weights of the file (config.json, generation_config.json,
model.safetensors, tokenizer.json, tokenizer_config.json), checked to load in transformers, and beside it what transformers computes from it in
float32 on the CPU:
  reference_prompts.safetensors  for each prompt of prompts.txt: <name>.ids, .greedy [64], .gap [64] (top-1 minus top-2 logit before each token),
                                 .top2 [64,2]; and locate.ids, locate.hidden.<i>, locate.logits of one prompt, to find where two programs part
  reference_text.safetensors     text.ids; text.logits [windows * 255, V]: rows 256..510 of every window of 512 tokens of text20k.txt
  reference_text.kld             the same rows in the form that llama-perplexity --kl-divergence reads
  reference_long.safetensors     long.ids [8128]; long.logits [129, V]: after 8,000 prompt tokens, and after each of the 128 greedy tokens

Needs: torch, transformers, tokenizers, safetensors, gguf, numpy (made with torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0).
The computing takes about 5 minutes on 2 cores, DIR about 1.4 GB.
"""
import argparse
import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import gguf
import numpy as np
import torch
from safetensors.torch import save_file

sys.dont_write_bytecode = True
import kld

HERE = os.path.dirname(os.path.abspath(__file__))
NEW_TOKENS = 64
LONG_PROMPT, LONG_NEW = 8000, 128
LOCATE = "prose-story"


def read_prompts():
    """[(name, text)]: sections of prompts.txt between lines that begin with %%; the newline before the next such line is not text."""
    out = []
    for part in open(os.path.join(HERE, "prompts.txt"), encoding="utf-8").read().split("%% ")[1:]:
        name, text = part.split("\n", 1)
        out.append((name, text.removesuffix("\n")))
    return out


def read_text():
    return open(os.path.join(HERE, "text20k.txt"), encoding="utf-8").read().removesuffix("\n")


# -- the Hugging Face directory --


def dump(obj, path):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(obj, f, indent=2, ensure_ascii=False)
        f.write("\n")


def hf_order(w, heads):
    """Rows of q and k: a GGUF file holds each head's pairs (2i, 2i+1) side by side, Hugging Face its two halves."""
    e = w.shape[0] // heads
    return w.reshape(heads, e // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)


def build_weights(reader, heads, kv_heads):
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
    layer = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj"}
    out = {}
    for t in reader.tensors:
        w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
        if t.name in whole:
            name = whole[t.name]
        else:
            _, i, kind, suffix = t.name.split(".")
            assert suffix == "weight", t.name
            name = f"model.layers.{i}.{layer[kind]}.weight"
            if kind in ("attn_q", "attn_k"):
                w = hf_order(w, heads if kind == "attn_q" else kv_heads)
        assert name not in out and list(w.shape) == list(reversed(t.shape.tolist())), t.name
        out[name] = torch.from_numpy(np.ascontiguousarray(w))
    return out


def build_tokenizer(meta, out):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    assert meta["tokenizer.ggml.model"] == "gpt2" and meta["tokenizer.ggml.pre"] == "smollm", "only the tokenizer of SmolLM is built here"
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, types) if k == gguf.TokenType.CONTROL])
    tok.add_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types) if k == gguf.TokenType.USER_DEFINED])
    assert tok.get_vocab_size() == len(tokens), "a special token got an id of its own"
    assert not meta["tokenizer.ggml.add_bos_token"], "a BOS would need a post-processor"
    tok.save(os.path.join(out, "tokenizer.json"))
    name = lambda key: tokens[meta[f"tokenizer.ggml.{key}_token_id"]]
    dump({"add_bos_token": False, "add_prefix_space": False, "bos_token": name("bos"), "chat_template": meta["tokenizer.chat_template"],
          "clean_up_tokenization_spaces": False, "eos_token": name("eos"), "model_max_length": meta["llama.context_length"], "pad_token": name("padding"),
          "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": name("unknown")}, os.path.join(out, "tokenizer_config.json"))


def build_model(path, out):
    reader = gguf.GGUFReader(path)
    meta = {k: f.contents() for k, f in reader.fields.items()}
    assert meta["general.architecture"] == "llama"
    heads, kv_heads = meta["llama.attention.head_count"], meta["llama.attention.head_count_kv"]
    weights = build_weights(reader, heads, kv_heads)
    ids = {f"{k}_token_id": meta[f"tokenizer.ggml.{g}_token_id"] for k, g in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}
    dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "mlp_bias": False, "hidden_act": "silu",
          "hidden_size": meta["llama.embedding_length"], "intermediate_size": meta["llama.feed_forward_length"],
          "num_hidden_layers": meta["llama.block_count"], "num_attention_heads": heads, "num_key_value_heads": kv_heads,
          "head_dim": meta["llama.rope.dimension_count"], "max_position_embeddings": meta["llama.context_length"],
          "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.7g}"), "rope_scaling": None,
          "rope_theta": meta["llama.rope.freq_base"], "tie_word_embeddings": "lm_head.weight" not in weights,
          "torch_dtype": "float32", "vocab_size": len(meta["tokenizer.ggml.tokens"])} | ids, os.path.join(out, "config.json"))
    dump({"_from_model_config": True} | ids, os.path.join(out, "generation_config.json"))
    save_file(weights, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    build_tokenizer(meta, out)


def load(out):
    """The model and tokenizer of DIR, after a check that every tensor of the file is used and none is missing."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    model, info = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="sdpa", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    tok = AutoTokenizer.from_pretrained(out)
    sample = "Hello, wörld 123!\n  <|im_start|>x"
    ids = tok(sample, add_special_tokens=False)["input_ids"]
    assert tok.decode(ids) == sample and tok.convert_tokens_to_ids("<|im_start|>") in ids
    return model.eval(), tok


# -- what transformers computes --


@torch.no_grad()
def greedy(model, ids, n, keep_logits=False):
    """n greedy tokens after ids, EOS ignored, with the key/value cache; also the gap and the two best tokens before each one, and the logits."""
    out = model(input_ids=torch.tensor([ids]), use_cache=True, logits_to_keep=1)
    new, gap, top2, rows = [], [], [], [out.logits[0, -1]]
    for _ in range(n):
        top = rows[-1].topk(2)
        new.append(int(top.indices[0]))
        gap.append(float(top.values[0] - top.values[1]))
        top2.append(top.indices.tolist())
        out = model(input_ids=torch.tensor([[new[-1]]]), past_key_values=out.past_key_values, use_cache=True)
        rows = rows + [out.logits[0, -1]] if keep_logits else [out.logits[0, -1]]
    return new, gap, top2, torch.stack(rows)


@torch.no_grad()
def make_prompts(model, tok, out):
    t = {}
    for name, text in read_prompts():
        ids = tok(text, add_special_tokens=False)["input_ids"]
        new, gap, top2, _ = greedy(model, ids, NEW_TOKENS)
        t |= {f"{name}.ids": torch.tensor(ids, dtype=torch.int32), f"{name}.greedy": torch.tensor(new, dtype=torch.int32), f"{name}.gap": torch.tensor(gap),
              f"{name}.top2": torch.tensor(top2, dtype=torch.int32)}
        print(f"{name:20s} {len(ids):4d} tokens, smallest gap {min(gap):.5f}: {tok.decode(new)[:60]!r}", flush=True)
    ids = t[f"{LOCATE}.ids"].long()[None]
    r = model(input_ids=ids, output_hidden_states=True, use_cache=False)
    t["locate.ids"], t["locate.logits"] = ids[0].int(), r.logits[0]
    t |= {f"locate.hidden.{i}": h[0].contiguous() for i, h in enumerate(r.hidden_states)}
    save_file(t, os.path.join(out, "reference_prompts.safetensors"))


@torch.no_grad()
def make_text(model, tok, out):
    ids = tok(read_text(), add_special_tokens=False)["input_ids"]
    w = kld.windows(ids)
    rows = [model(input_ids=torch.from_numpy(x).long()[None], use_cache=False).logits[0, kld.FIRST : -1].clone() for x in w]
    labels = [torch.from_numpy(x[kld.FIRST + 1 :]).long() for x in w]
    loss = torch.stack([torch.nn.functional.cross_entropy(r, l) for r, l in zip(rows, labels)]).mean()
    print(f"text: {len(ids)} tokens, {len(w)} windows, perplexity {loss.exp():.4f}", flush=True)
    kld.write_base(os.path.join(out, "reference_text.kld"), w, lambda i: rows[i].numpy())
    save_file({"text.ids": torch.tensor(ids, dtype=torch.int32), "text.logits": torch.cat(rows)}, os.path.join(out, "reference_text.safetensors"))


def long_ids(tok):
    ids = tok(read_text() + "\n\n", add_special_tokens=False)["input_ids"]
    return (ids * (LONG_PROMPT // len(ids) + 1))[:LONG_PROMPT]


def make_long(model, tok, out):
    ids = long_ids(tok)
    new, gap, _, rows = greedy(model, ids, LONG_NEW, keep_logits=True)
    print(f"long: smallest gap {min(gap):.5f}: {tok.decode(new)[:80]!r}", flush=True)
    save_file({"long.ids": torch.tensor(ids + new, dtype=torch.int32), "long.gap": torch.tensor(gap), "long.logits": rows},
              os.path.join(out, "reference_long.safetensors"))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("gguf")
    ap.add_argument("dir")
    ap.add_argument("--only", default="model,prompts,text,long")
    ap.add_argument("--threads", type=int, default=2)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    os.makedirs(a.dir, exist_ok=True)
    parts = a.only.split(",")
    if "model" in parts:
        build_model(a.gguf, a.dir)
    model, tok = load(a.dir)
    for name, make in (("prompts", make_prompts), ("text", make_text), ("long", make_long)):
        if name in parts:
            t = time.time()
            make(model, tok, a.dir)
            print(f"{name}: {time.time() - t:.0f} s", flush=True)


if __name__ == "__main__":
    main()
