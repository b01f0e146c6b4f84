"""The journal: what is appended is on disk at once, read in order, and never read twice or torn; files of the
dead are taken over, those of the living are not.
"""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.ledger.journal import SMALLEST_SPOOL_BYTES, Journal
from gateway_runtime.ledger.segment import (
    HEAD_BYTES,
    NotOurs,
    Segment,
    make_memory_segment,
    make_segment,
    name_segment,
    take_over,
)

SEGMENT_BYTES = SMALLEST_SPOOL_BYTES // 32
ROW = b"x" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_journal(folder: Path) -> Iterator[Callable[..., Journal]]:
    """Each with a clock of its own, a second further at each look."""
    opened: list[Journal] = []

    def build(owner: str = "me", place: Path | None = folder) -> Journal:
        seconds = count()
        journal = Journal(place, owner, lambda: next(seconds), spool_bytes=SMALLEST_SPOOL_BYTES)
        journal.open()
        opened.append(journal)
        return journal

    yield build
    for journal in opened:
        journal.close()


def read_all(journal: Journal) -> list[bytes]:
    rows: list[bytes] = []
    while (batch := journal.read(100)) is not None:
        rows += batch.rows
        journal.note_done()
    return rows


def number(at: int) -> bytes:
    return b"%06d" % at + ROW


