"""Real texts and embeddings: each summarised and verified, a sample recomputed by the oracle.

The data are read in place, ``../shared/data``, and are not part of the project.
"""

import gzip
import itertools
import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from tests.oracle import signals as oracle
from tests.support.records import HMAC_KEY, valid_members
from tests.support.vectors import data_file

from fractal_lba.protocol import (
    CURRENT_PARAMS,
    Keyring,
    Record,
    authenticate,
    judge,
    pcs_id,
    sign_record,
    stored_bytes,
)
from fractal_lba.signals import (
    DEFAULT_SCALES,
    DEFAULT_SEED,
    Summary,
    summarise_bytes,
    summarise_points,
)

RING = Keyring(keys={HMAC_KEY.kid: HMAC_KEY}, tokens={})
TEXTS = {
    "responses.jsonl.gz": ("response", 3_000),
    "degeneracy_semi.jsonl.gz": ("text", 2_000),
}
SAMPLE = 6


def verified(summary: Summary, epoch: int) -> None:
    """Sign a record of a summary, and check it as a server does."""
    members = {name: value for name, value in valid_members().items() if name != "meta"}
    members |= summary.members()
    members |= {
        "epoch": epoch,
        "shard_id": "real",
        "pcs_id": pcs_id(summary.merkle_root, epoch, "real"),
    }
    body = stored_bytes(sign_record(members, HMAC_KEY))
    record = authenticate(body, RING).record
    assert isinstance(record, Record)
    outcome = judge(record, CURRENT_PARAMS)
    assert (outcome.accepted, outcome.escalated, outcome.reasons) == (True, False, ())


def agreed(summary: Summary, expected: dict[str, object]) -> None:
    """Compare with the oracle, every bit: ``1`` and ``1.0`` differ here."""
    ours = json.dumps(summary.members(), sort_keys=True)
    assert ours == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize("name", TEXTS)
def test_every_real_text_is_summarised_and_accepted(
    name: str, vectors_ran: Callable[[str], None]
) -> None:
    member, least = TEXTS[name]
    with gzip.open(data_file(name), "rt", encoding="utf-8") as file:
        texts = [json.loads(line)[member].encode() for line in file]
    regimes = Counter[str]()
    for epoch, text in enumerate(texts):
        summary = summarise_bytes(text)
        verified(summary, epoch)
        regimes[summary.regime.value] += 1
        if epoch % (len(texts) // SAMPLE) == 0:
            expected = oracle.members_of_bytes(text, DEFAULT_SEED, list(DEFAULT_SCALES))
            agreed(summary, expected)
    vectors_ran(
        f"real texts {name}: {len(texts)} accepted, regimes {dict(sorted(regimes.items()))}"
    )
    assert len(texts) >= least


def sequences(name: str) -> list[np.ndarray]:
    """Return the windows of an embedding file, ``(n, 768)`` each, half-precision floats."""
    with np.load(data_file(name)) as held:
        vectors = held["emb"]
        # The sentences of a text, or the means of answers, one after another.
        cuts = held["offsets"] if "offsets" in held else np.arange(0, len(vectors) + 1, 64)
    return [vectors[a:b] for a, b in itertools.pairwise(cuts) if b - a >= 3]


@pytest.mark.parametrize(
    ("name", "least"), [("degeneracy_synth_gpt2_sent.npz", 500), ("responses_gpt2_mean.npz", 49)]
)
def test_every_real_embedding_sequence_is_summarised_and_accepted(
    name: str, least: int, vectors_ran: Callable[[str], None]
) -> None:
    windows = sequences(name)
    rows = 0
    for epoch, window in enumerate(windows):
        summary = summarise_points(window)
        verified(summary, epoch)
        rows += summary.n
        if epoch % (len(windows) // SAMPLE) == 0:
            doubles = window.astype(np.float64).tolist()
            expected = oracle.members_of_points(doubles, DEFAULT_SEED, list(DEFAULT_SCALES))
            agreed(summary, expected)
    vectors_ran(f"real embeddings {name}: {len(windows)} windows of {rows} vectors accepted")
    assert len(windows) >= least
