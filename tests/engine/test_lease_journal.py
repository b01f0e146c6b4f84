"""What a gateway remembers of its charges, for a store that forgets: each is told once, none too small."""

from gateway_runtime.engine.lease_batch import Batch
from gateway_runtime.engine.lease_call import RECOVERY_MS
from gateway_runtime.engine.lease_journal import Journal

ALL = 0
"""The store remembers none of our calls."""


class Nobody:
    """Of a batch that is never settled."""

    def settle(self, batch: Batch, held: int, spent: int) -> None:
        raise AssertionError("nothing is settled here")


def charge(journal: Journal, bucket: int, amount: int, *, sequence: int = 1, now_s: float = 0.0) -> Batch:
    """The answer to a call with one batch."""
    batch = Batch(Nobody())
    batch.amount = amount
    journal.note_answer(0, sequence, now_s)
    journal.note_counted([batch], bucket, sequence, now_s)
    return batch


def test_a_batch_is_told_in_the_bucket_where_it_was_counted() -> None:
    journal = Journal()
    batch = charge(journal, 7, 30)
    charge(journal, 8, 5, sequence=2)

    assert batch.bucket == 7
    assert journal.take_uncounted(ALL) == (7, 30, 8, 5)


def test_what_was_settled_while_the_call_was_under_way_is_refunded_with_the_next() -> None:
    journal = Journal()
    batch = Batch(Nobody())
    batch.amount, batch.refund = 30, 10
    journal.note_counted([batch], 7, 1, 0.0)

    assert journal.take_refunds() == (7, 10)


def test_a_refund_is_told_once_and_leaves_its_bucket_when_it_is_told() -> None:
    journal = Journal()
    charge(journal, 7, 30)
    journal.note_refund(7, 10)
    told = journal.take_refunds()

    assert (told, journal.take_refunds(), journal.has_refunds) == ((7, 10), (), False)
    assert journal.take_uncounted(ALL) == (7, 20)


def test_a_refund_of_a_bucket_that_counts_no_more_is_not_told() -> None:
    journal = Journal()
    charge(journal, 7, 30)
    journal.note_answer(8, 2, 0.0)
    journal.note_refund(7, 10)

    assert not journal.has_refunds
    assert journal.take_uncounted(ALL) == ()


def test_what_is_doubtful_is_in_no_bucket_until_the_next_answer_says_one() -> None:
    journal = Journal()
    journal.doubt(40)
    before = journal.take_uncounted(ALL)
    journal.note_doubtful(9, 1, 0.0)

    assert (before, journal.doubtful) == ((), 0)
    assert journal.take_uncounted(ALL) == (9, 40)


def test_a_store_that_forgot_a_part_is_told_what_later_calls_have_counted() -> None:
    journal = Journal()
    charge(journal, 7, 30, sequence=1)
    charge(journal, 8, 5, sequence=2)
    charge(journal, 8, 6, sequence=3)

    assert journal.take_uncounted(1) == (8, 11)


def test_a_refund_that_was_answered_is_forgotten_with_the_part_that_had_it() -> None:
    journal = Journal()
    charge(journal, 7, 30, sequence=1)
    journal.note_refund(7, 10)
    journal.take_refunds()
    charge(journal, 7, 25, sequence=2)

    assert journal.take_uncounted(1) == (7, 15)


def test_a_refund_without_an_answer_leaves_too_much_rather_than_too_little() -> None:
    journal = Journal()
    charge(journal, 7, 30, sequence=1)
    journal.note_refund(7, 10)
    journal.take_refunds()
    journal.note_failure()
    charge(journal, 7, 25, sequence=3)

    assert journal.take_uncounted(1) == (7, 25)


def test_a_store_that_lags_by_minutes_is_told_all() -> None:
    journal = Journal()
    charge(journal, 7, 30, sequence=1)
    charge(journal, 8, 5, sequence=2, now_s=1.0)
    charge(journal, 9, 6, sequence=3, now_s=RECOVERY_MS / 1000 + 2.0)

    assert journal.take_uncounted(1) == (7, 30, 8, 5, 9, 6)
    assert journal.take_uncounted(2) == (9, 6)


def test_after_an_edit_of_the_buckets_all_is_doubtful_and_no_part_is_known() -> None:
    journal = Journal()
    charge(journal, 7, 30, sequence=1)
    journal.note_refund(7, 10)
    journal.forget_buckets()
    after = (journal.doubtful, journal.has_refunds, journal.take_uncounted(ALL))
    journal.note_doubtful(3, 2, 0.0)

    assert after == (30, False, ())
    assert journal.take_uncounted(1) == (3, 30)


def test_it_tells_what_it_has() -> None:
    journal = Journal()
    charge(journal, 7, 30)
    journal.doubt(4)

    assert repr(journal) == "<Journal: 30 in 1 buckets, 4 doubtful>"
