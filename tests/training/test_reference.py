"""Which digital run an analog one is compared with."""

import pytest
import torch

from crossweep.data.base import Split
from crossweep.errors import DivergedError
from crossweep.training.reference import Candidate, choose, learned

TRAIN = Split(images=torch.zeros(100, 1, 2, 2), labels=torch.arange(100) % 5, mean=(0.0,), std=(1.0,))


def candidate(
    name: str, *, loss: float | None, error: float, train_accuracy: float = 0.9, train_loss: float = 0.5
) -> Candidate:
    scores = {"test_error": error} | ({} if loss is None else {"validation_loss": loss})
    row = {"epoch": 1.0, "train_loss": train_loss, "train_loss_se": 0.01, "train_accuracy": train_accuracy}
    return Candidate(name=name, diverged=False, scores=scores, history=[row])


def diverged(name: str) -> Candidate:
    return Candidate(name=name, diverged=True, scores={"test_error": None}, history=[])


def test_validation_loss_decides_and_the_test_split_never() -> None:
    few = [candidate("a", loss=0.5, error=1.0), candidate("b", loss=0.4, error=9.0)]
    chosen = choose(few, TRAIN)
    assert chosen is not None and chosen.name == "b"
    assert choose([], TRAIN) is None


def test_without_validation_the_first_listed_is_the_reference() -> None:
    few = [candidate("a", loss=None, error=9.0), candidate("b", loss=None, error=1.0)]
    chosen = choose(few, TRAIN)
    assert chosen is not None and chosen.name == "a"


def test_what_diverged_is_no_candidate() -> None:
    chosen = choose([diverged("a"), candidate("b", loss=0.4, error=9.0)], TRAIN)
    assert chosen is not None and chosen.name == "b"
    with pytest.raises(DivergedError, match=r"every digital run diverged \(a, b\)"):
        choose([diverged("a"), diverged("b")], TRAIN)


def test_a_reference_that_learned_nothing_is_none() -> None:
    # always one class: 20 of 100 right, standard error 4 %; loss ln 5 = 1.609
    with pytest.raises(DivergedError, match="no better than guessing"):
        choose([candidate("a", loss=1.6, error=80.0, train_accuracy=0.31, train_loss=1.62)], TRAIN)
    assert learned({"train_accuracy": 0.33, "train_loss": 1.62}, TRAIN)
    assert learned({"train_accuracy": 0.25, "train_loss": 1.60}, TRAIN)  # few epochs, but a beginning
