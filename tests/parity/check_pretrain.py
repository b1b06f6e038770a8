#!/usr/bin/env python3
"""New models against transformers: python check_pretrain.py LLMWS. Makes a small model of every family, trains two steps, and
wants from transformers: that it loads with no weight missing or left over, the same ids, and the same logits within 2e-5 of their
largest. Then a model of settings in a file that learns short conversations: its answers end where transformers' generate looks."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

FAMILIES = "llama mistral mixtral qwen2 qwen3 qwen3_moe smollm3 phi3 gemma2 gemma3 phi gpt2".split()
WINDOWED = {"mistral", "mixtral", "phi3", "gemma2", "gemma3"}
TEXT = "Once upon a time the number 7 was followed by 8."


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, args))}: {done.stderr}")
    return done.stdout


def check(llmws, path):
    tok = AutoTokenizer.from_pretrained(path)
    model, info = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], (kind, info[kind])
    ids = tok(TEXT)["input_ids"]
    ours = json.loads(run(llmws, "inspect", path, "--tokenize", TEXT, "--json").splitlines()[-1])["ids"]
    assert ids == ours, (ids, ours)
    assert tok.decode(ids, skip_special_tokens=True) == TEXT
    out = path / "logits.safetensors"
    run(llmws, "inspect", path, "--ids", ",".join(map(str, ids)), "--capture", "lm_head", "-o", out, "--compute", "f32", "--kv-type", "f32")
    got = load_file(out)["lm_head"]
    want = []  # what the module gives: soft caps come later
    model.lm_head.register_forward_hook(lambda module, args, out: want.append(out[0]))
    with torch.no_grad():
        model(torch.tensor([ids]))
    worst = ((got - want[0]).abs().max() / want[0].abs().max()).item()
    assert worst < 2e-5, worst
    return worst, model, tok


def main(llmws):
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        data, chats = tmp / "d.jsonl", tmp / "chats.jsonl"
        data.write_text("".join(json.dumps({"text": f"Once upon a time the number {i} was followed by {i + 1}."}) + "\n" for i in range(60)))
        chats.write_text(
            "".join(
                json.dumps({"messages": [{"role": "user", "content": f"After {i}?"}, {"role": "assistant", "content": f"Then {i + 1}."}]}) + "\n"
                for i in range(60)
            )
        )
        how = ["--steps", 2, "--batch-size", 2, "--seq-len", 64, "--lr", "1e-3", "-t", 1, "--train-tokenizer", 320, "-q"]
        for family in FAMILIES:
            config = "hidden_size=64,num_hidden_layers=3,num_key_value_heads=2"
            if family in ("gpt2", "phi"):
                config = "hidden_size=64,num_hidden_layers=3"
            if family in WINDOWED:
                config += ",sliding_window=8"
            if family in ("qwen2", "qwen3"):
                config += ",sliding_window=8,use_sliding_window=true,max_window_layers=1"
            run(llmws, "train", data, "--arch", family, "--config", config, "-o", tmp / family, *how)
            worst, model, _ = check(llmws, tmp / family / "checkpoints/step-2")
            print(f"{family:10} logits within {worst:.1e} of transformers, ends at {model.generation_config.eos_token_id}")
        settings = tmp / "llama.json"
        settings.write_text(
            json.dumps(
                {
                    "model_type": "llama",
                    "hidden_size": 64,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "intermediate_size": 128,
                    "attention_dropout": 0.0,
                    "rope_theta": 500000.0,
                    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
                }
            )
        )
        run(llmws, "train", chats, "--config", settings, "--tie-embeddings", "-o", tmp / "chat", "--steps", 150, *how[2:])
        worst, model, tok = check(llmws, tmp / "chat/checkpoints/step-150")
        talk = [{"role": "user", "content": "After 7?"}]
        want = tok.apply_chat_template(talk, add_generation_prompt=True, tokenize=False)
        ids = tok(want, add_special_tokens=False, return_tensors="pt")["input_ids"]
        made = model.generate(ids, max_new_tokens=24, do_sample=False)[0][ids.shape[1] :].tolist()
        ends = model.generation_config.eos_token_id
        assert made[-1] in ends and len(made) < 24, made
        print(f"chat       logits within {worst:.1e}, answers {tok.decode(made)!r}, ends at {ends}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
