"""Ledgers: rows of a table that are kept as they are made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gc_utils.files import room_for, write_whole


class Ledger:
    """Rows of a long table, kept in a file as they are made, so that a run can be taken up again.

        ledger = Ledger(run_dir / "trials.jsonl", seed=seed)
        for bound in bounds:
            ledger.row(lambda: attack(bound), bound=bound)
        table = ledger.table()

    The file has one JSON object a line: first the settings, then the rows. A row is appended as
    soon as it is made. A process that is killed while it writes leaves a line that is cut short;
    that line is dropped, and its row is made again.

    Args:
        path: the file.
        **settings: what the rows depend on besides their keys. If the file was made with other
            settings, its rows are not used, and the first new row replaces the file.
    """

    def __init__(self, path: str | os.PathLike, **settings) -> None:
        self.path = Path(path)
        self.settings = _as_json(settings)
        self.rows: list[dict] = []
        self.asked: list[dict] = []
        self._whole = False  # whether the file holds the settings and `rows`, and nothing else
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        first, *lines = self.path.read_text(encoding="utf-8").split("\n")
        if _parsed(first) != {"settings": self.settings}:
            return
        rows = [_parsed(line) for line in lines[:-1]]
        self.rows = [row for row in rows if row is not None]
        # Every line ends with a newline, so that whatever follows the last one is cut short.
        self._whole = lines[-1:] == [""] and None not in rows

    def find(self, **key: str | float) -> dict | None:
        """The first row whose columns have the given values; None if there is no such row."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                return row
        return None

    def add(self, row: Mapping, **key: str | float) -> dict:
        """Keep a row; it is in the file when this returns.

        Args:
            row: values by column: numbers, texts, and lists of these.
            **key: further columns, by which the row will be found.

        Returns:
            The row as it will be read from the file.
        """
        row = _as_json({**row, **key})
        self.rows.append(row)
        try:
            self._write(row)
        except BaseException:
            self.rows.pop()
            raise
        return row

    def _write(self, row: dict) -> None:
        """Append the last row, or write all rows if the file is not whole."""
        if self._whole:
            self._whole = False  # until the line is there, all of it
            with room_for(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        else:
            lines = [json.dumps(each) + "\n" for each in ({"settings": self.settings}, *self.rows)]
            with write_whole(self.path) as draft:
                draft.write_text("".join(lines), encoding="utf-8")
        self._whole = True

    def row(self, make: Callable[[], Mapping], **key: str | float) -> dict:
        """The row of a key: the one that was kept, or else what `make` returns, which is kept."""
        row = self.find(**key)
        if row is None:
            row = self.add(make(), **key)
        if row not in self.asked:
            self.asked.append(row)
        return row

    def table(self, **key: str | float) -> pd.DataFrame:
        """The rows asked for so far, in that order, whose columns have the given values.

        Rows of an earlier run that `row` has not asked for are left out: the table is the same
        whether its run was interrupted or not.
        """
        return pd.DataFrame([r for r in self.asked if all(r.get(n) == v for n, v in key.items())])


def _as_json(content: Any) -> Any:
    """What JSON makes of it: a row that was kept and one that was just made are equal."""
    return json.loads(json.dumps(content))


def _parsed(line: str) -> Any:
    """The content of a line of JSON, None if the line is cut short."""
    try:
        return json.loads(line)
    except ValueError:
        return None
