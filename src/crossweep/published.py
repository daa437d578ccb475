"""What others have published for the points of a study: kept beside the study, compared cell by cell in its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from crossweep.errors import ConfigError, FieldError
from crossweep.schema import Checked, checked, hints_of, required


@dataclass(frozen=True, kw_only=True)
class Published(Checked):
    """One published table: a row per algorithm, a column per value of an axis.

    Args:
        source: where it is printed.
        metric: of the runs that it is compared with.
        scale: what the runs' metric is multiplied by to be in the table's unit [1]; 100 of a share in per cent.
        unit: of the table.
        axis: name of the study's axis along a row.
        at: values of that axis.
        rows: ``{algorithm: numbers}``, as many numbers as ``at``; null where the source has none.
        fixed: values of the study's other axes.
        settings: ``{key: value}`` of the source; the report names those that a study did not keep.
    """

    source: str
    metric: str
    axis: str
    at: Sequence[float]
    rows: Mapping[str, Any]
    scale: float = 1.0
    unit: str = "1"
    fixed: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, numbers in self.rows.items():
            checked(numbers, Sequence[float | None], f"rows.{name}")
            if len(numbers) != len(self.at):
                raise FieldError(f"rows.{name}", f"must hold {len(self.at)} numbers, got {len(numbers)}")

    @classmethod
    def of(cls, node: Mapping[str, Any], key: str) -> Published:
        """The table that plain values describe.

        Args:
            node: the fields.
            key: where they stand, for messages.

        Raises:
            ConfigError: an unknown or missing key, or a value that breaks its rule.
        """
        known, hints = {item.name: item for item in fields(cls)}, hints_of(cls)
        for name in node:
            if name not in known:
                raise ConfigError(f"{key}.{name}: no such entry; known are {', '.join(known)}")
        for name, item in known.items():
            if name not in node and required(item):
                raise ConfigError(f"{key}.{name}: must be given")
        try:
            return cls(**{name: checked(value, hints[name], f"{key}.{name}") for name, value in node.items()})
        except FieldError as error:
            raise ConfigError(f"{key}.{error}") from error
