"""Kullback-Leibler divergence between next-token distributions, and the log-probability files of llama-perplexity.

The file (`--save-all-logits`, read again by `--kl-divergence`), little endian; a file that write_base made from the reference is accepted by
llama-perplexity, and BaseFile reads the one that it saves, with the same ids:
  8 bytes "_logits_"; u32 tokens per window n; i32 vocabulary V; i32 windows w; i32 ids [w * n];
  then for each window its rows n/2 .. n-2 (the second half, each of which predicts a token of the window), each row
  f32 scale, f32 low, u16 q[V rounded up to even]: log p(i) = low + scale * q[i].
Log-probabilities more than 16 below the row's largest are raised to that bound when written (so such a file can stand for the base, but not for the
other side: for llama.cpp's Q4_1 logits it gives 0.0037 where the float32 logits give 0.0027), and base probabilities of at most e^-16 are skipped when
llama-perplexity sums; `kl_file_rows` does the same, `kl_rows` is the definition in float64. The two differ by 0.03 % here.
"""
import struct
import tempfile

import numpy as np

WINDOW = 512
FIRST = WINDOW // 2            # the first scored row of a window; the last one is WINDOW - 2
SCORED = WINDOW - 1 - FIRST


def windows(ids):
    """The whole windows of a list of ids: [w, WINDOW]; what is left over at the end is not scored."""
    w = len(ids) // WINDOW
    return np.asarray(ids[: w * WINDOW], np.int32).reshape(w, WINDOW)


def log_softmax(x):
    x = np.asarray(x, np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl_rows(base, other):
    """sum p (log p - log q) of each row, both given as logits (or log-probabilities) [rows, V]; nats, float64."""
    p, q = log_softmax(base), log_softmax(other)
    return (np.exp(p) * (p - q)).sum(-1)


def encode_rows(logits):
    """Rows of logits as the file stores them: (scale [rows], low [rows], q u16 [rows, V])."""
    x = np.asarray(logits, np.float32)
    top = x.max(-1, keepdims=True)
    low = np.maximum(x.min(-1, keepdims=True), top - 16)
    norm = np.log(np.exp((x - top).astype(np.float64)).sum(-1, keepdims=True))
    scale = (top - low) / np.float32(65535)
    q = np.where(x > low, np.rint((x - low) / scale), 0).astype(np.uint16)
    return scale[:, 0].astype(np.float32), (low - top - norm)[:, 0].astype(np.float32), q


def decode_rows(scale, low, q):
    return scale[:, None].astype(np.float64) * q + low[:, None]


def kl_file_rows(base_log_p, logits):
    """As llama-perplexity sums it: base log-probabilities from a file [rows, V] against logits [rows, V]."""
    q = log_softmax(logits)
    return np.where(base_log_p > -16, np.exp(base_log_p) * (base_log_p - q), 0).sum(-1)


def write_base(path, ids, rows_of_window):
    """Writes such a file for the windows `ids` [w, WINDOW]; rows_of_window(i) gives the logits [SCORED, V] of window i."""
    w = len(ids)
    with open(path, "wb") as f:
        for i in range(w):
            scale, low, q = encode_rows(rows_of_window(i))
            vocab = q.shape[1]
            if i == 0:
                f.write(b"_logits_" + struct.pack("<Iii", WINDOW, vocab, w) + ids.astype("<i4").tobytes())
            out = np.zeros((len(q), 4 + vocab + vocab % 2), "<u2")
            out[:, 0:2] = scale.astype("<f4")[:, None].view("<u2")
            out[:, 2:4] = low.astype("<f4")[:, None].view("<u2")
            out[:, 4 : 4 + vocab] = q
            f.write(out.tobytes())


class BaseFile:
    """Reads such a file: .ids [w, n], .rows(i) log-probabilities of window i [SCORED, V], float64."""

    def __init__(self, path):
        raw = np.memmap(path, np.uint8, "r")
        assert bytes(raw[:8]) == b"_logits_", f"{path}: not a log-probability file"
        self.n, self.vocab, w = struct.unpack("<Iii", bytes(raw[8:20]))
        assert self.n == WINDOW, f"{path}: windows of {self.n} tokens, not {WINDOW}"
        at = 20 + 4 * w * self.n
        self.ids = np.frombuffer(bytes(raw[20:at]), "<i4").reshape(w, self.n)
        width = 4 + self.vocab + self.vocab % 2
        want = at + w * SCORED * width * 2
        assert raw.size == want, f"{path}: {raw.size} bytes, expected {want}"
        self.data = raw[at:].view("<u2").reshape(w, SCORED, width)

    def rows(self, i):
        d = np.ascontiguousarray(self.data[i])
        head = np.ascontiguousarray(d[:, :4]).view("<f4")
        return decode_rows(head[:, 0], head[:, 1], d[:, 4 : 4 + self.vocab])


if __name__ == "__main__":  # the arithmetic above against itself and against sums done by hand
    rng = np.random.default_rng(1)
    a = (rng.standard_normal((SCORED, 1001)) * 3).astype(np.float32)
    assert np.abs(kl_rows(a, a)).max() < 1e-12 and np.abs(kl_rows(a, a + 7)).max() < 1e-6
    two = kl_rows(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]]))[0]
    assert abs(two - (0.5 * np.log(2) + 0.5 * np.log(2 / 3))) < 1e-12
    with tempfile.NamedTemporaryFile() as tmp:
        write_base(tmp.name, np.arange(WINDOW, dtype=np.int32)[None], lambda i: a)
        f = BaseFile(tmp.name)
    err = np.abs(f.rows(0) - np.maximum(log_softmax(a), log_softmax(a).max(-1, keepdims=True) - 16)).max()
    assert f.vocab == 1001 and (f.ids[0] == np.arange(WINDOW)).all() and err < 2e-4, err
    b = a + 0.1 * rng.standard_normal(a.shape).astype(np.float32)
    assert abs(kl_file_rows(f.rows(0), b).mean() / kl_rows(a, b).mean() - 1) < 1e-2
    print("kld.py: self-test passed")
