"""The default run of a matrix holds every combination of two of its parameters."""

from itertools import combinations, product

from tests.tables import in_pairs


def test_every_combination_of_two_is_in_the_default_run() -> None:
    values = (range(15), range(6), range(3))
    cells = in_pairs("a, b, c", *values).args[1]
    assert {cell.values for cell in cells} == set(product(*values))
    usual = [cell.values for cell in cells if not cell.marks]
    assert len(usual) == 15 * 6
    for i, j in combinations(range(3), 2):
        assert {(v[i], v[j]) for v in usual} == set(product(values[i], values[j]))
