"""Files as laboratories write them: one made soft-bounds device, in every layout."""

from pathlib import Path

import numpy as np

LOW, HIGH = 10.0, 60.0  # [uS]
LENGTH = 50  # pulses of a train


def response(
    cycles: int = 3, *, seed: int = 0, reading: float = 0.1, before: bool = False
) -> list[tuple[int, int, float]]:
    """Pulse number in its train, polarity and conductance [uS] after that pulse (or from the one before it)."""
    rng, g, rows = np.random.default_rng(seed), 12.0, []
    for _ in range(cycles):
        for sign in (1, -1):
            if before:
                rows.append((0, sign, g + reading * rng.standard_normal()))
            for n in range(1, LENGTH + 1):
                size = 2 * ((1 - (g - LOW) / 50) if sign > 0 else (g - LOW) / 50)
                g += sign * size * (1 + 0.2 * rng.standard_normal())
                rows.append((n, sign, g + reading * rng.standard_normal()))
    return rows


def table(
    rows: list[tuple[int, int, float]],
    header: str = "pulse,polarity,G [uS]",
    line: str = "{n},{s:+d},{g:.4f}",
) -> str:
    """Lines of a header and of every row; ``w`` is P or D, ``c`` the cycle, ``t`` the running number from 1."""
    lines = [header]
    cycle = 0
    for t, (n, s, g) in enumerate(rows, 1):
        cycle += s > 0 and n == rows[0][0]
        lines.append(
            line.format(n=n, s=s, g=g, w="P" if s > 0 else "D", c=cycle, t=t, v=1.5 if s > 0 else -1.2)
        )
    return "\n".join(lines) + "\n"


def save(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """The text as a file."""
    path.write_bytes(text.encode(encoding))
    return path


def comma(text: str, separator: str) -> str:
    """Decimal commas, and another separator."""
    return text.replace(",", separator).replace(".", ",")