def test_rows_are_read_in_order_over_many_segments(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal()
    rows = [number(at) for at in range(2000)]
    for row in rows:
        journal.append(row)
    assert journal.waiting == 2000

    assert read_all(journal) == rows
    assert journal.waiting == 0
    assert journal.read(100) is None


def test_what_was_put_back_is_read_again(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal()
    journal.append(b"1")
    journal.append(b"2")
    first = journal.read(1)
    journal.put_back()

    assert first is not None
    assert (first.rows, read_all(journal)) == ([b"1"], [b"1", b"2"])


def test_an_emptied_file_is_used_again(open_journal: Callable[..., Journal], folder: Path) -> None:
    journal = open_journal()
    for at in range(3000):
        journal.append(number(at))
        if at % 100 == 0:
            journal.tend()
            read_all(journal)

    assert len(list(folder.iterdir())) == 2
    assert read_all(journal)[-1] == number(2999)


def test_files_are_for_their_owner_alone(open_journal: Callable[..., Journal], folder: Path) -> None:
    open_journal()

    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_row_larger_than_a_segment_is_refused(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal()
    with pytest.raises(ValueError, match="a segment has 262144"):
        journal.append(bytes(SEGMENT_BYTES))
    journal.append(b"small")

    assert read_all(journal) == [b"small"]


def test_the_folder_never_grows_beyond_its_size(open_journal: Callable[..., Journal], folder: Path) -> None:
    journal = open_journal()
    for at in range(20_000):
        journal.append(number(at))
    left = read_all(journal)

    assert sum(file.stat().st_size for file in folder.iterdir()) <= SMALLEST_SPOOL_BYTES
    assert journal.dropped + len(left) == 20_000
    assert left == [number(at) for at in range(20_000 - len(left), 20_000)]
    assert len(left) * len(number(0)) > SMALLEST_SPOOL_BYTES * 0.9


def test_in_memory_the_oldest_go_too(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal(place=None)
    for at in range(20_000):
        journal.append(number(at))
    left = read_all(journal)

    assert journal.dropped + len(left) == 20_000
    assert left[-1] == number(19_999)


def test_rows_in_hand_are_not_dropped(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal()
    journal.append(b"in hand")
    batch = journal.read(100)
    for at in range(20_000):
        journal.append(number(at))
    journal.note_done()

    assert batch is not None
    assert batch.rows == [b"in hand"]
    assert journal.dropped + len(read_all(journal)) == 20_000


def test_a_living_process_keeps_its_files(open_journal: Callable[..., Journal]) -> None:
    mine, other = open_journal("me"), open_journal("other")
    other.append(b"row")

    assert mine.adopt() is False
    assert read_all(other) == [b"row"]


def test_what_was_done_is_not_taken_over_again(open_journal: Callable[..., Journal], folder: Path) -> None:
    other = open_journal("other")
    for row in (b"1", b"2", b"3"):
        other.append(row)
    other.read(2)
    other.note_done()
    die(other)
    journal = open_journal("me")

    assert journal.adopt() is True
    assert (journal.taken_over, read_all(journal)) == (1, [b"3"])
    assert journal.adopt() is False
    assert len(list(folder.iterdir())) == 2


def test_one_of_two_takes_over_and_each_row_is_taken_once(open_journal: Callable[..., Journal]) -> None:
    other = open_journal("other")
    for at in range(1000):
        other.append(number(at))
    die(other)
    heirs = [open_journal("a"), open_journal("b")]
    taken: list[bytes] = []
    while sum(heir.adopt() for heir in heirs):
        taken += [row for heir in heirs for row in read_all(heir)]

    assert sorted(taken) == [number(at) for at in range(1000)]


def die(journal: Journal) -> None:
    """As the kernel ends it: files stay as they are, locks are gone."""
    for segment in (*journal._segments, journal._spare):
        if segment is not None:
            segment.close()
    journal._segments.clear()
    journal._spare = None


def test_the_rows_of_the_dead_go_before_ours_when_there_is_no_room(
    open_journal: Callable[..., Journal],
) -> None:
    dead = open_journal("dead")
    for _ in range(4000):
        dead.append(b"dead" + ROW)
    die(dead)
    journal = open_journal("me")
    for at in range(5000):
        journal.append(number(at))

    assert read_all(journal) == [number(at) for at in range(5000)]
    assert 0 < journal.dropped < 4000


def test_a_file_that_is_taken_away_gets_no_more_rows(
    open_journal: Callable[..., Journal], folder: Path
) -> None:
    journal = open_journal()
    journal.append(b"1")
    for file in folder.iterdir():
        file.rename(folder.with_name(f"moved-{file.name}"))
    journal.tend()
    journal.append(b"2")

    assert journal.active.is_in_place()
    assert read_all(journal) == [b"1", b"2"]


def test_after_memory_rows_go_to_a_file_again_when_one_can_be_made(
    open_journal: Callable[..., Journal], folder: Path
) -> None:
    folder.touch()
    journal = open_journal()
    journal.append(b"in memory")
    told = journal.trouble
    folder.unlink()
    journal.tend()
    journal.append(b"on disk")

    assert told == f"{folder}: File exists"
    assert journal.trouble is None
    assert journal.active.path is not None
    assert read_all(journal) == [b"in memory", b"on disk"]


def test_strange_files_are_left_alone_and_named(open_journal: Callable[..., Journal], folder: Path) -> None:
    folder.mkdir()
    strange = folder / "0-later.rows"
    strange.write_bytes(b"HGROWS99" + bytes(100))
    journal = open_journal()

    assert journal.adopt() is False
    assert journal.strange == {strange: "it is no journal of this Headgate"}
    assert strange.read_bytes() == b"HGROWS99" + bytes(100)


@pytest.mark.parametrize("size", [0, 10, 4096])
def test_a_file_whose_owner_died_while_it_made_it_goes(
    open_journal: Callable[..., Journal], folder: Path, size: int
) -> None:
    folder.mkdir()
    (folder / "0-unborn.rows").write_bytes(bytes(size))
    journal = open_journal()
    while journal.adopt():
        read_all(journal)

    assert [file.name for file in folder.iterdir() if "unborn" in file.name] == []


def test_what_somebody_wrote_into_a_file_is_told_as_lost(
    open_journal: Callable[..., Journal], folder: Path
) -> None:
    journal = open_journal()
    for at in range(10):
        journal.append(number(at))
    (file,) = folder.iterdir()
    with file.open("r+b") as open_file:
        open_file.seek(HEAD_BYTES)
        open_file.write(b"\xff" * 100)
    batch = journal.read(100)
    journal.append(b"later")

    assert batch == ((), 10)
    assert read_all(journal) == [b"later"]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_of_a_file_cut_anywhere_exactly_the_whole_records_are_found(
    rows: list[bytes], data: st.DataObject
) -> None:
    """As when a process dies in the middle of writing one, over what an earlier use of the file left."""
    segment = make_memory_segment(8192, 1)
    while segment.append(b"what was there before"):
        pass
    segment.begin(2, "")
    ends = [HEAD_BYTES]
    before = bytes(segment._buffer[:])
    for row in rows:
        segment.append(row)
        ends.append(segment.end)
    cut = data.draw(st.integers(HEAD_BYTES, segment.end))
    after = bytes(segment._buffer[:])
    segment._buffer[:] = after[:cut] + before[cut:]
    found = Segment(segment._buffer, None, None)
    found._read_head()

    assert found.read(100)[0] == rows[: sum(end <= cut for end in ends) - 1]


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    first = make_segment(tmp_path, 4096, 1, "me")
    with pytest.raises(FileExistsError):
        make_segment(tmp_path, 4096, 1, "me")
    with pytest.raises(NotOurs, match=r"^$"):
        take_over(name_segment(tmp_path, 1, "me"))
    first.remove()

    assert list(tmp_path.iterdir()) == []


APPENDER = """
import sys
from pathlib import Path
from gateway_runtime.ledger.journal import Journal
journal = Journal(Path(sys.argv[1]), "child", lambda: 0.0, spool_bytes=64 << 20)
journal.open()
at = 0
while True:
    journal.append(b"%09d" % at)
    sys.stdout.write(f"{at}\\n")
    at += 1
"""


def test_no_row_is_lost_to_kill_9(open_journal: Callable[..., Journal], folder: Path) -> None:
    """Whatever the process has said is appended is there after it, in order, each once."""
    child = subprocess.Popen([sys.executable, "-c", APPENDER, str(folder)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(20_000)]
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    last = int((b"".join(said) + rest).rpartition(b"\n")[0].rpartition(b"\n")[2])
    journal = open_journal()
    found: list[bytes] = []
    while journal.adopt():
        found += read_all(journal)

    assert child.returncode == -signal.SIGKILL
    assert len(found) > last
    assert found == [b"%09d" % at for at in range(len(found))]
    assert [file.name for file in folder.iterdir() if "child" in file.name] == []
    assert os.listdir(folder)
