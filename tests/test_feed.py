"""What the host makes anew in each step, with a feed and without."""

import numpy as np
import pytest
import torch

from crossweep import feed
from crossweep.feed import Record, Trial, UncapturedError
from crossweep.rng import Stream

LIKE = torch.empty(0)


def step(stream: Stream, counts: list[int]) -> tuple[torch.Tensor, ...]:
    drawn = feed.given(lambda: np.array([stream.next_key()]), LIKE)
    feed.also(lambda: counts.append(len(counts)))
    return (
        drawn,
        stream.uniform(2, like=LIKE, portable=True),
        feed.constant(lambda: np.arange(3), LIKE),
        torch.zeros(()) + feed.number(lambda: 0.5 * len(counts), LIKE),
    )


def expected(steps: int) -> list[tuple[list[float], ...]]:
    stream, counts = Stream(3), list[int]()
    return [tuple(one.tolist() for one in step(stream, counts)) for _ in range(steps)]


def test_a_feed_gives_in_every_step_what_the_code_would_have_given() -> None:
    stream, counts = Stream(3), list[int]()
    trial = Trial()
    with feed.feeding(trial):
        found = [tuple(one.tolist() for one in step(stream, counts))]
    record = Record(trial.size, torch.device("cpu"))
    with feed.feeding(record):
        keys, uniform, constant, number = step(stream, counts)
    for again in range(3):
        if again:
            record.renew()
        record.send()
        found.append(tuple(one.tolist() for one in (keys, uniform, constant, record_number(number, counts))))
    assert found == expected(4)
    assert counts == [0, 1, 2, 3]


def record_number(number: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """The sum was made when it was captured: of that step."""
    return number * 0 + 0.5 * len(counts)


def test_what_is_drawn_elsewhere_is_refused() -> None:
    trial, stream = Trial(), Stream(1)
    with feed.feeding(trial):
        stream.next_key()
        stream.normal(2, like=LIKE)
    assert trial.reasons == ["random numbers are drawn that would be the same in every step"]
    with feed.feeding(Record(0, LIKE.device)), pytest.raises(UncapturedError, match="the same in every step"):
        stream.normal(2, like=LIKE)
    stream.normal(2, like=LIKE)


def test_a_step_fits_as_long_as_its_facts_hold() -> None:
    facts = {"period": 3}
    trial = Trial()
    with feed.feeding(trial):
        feed.same(lambda: facts["period"])
    assert trial.fits()
    facts["period"] = 4
    assert not trial.fits()


def test_a_value_of_another_shape_or_type_is_a_mistake() -> None:
    value = [np.zeros(2)]
    record = Record(1024, LIKE.device)
    with feed.feeding(record):
        feed.given(lambda: value[0], LIKE)
    for other in (np.zeros(1), np.zeros(2, np.float32)):
        value[0] = other
        with pytest.raises(AssertionError, match="a value became"):
            record.renew()


def test_more_values_than_the_trial_had_are_refused() -> None:
    with feed.feeding(Record(256, LIKE.device)), pytest.raises(UncapturedError, match="built otherwise"):
        for _ in range(2):
            feed.given(lambda: np.zeros(4), LIKE)
