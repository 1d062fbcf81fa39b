"""The billing's stacks, read from the database."""

from pathlib import Path

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.directory.system import Stacks, depth, waiting_for
from lab.mock.connection import MockConnection


def test_what_waits_is_counted_whole_and_by_whom_it_concerns(billing_file: Path) -> None:
    dsn = Dsn(str(billing_file))
    with Database(dsn) as database:
        assert depth(database) == Stacks(0, 0)
        session = MockConnection(dsn)
        session.execute("insert into account_stack (id, account_id) values (1, 17)")
        session.execute("insert into account_stack (id, account_id) values (2, 18)")
        session.execute("insert into events_stack_compact (id, abonent_id) values (1, 5)")
        session.commit()
        session.close()
        # The connection was open before: each query sees what was committed until then.
        assert depth(database) == Stacks(2, 1)
        assert waiting_for(database, accounts=[17, 99], abonents=[6]) == Stacks(1, 0)


def test_it_is_told_in_words() -> None:
    assert Stacks(1, 2).described == "ACCOUNT_STACK holds 1 entry, EVENTS_STACK_COMPACT holds 2 entries"
    assert not Stacks(0, 0).described
