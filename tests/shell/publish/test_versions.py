"""Tables become versions."""

from gateway_runtime.contract.stream import Version
from headgate_operator.publish.versions import Versions
from headgate_operator.rollup.views import Published
from tests.shell.publish.fakes import make_provider, make_table

ONE = make_table(make_provider(1))
P1, P2 = "Provider/team/p00001", "Provider/team/p00002"


def published(versions: Versions) -> Published:
    assert versions.published is not None
    return versions.published


def started(epoch: int = 3) -> Versions:
    versions = Versions(epoch)
    versions.take(ONE, shrink_confirmed=False)
    return versions


def test_the_first_table_of_an_epoch_has_sequence_one() -> None:
    assert published(started()).version == Version(3, 1)


def test_an_equal_table_is_no_new_version() -> None:
    versions = started()
    before = versions.offer

    assert not versions.take(make_table(make_provider(1)), shrink_confirmed=False)
    assert versions.offer is before


def test_since_moves_for_what_changed_and_stays_for_the_rest() -> None:
    versions = started()
    versions.take(make_table(make_provider(1), make_provider(2)), shrink_confirmed=False)
    versions.take(make_table(make_provider(1), make_provider(2, generation=2)), shrink_confirmed=False)

    assert published(versions).since == {
        "Installation": Version(3, 1),
        P1: Version(3, 1),
        P2: Version(3, 3),
    }


def test_what_was_removed_is_not_in_since() -> None:
    versions = started()
    versions.take(make_table(make_provider(2)), shrink_confirmed=False)

    assert P1 not in published(versions).since


def test_what_comes_back_is_new() -> None:
    versions = started()
    versions.take(make_table(make_provider(2)), shrink_confirmed=False)
    versions.take(ONE, shrink_confirmed=False)

    assert published(versions).since[P1] == Version(3, 3)


def test_a_published_value_does_not_change_afterwards() -> None:
    versions = started()
    before = published(versions)
    versions.take(make_table(make_provider(1, generation=2)), shrink_confirmed=False)

    assert before == Published(Version(3, 1), {"Installation": Version(3, 1), P1: Version(3, 1)})


def test_a_late_confirmation_is_a_new_offer_of_the_same_version() -> None:
    versions = started()

    assert versions.take(ONE, shrink_confirmed=True)
    assert versions.offer is not None
    assert (versions.offer.version, versions.offer.shrink_confirmed) == (Version(3, 1), True)


def test_a_second_confirmation_is_nothing_new() -> None:
    versions = started()
    versions.take(ONE, shrink_confirmed=True)

    assert not versions.take(ONE, shrink_confirmed=True)


def test_an_older_gateway_lifts_nothing() -> None:
    assert not started().rise_above(Version(3, 0), "digest")


def test_a_gateway_that_runs_what_is_published_lifts_nothing() -> None:
    versions = started()
    assert versions.offer is not None

    assert not versions.rise_above(versions.offer.version, versions.offer.digest)


def test_a_later_gateway_lifts_the_epoch_and_the_table_is_published_above() -> None:
    versions = started()

    assert versions.rise_above(Version(8, 5), "digest")
    assert published(versions) == Published(Version(9, 1), {"Installation": Version(9, 1), P1: Version(9, 1)})


def test_another_table_under_our_own_version_lifts_the_epoch() -> None:
    versions = started()

    assert versions.rise_above(Version(3, 1), "another digest")
    assert published(versions).version == Version(4, 1)


def test_a_later_gateway_before_the_first_table_lifts_the_epoch_of_that_table() -> None:
    versions = Versions(3)
    versions.rise_above(Version(5, 2), "digest")
    versions.take(ONE, shrink_confirmed=False)

    assert published(versions).version == Version(6, 1)
