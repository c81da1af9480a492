"""A LaTeX table with booktabs, ready to be included in a paper."""

from __future__ import annotations

from collections.abc import Sequence

from profiling.records import Record
from profiling.reports.columns import SUMMARY
from profiling.reports.pcs import notes

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def render(records: Sequence[Record]) -> str:
    """One row a record; columns that nothing is known for are left out."""
    columns = [column for column in SUMMARY if any(column.value(record) is not None for record in records)]
    numeric = [not isinstance(column.value(records[0]), str) for column in columns]
    rows = [[column.shown(record) for column in columns] for record in records]
    body = [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    head = " & ".join(escaped(column.name) for column in columns) + r" \\"
    below = r"\\[2pt] ".join(escaped(note) for note in notes(records))
    return "\n".join([
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numeric)}}}",
        r"\toprule", head, r"\midrule", *body, r"\bottomrule",
        r"\end{tabular}",
        rf"\par\smallskip{{\footnotesize {below}}}",
    ])  # fmt: skip


def escaped(text: str) -> str:
    """Text without characters that mean something to TeX."""
    return "".join(_SPECIAL.get(character, character) for character in text)
