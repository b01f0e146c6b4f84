"""Which status is written next."""

from headgate_operator.status.bucket import TokenBucket
from headgate_operator.status.queue import Job, Rank, WriteQueue


def job(key: str, rank: Rank = Rank.TRANSITION, text: str = "") -> Job:
    return Job(key, 1, {"text": text}, rank)


def drain(queue: WriteQueue, now: float) -> list[str]:
    taken = []
    while (found := queue.take(now)) is not None:
        taken.append(found.key)
    return taken


def test_edits_go_before_transitions_before_values_before_refreshes() -> None:
    queue = WriteQueue(10)
    for rank in (Rank.REFRESH, Rank.VALUES, Rank.TRANSITION, Rank.EDIT):
        queue.put(job(rank.name, rank), 0)

    assert drain(queue, 0) == ["EDIT", "TRANSITION", "VALUES", "REFRESH"]


def test_of_one_object_only_the_newest_status_is_written() -> None:
    queue = WriteQueue(10)
    queue.put(job("a", text="old"), 0)
    queue.put(job("a", text="new"), 0)

    found = queue.take(0)
    assert found is not None
    assert found.status == {"text": "new"}
    assert queue.take(0) is None


def test_values_wait_until_ten_seconds_after_the_last_write() -> None:
    queue = WriteQueue(10)
    queue.put(job("a"), 0)
    queue.take(0)
    queue.put(job("a", Rank.VALUES), 3)

    assert queue.take(9.9) is None
    assert queue.next_due() == 10
    assert drain(queue, 10) == ["a"]


def test_a_transition_does_not_wait() -> None:
    queue = WriteQueue(10)
    queue.put(job("a"), 0)
    queue.take(0)
    queue.put(job("a", Rank.VALUES), 3)
    queue.put(job("a", Rank.TRANSITION), 4)

    assert drain(queue, 4) == ["a"]
    assert queue.next_due() is None


def test_a_transition_that_waits_stays_one_when_only_values_change_after_it() -> None:
    queue = WriteQueue(10)
    queue.put(job("a"), 0)
    queue.take(0)
    queue.put(job("a", Rank.TRANSITION), 3)
    queue.put(job("a", Rank.VALUES, "newer"), 3)

    found = queue.take(3)
    assert found is not None
    assert (found.rank, found.status) == (Rank.TRANSITION, {"text": "newer"})


def test_what_was_dropped_is_not_written() -> None:
    queue = WriteQueue(10)
    queue.put(job("a"), 0)
    queue.drop("a")

    assert drain(queue, 0) == []
    assert len(queue) == 0


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3, now=0)
    burst = [bucket.take(0) for _ in range(4)]

    assert burst == [True, True, True, False]
    assert bucket.wait_s(0) == 0.5
    assert bucket.take(0.5)
    assert not bucket.take(0.9)
