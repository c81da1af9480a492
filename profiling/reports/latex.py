"""A LaTeX table with booktabs, ready for ``table*`` in a paper.

The text is plain ASCII and sets with pdfLaTeX, XeLaTeX and LuaLaTeX, in any input encoding: letters with accents become
TeX's accents, and a character that pdfLaTeX has no glyph for is told by its number, as in <U+4E2D>.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from profiling.records import Results
from profiling.reports.columns import doubts, failures, known, numeric, setup_number, setups, summary

#: Points: how wide ``table*`` is in a two-column article of 10 points, what a character takes in \footnotesize there,
#: and what lies between columns.
_ROOM, _CHARACTER, _BETWEEN = 410, 4.1, 6
#: What a table has to do without where it would be too wide, first to go first.
_FIRST_TO_GO = ("legacy B", "wire B", "p90 ms", "coding ms", "network ms")
#: The line below tells these, with a number where there are several.
_BELOW = ("device", "threads")
_DAGGER = r"$^\dagger$"

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\`{}",
    "[": "{[}", "*": "{*}",  # behind the end of a row they would be its arguments
    "\u00b5": r"$\mu$", "\u03bc": r"$\mu$", "\u00b0": r"$^\circ$", "\u00d7": r"$\times$", "\u00b1": r"$\pm$",
    "\u00ae": r"\textregistered{}", "\u2122": r"\texttrademark{}", "\u00a9": r"\copyright{}", "\u00b7": r"$\cdot$",
    "\u2013": r"\textendash{}", "\u2014": r"\textemdash{}", "\u2018": "`", "\u2019": "'", "\u201c": "``",
    "\u201d": "''", "\u00df": r"\ss{}", "\u00f8": r"\o{}", "\u00d8": r"\O{}", "\u00e6": r"\ae{}", "\u00c6": r"\AE{}",
    "\u0142": r"\l{}", "\u0141": r"\L{}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip


def render(results: Results) -> str:
    """One row a record, then one a failure; columns that nothing is known for are left out.

    A dagger marks a record that there are doubts about; the lines below say which.
    """
    heading, *rows = _cells(results)
    left_out = _left_out([heading, *rows])
    names = [name for name in heading if name not in left_out]
    kinds = {column.name: "r" if numeric(column, results) else "l" for column in summary(results)}
    measured = len(results.records)
    return "\n".join([
        r"% needs \usepackage{booktabs}; made for table* in a two-column article"
        + (f", which has no room for {', '.join(left_out)}" if left_out else ""),
        r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{{''.join(kinds.get(name, 'l') for name in names)}}}",
        r"\toprule", *_head(names), r"\midrule",
        *(_line(row[name] for name in names) for row in rows[:measured]),
        *(_failed(row, len(names)) for row in rows[measured:]),
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip\raggedright",
        *(note + r"\par" for note in _below(results)),
        r"\endgroup",
    ])  # fmt: skip


def _cells(results: Results) -> list[dict[str, str]]:
    """Name of a column -> what TeX reads: the headings, the records, the failures."""
    columns = [column for column in known(results, summary(results)) if column.name not in _BELOW]
    several = setups(results)
    numbered = ["setup"] if len(several) > 1 else []

    def row(told: dict[str, str], number: str) -> dict[str, str]:
        names = [column.name for column in columns]
        told = told | dict.fromkeys(numbered, number)
        return {name: escaped(told.get(name, "")) for name in (*names[:2], *numbered, *names[2:])}

    rows = [row({column.name: column.name for column in columns}, "setup")]
    for record in results.records:
        told = {column.name: column.shown(record) for column in columns}
        rows.append(row(told, str(setup_number(results, record))))
        rows[-1]["latency ms"] += rf"\rlap{{{_DAGGER}}}" if record.doubts else ""
    for failure in results.failures:
        rows.append(row({"model": failure.subject.model, "bundle": failure.subject.artifact}, ""))
    return rows


def _below(results: Results) -> list[str]:
    several = setups(results)
    lines = [f"Setup {number}. {each}" for number, each in enumerate(several, 1)] if len(several) > 1 else several
    return [
        *map(escaped, lines),
        *(f"{_DAGGER} {escaped(each)}" for each in doubts(results)),
        *map(escaped, failures(results)),
    ]


def _left_out(rows: Sequence[dict[str, str]]) -> list[str]:
    """By how many characters the widest cell of each column has; headings stand in two lines."""
    heading, *others = rows
    longest = {name: max(map(len, (*name.split(), *(_seen(row[name]) for row in others)))) for name in heading}
    gone: list[str] = []
    for name in _FIRST_TO_GO:
        if _CHARACTER * sum(longest.values()) + _BETWEEN * len(longest) <= _ROOM:
            break
        if longest.pop(name, None):
            gone.append(name)
    return gone


def _seen(tex: str) -> str:
    """About what is printed."""
    return re.sub(r"\\rlap\{.*\}|\\[a-z]+\{\}|\\", "", tex)


def _head(names: Sequence[str]) -> list[str]:
    return [_line(escaped(name.rpartition(" ")[part]) for name in names) for part in (0, 2)]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _failed(row: dict[str, str], columns: int) -> str:
    return _line([row["model"], row["bundle"], rf"\multicolumn{{{columns - 2}}}{{l}}{{not measured}}"])


def escaped(text: str) -> str:
    """Text on one line, without characters that mean something to TeX, in ASCII."""
    plain = unicodedata.normalize("NFC", " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", "".join(map(_character, plain)))


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if " " <= character <= "~":
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        return rf"\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return rf"\texttt{{<U+{ord(character):04X}>}}"
