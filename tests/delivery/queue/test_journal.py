from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from delivery.queue.journal import Entry, Note, Stage, WireJournal, abandoned
from providers.ports import Outcome, Reason, RecipientResult, Reply, Scope, SendResult

PROVIDER, DECISION = uuid4(), uuid4()
ACCEPTED = SendResult(Outcome.ACCEPTED, reply=Reply(250, "2.0.0", "queued as 7"), remote_id="7")


def hold(journal: WireJournal, message_id: UUID, *, number: int = 1) -> Entry:
    return journal.hold(message_id, provider_id=PROVIDER, decision_id=DECISION, number=number)


def die(journal: WireJournal) -> None:
    """What the kernel does for a process that is killed."""
    journal.pages.close()


def notes(folder: Path) -> dict[UUID, Note]:
    found = list(abandoned(folder))
    assert len(found) <= 1
    return dict(found[0].notes) if found else {}


def test_a_journal_in_use_is_left_alone(tmp_path: Path) -> None:
    journal = WireJournal(tmp_path, lease_id=uuid4(), capacity=4)
    hold(journal, uuid4())
    assert list(abandoned(tmp_path)) == []


def test_every_stage_is_found_after_the_process_died(tmp_path: Path) -> None:
    lease_id = uuid4()
    journal = WireJournal(tmp_path, lease_id=lease_id, capacity=8)
    held, begun, handed_over, ended, free = (uuid4() for _ in range(5))
    before = timezone.now()
    for message_id in (held, begun, handed_over, ended, free):
        entry = hold(journal, message_id, number=3)
        if message_id != held:
            entry.begin()
        if message_id in (handed_over, ended, free):
            entry.hand_over()
        if message_id in (ended, free):
            entry.end(ACCEPTED, 17)
    journal.forget([free])
    die(journal)
    found = next(abandoned(tmp_path))
    assert found.lease_id == lease_id
    assert {key: note.stage for key, note in found.notes.items()} == {
        held: Stage.HELD,
        begun: Stage.BEGUN,
        handed_over: Stage.HANDED_OVER,
        ended: Stage.ENDED,
    }
    note = found.notes[ended]
    assert (note.provider_id, note.decision_id, note.number) == (PROVIDER, DECISION, 3)
    assert (note.result, note.duration_ms) == (ACCEPTED, 17)
    assert before <= note.started_at <= timezone.now()
    found.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_its_notes(tmp_path: Path) -> None:
    message_id = uuid4()
    program = f"""
        import os, signal
        from pathlib import Path
        from uuid import UUID
        import django
        django.setup()
        from delivery.queue.journal import WireJournal
        journal = WireJournal(Path({str(tmp_path)!r}), lease_id=UUID(int=1), capacity=2)
        entry = journal.hold(
            UUID({message_id.hex!r}), provider_id=None, decision_id=UUID(int=2), number=1)
        entry.begin()
        entry.hand_over()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert ended.returncode == -signal.SIGKILL
    note = notes(tmp_path)[message_id]
    assert (note.stage, note.provider_id, note.result) == (Stage.HANDED_OVER, None, None)


def test_the_next_account_takes_the_same_slot(tmp_path: Path) -> None:
    journal = WireJournal(tmp_path, lease_id=uuid4(), capacity=1)
    message_id = uuid4()
    entry = hold(journal, message_id)
    entry.begin()
    entry.end(SendResult(Outcome.NOT_ACCEPTED, scope=Scope.PROVIDER), 1)
    hold(journal, message_id, number=2)
    die(journal)
    note = notes(tmp_path)[message_id]
    assert (note.stage, note.number, note.result) == (Stage.HELD, 2, None)


def test_slots_are_used_again(tmp_path: Path) -> None:
    journal = WireJournal(tmp_path, lease_id=uuid4(), capacity=2)
    last = uuid4()
    for message_id in [*(uuid4() for _ in range(5)), last]:
        hold(journal, message_id).withdraw()
        if message_id != last:
            journal.forget([message_id])
    die(journal)
    assert set(notes(tmp_path)) == {last}


def test_a_journal_that_is_left_is_free_once_no_thread_is_at_a_mail(tmp_path: Path) -> None:
    journal = WireJournal(tmp_path, lease_id=uuid4(), capacity=2)
    message_id = uuid4()
    entry = hold(journal, message_id)
    entry.begin()
    journal.leave()
    assert list(abandoned(tmp_path)) == []
    entry.hand_over()
    entry.end(ACCEPTED, 1)
    assert notes(tmp_path)[message_id].result == ACCEPTED


def test_a_journal_that_is_discarded_is_gone(tmp_path: Path) -> None:
    WireJournal(tmp_path, lease_id=uuid4(), capacity=2).discard()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_another_boot_is_not_believed(tmp_path: Path) -> None:
    journal = WireJournal(tmp_path, lease_id=uuid4(), capacity=2)
    hold(journal, uuid4())
    journal.pages[32:48] = os.urandom(16)
    die(journal)
    assert list(abandoned(tmp_path)) == []
    old = next(tmp_path.iterdir())
    os.utime(old, (0, 0))
    assert list(abandoned(tmp_path)) == []
    assert not old.exists()


@pytest.mark.parametrize("content", [b"", b"x" * 5000])
def test_a_file_that_is_no_journal_is_no_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wire").write_bytes(content)
    assert list(abandoned(tmp_path)) == []


def test_a_disk_without_room_is_an_error_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(OSError, match="missing"):
        WireJournal(folder, lease_id=uuid4(), capacity=2)


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)
_replies = st.builds(Reply, st.integers(0, 599), st.sampled_from(["", "5.1.1"]), _texts)
_recipients = st.lists(
    st.builds(
        RecipientResult,
        st.emails(),
        st.sampled_from(Outcome),
        st.sampled_from(Reason),
        _replies,
    ),
    max_size=3,
).map(tuple)


@given(
    st.builds(
        SendResult,
        st.sampled_from(Outcome),
        st.sampled_from(Reason),
        st.sampled_from(Scope),
        _replies,
        _recipients,
        _texts,
        st.none() | st.floats(0, 1e6),
    )
)
def test_a_result_comes_back_whole_or_at_least_its_verdicts(
    tmp_path_factory: pytest.TempPathFactory, result: SendResult
) -> None:
    found = _through(tmp_path_factory.mktemp("wire"), result)
    assert (found.outcome, found.reason, found.scope) == (
        result.outcome,
        result.reason,
        result.scope,
    )
    assert [(r.address, r.outcome, r.reason) for r in found.recipients] == [
        (r.address, r.outcome, r.reason) for r in result.recipients
    ]


def test_a_result_gives_up_its_words_before_its_verdicts(tmp_path: Path) -> None:
    some = tuple(
        RecipientResult(f"u{n}@example.net", Outcome.NOT_ACCEPTED, reply=Reply(450, "", "x" * 300))
        for n in range(20)
    )
    result = SendResult(Outcome.ACCEPTED, recipients=some, dialogue="y" * 9000)
    found = _through(tmp_path, result)
    assert [(r.address, r.outcome, r.reply.code) for r in found.recipients] == [
        (r.address, Outcome.NOT_ACCEPTED, 450) for r in some
    ]
    assert found.dialogue == ""


def test_a_result_that_fits_in_no_way_is_unknown(tmp_path: Path) -> None:
    many = tuple(
        RecipientResult(f"{'u' * 60}{n}@example.net", Outcome.NOT_ACCEPTED) for n in range(100)
    )
    result = SendResult(Outcome.ACCEPTED, recipients=many)
    assert _through(tmp_path, result).outcome is Outcome.UNKNOWN


def test_half_a_surrogate_pair_in_a_reply_costs_its_words_only(tmp_path: Path) -> None:
    result = SendResult(Outcome.REJECTED, Reason.MAILBOX, reply=Reply(550, "", "\udc80"))
    found = _through(tmp_path, result)
    assert (found.outcome, found.reason, found.reply) == (
        Outcome.REJECTED,
        Reason.MAILBOX,
        Reply(550),
    )


def _through(folder: Path, result: SendResult) -> SendResult:
    journal = WireJournal(folder, lease_id=uuid4(), capacity=1)
    message_id = uuid4()
    hold(journal, message_id).end(result, 1)
    die(journal)
    found = notes(folder)[message_id].result
    assert found is not None
    return found
