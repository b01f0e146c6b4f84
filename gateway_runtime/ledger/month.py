"""A month of UTC, by which PostgreSQL's table is cut: a moment in, its month with its bounds out."""

import re
from datetime import UTC, datetime
from typing import NamedTuple


class Month(NamedTuple):
    year: int
    month: int

    @property
    def begin_unix_ms(self) -> int:
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * 1000

    @property
    def end_unix_ms(self) -> int:
        """The next begins then."""
        year, month = (self.year + 1, 1) if self.month == 12 else (self.year, self.month + 1)
        return Month(year, month).begin_unix_ms

    def name_partition(self, table: str) -> str:
        """Names sort by time."""
        return f"{table}_{self.year:04d}_{self.month:02d}"


def find_month(unix_ms: int) -> Month:
    """Of that moment."""
    moment = datetime.fromtimestamp(unix_ms // 1000, UTC)
    return Month(moment.year, moment.month)


def read_month(partition: str, table: str) -> Month | None:
    """What `name_partition` has written; None for another name."""
    found = re.fullmatch(rf"{re.escape(table)}_([0-9]{{4}})_(0[1-9]|1[0-2])", partition)
    return None if found is None else Month(int(found[1]), int(found[2]))
