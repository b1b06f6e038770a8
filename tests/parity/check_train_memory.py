"""Peak memory of training, against PyTorch in eager mode with transformers: the same model, the same batches' shape,
AdamW with f32 weights, three updates, each in a process of its own.

    python tests/parity/check_train_memory.py build/llmws [SHAPE...]

Fails where the ratio is above 0.7, or where the plan that llmws prints is off by more than 2 % of what it then uses.
Needs torch and transformers, and 4 GB for the larger shape."""

import json
import os
import random
import subprocess
import sys
import tempfile

SHAPES = {  # layers, width, heads, kv heads, feed-forward, vocabulary, batch, tokens of a row
    "7m": (8, 256, 4, 4, 688, 4096, 16, 256),
    "135m": (30, 576, 9, 3, 1536, 49152, 2, 256),
}
WORST, OFF = 0.7, 0.02


def make_model(shape, directory):
    from transformers import LlamaConfig, LlamaForCausalLM

    layers, width, heads, kv_heads, ffn, vocab, _, _ = SHAPES[shape]
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, max_position_embeddings=2048, tie_word_embeddings=True, eos_token_id=2)
    LlamaForCausalLM(config).save_pretrained(directory)
    here = os.path.dirname(os.path.abspath(__file__))
    for name in "tokenizer.json", "tokenizer_config.json":
        with open(f"{here}/../data/llama3/{name}") as source, open(f"{directory}/{name}", "w") as target:
            target.write(source.read())


def train_torch(directory, precision, batch, length):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(2)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for _ in range(3):
        ids = torch.randint(3, model.config.vocab_size, (batch, length))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def peak_of(command):
    """MiB, and what it printed. The kernel counts what this process had when it began: that must be little, so torch is
    never imported here."""
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(child.pid, 0)
        if status:
            sys.exit(f"failed: {' '.join(command)}")
        out.seek(0)
        return used.ru_maxrss / 1024, out.read().decode()


def check(llmws, shape, precision, model, work):
    *_, vocab, batch, length = SHAPES[shape]
    data, run = f"{work}/data.jsonl", f"{work}/run-{precision}"
    with open(data, "w") as f:
        for _ in range(batch * 3):
            f.write(json.dumps({"ids": [random.randrange(3, vocab) for _ in range(length + 1)]}) + "\n")
    torch_peak, _ = peak_of([sys.executable, __file__, "--torch", model, precision, str(batch), str(length)])
    peak, events = peak_of(
        [llmws, "train", data, "-m", model, "-o", run, "--steps", "3", "--batch-size", str(batch), "--seq-len",
         str(length), "--precision", precision, "--threads", "2", "--json"])
    planned = next(e["planned_bytes"] for e in map(json.loads, events.splitlines()) if "planned_bytes" in e) / 2**20
    subprocess.run(["rm", "-rf", run], check=True)
    print(f"{shape} {precision}: llmws {peak:.0f} MiB (planned {planned:.0f}, {100 * (peak / planned - 1):+.2f} %), "
          f"PyTorch {torch_peak:.0f}: {peak / torch_peak:.2f}", flush=True)
    return peak / torch_peak <= WORST and abs(peak / planned - 1) <= OFF


def main():
    if sys.argv[1] == "--model":
        return make_model(sys.argv[2], sys.argv[3])
    if sys.argv[1] == "--torch":
        return train_torch(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    good = True
    for shape in sys.argv[2:] or SHAPES:
        with tempfile.TemporaryDirectory() as work:
            subprocess.run([sys.executable, __file__, "--model", shape, f"{work}/model"], check=True)
            for precision in "fp32", "bf16":
                good &= check(sys.argv[1], shape, precision, f"{work}/model", work)
    sys.exit(not good)


if __name__ == "__main__":
    main()
