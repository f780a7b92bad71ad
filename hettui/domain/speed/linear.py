"""Small systems of linear equations, symmetric and positive: a device has a handful of unknowns."""

from __future__ import annotations

from collections.abc import Sequence

Vector = Sequence[float]
Matrix = Sequence[Sequence[float]]


def inverse(matrix: Matrix) -> list[list[float]]:
    """Of a symmetric positive definite matrix, by elimination with the largest pivot. Raises ZeroDivisionError."""
    n = len(matrix)
    rows = [[*row, *(1.0 if i == j else 0.0 for j in range(n))] for i, row in enumerate(matrix)]
    for column in range(n):
        pivot = max(range(column, n), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = 1 / rows[column][column]
        rows[column] = [scale * x for x in rows[column]]
        for i in range(n):
            if i != column and (factor := rows[i][column]):
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[column], strict=True)]
    return [row[n:] for row in rows]


def times(matrix: Matrix, vector: Vector) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]
