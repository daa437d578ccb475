"""Rules that the keys of several data sets share."""

from collections.abc import Sequence
from typing import Annotated

from crossweep.schema import Items, Range

Digit = Annotated[int, Range(least=0, most=9)]
Classes = Annotated[Sequence[Digit], Items(least=2, distinct=True)]
"""Two or more different ones of ten classes."""
