"""How many connections an account has open at once, over all workers together.

Each open connection has a *slot* in the broker (one sorted set per account, on the broker's clock),
which its process renews while it lives. A process that is refused one says so, and those that hold
more than their fair share give some back; where there are fewer slots than processes, they take
turns. While the broker is away each process keeps to the cap by itself, so there may be as many
times more connections as there are processes.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from mailservice.core.broker import BrokerError, redis_client
from providers.neighbours import is_dead_neighbour, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

#: A slot that is not renewed comes free after so long.
SLOT_SECONDS = 20.0
RENEW_SECONDS = 5.0
#: A process that holds slots looks so often whether others want some.
LOOK_SECONDS = 1.0
#: Who was refused a slot and does not ask again is forgotten after so long.
WANT_SECONDS = 2.0
#: Where there are fewer slots than processes, one is held for so long before it goes round, and
#: until the next look.
TURN_SECONDS = 1.5
#: A slot given back comes free a little later: the far end has to notice the goodbye, too.
GOODBYE_SECONDS = 0.1
#: After the broker failed to answer it is asked again after so long.
_AWAY_SECONDS = 5.0

# Of one account: KEYS are the slots (member "process/begun/number", score: until when) and those
# who want more (process: "since until"); ARGV are the cap, the process and more. Times are whole
# milliseconds since 1970. Only who has less than a fair share is *needy* and goes first.
_FACTS = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local cap, me = tonumber(ARGV[1]), ARGV[2]
local function whole(number) return string.format('%.0f', number) end
local function hold(member, milliseconds)
    redis.call('ZADD', KEYS[1], whole(now + milliseconds), member)
    redis.call('PEXPIRE', KEYS[1], SLOT)
end
local members, count, processes, since, share = {}, {}, 0, {}, 1
local function see(process)
    if not count[process] then count[process] = 0; processes = processes + 1 end
end
local function is_needy(process) return process ~= me and count[process] < share end
local function look()
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now))
    members = redis.call('ZRANGE', KEYS[1], 0, -1)
    see(me)
    for _, member in ipairs(members) do
        local process = string.match(member, '^[^/]+')
        see(process)
        count[process] = count[process] + 1
    end
    local wants = redis.call('HGETALL', KEYS[2])
    for at = 1, #wants, 2 do
        local from, to = string.match(wants[at + 1], '(%d+) (%d+)')
        if tonumber(to) > now then
            see(wants[at])
            since[wants[at]] = tonumber(from)
        else
            redis.call('HDEL', KEYS[2], wants[at])
        end
    end
    share = math.max(1, math.floor(cap / processes))
end
"""

# ARGV[3] is the slot's number. Answers 1 and the member, or 0 and the slots that are taken.
_TAKE = """
look()
local mine, ahead = since[me] or now, 0
for process, begun in pairs(since) do
    local is_first = begun < mine or (begun == mine and process < me)
    if is_needy(process) and (is_first or count[me] >= share) then ahead = ahead + 1 end
end
if cap - #members > ahead then
    local member = me .. '/' .. whole(now) .. '/' .. ARGV[3]
    hold(member, SLOT)
    if count[me] + 1 >= share then redis.call('HDEL', KEYS[2], me) end
    return {1, member}
end
redis.call('HSET', KEYS[2], me, whole(mine) .. ' ' .. whole(now + WANT))
redis.call('PEXPIRE', KEYS[2], WANT)
return {0, members}
"""

# The other ARGV are slots to renew, or to enter that were taken without the broker. Answers how
# many slots this process is known to hold, and how many it should give back: what it has above its
# share while others need it, or what has had its turn while there are too few for all.
_LOOK = """
for at = 3, #ARGV do hold(ARGV[at], SLOT) end
look()
local need = #members - cap
for process in pairs(since) do
    if is_needy(process) then need = need + share - count[process] end
end
if need <= 0 then return {count[me], 0} end
if count[me] > share then return {count[me], math.min(count[me] - share, need)} end
if processes <= cap then return {count[me], 0} end
local function begun(member) return tonumber(string.match(member, '/(%d+)/')) end
table.sort(members, function(one, other)
    local a, b = begun(one), begun(other)
    return a < b or (a == b and one < other)
end)
local due = 0
for at = 1, math.min(need, #members) do
    local member = members[at]
    if string.match(member, '^[^/]+') == me and begun(member) <= now - TURN then due = due + 1 end
end
return {count[me], due}
"""

# The other ARGV are slots that come free after ARGV[3] milliseconds.
_RELEASE = """
for at = 4, #ARGV do
    if redis.call('ZSCORE', KEYS[1], ARGV[at]) then hold(ARGV[at], tonumber(ARGV[3])) end
end
return 0
"""

_FORGET_WANT = "return redis.call('HDEL', KEYS[2], me)"


@dataclass(slots=True, eq=False)
class Slot:
    """The right to one open connection; used by one thread."""

    account_id: UUID
    member: str
    #: Told, from another thread, when the slot is recalled.
    on_recall: Callable[[], None] = field(repr=False)
    #: Set by its user while it waits for work: idle ones are recalled first.
    is_idle: bool = False
    #: Others need it: close the connection after the mail under way, and release the slot.
    is_recalled: bool = False


@dataclass(slots=True)
class _Account:
    """What this process holds at one account."""

    cap: int
    slots: list[Slot] = field(default_factory=list)
    renewed_at: float = field(default_factory=time.monotonic)
    #: Some slots were taken, or may have been lost, while the broker was away.
    is_unknown: bool = False


class Connections:
    """The slots of one process; safe to share between threads. Nothing here raises."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        #: Held while the broker is told of slots: none may be renewed that was just given back.
        self._telling = threading.Lock()
        self._accounts: dict[UUID, _Account] = {}
        self._keeper: threading.Thread | None = None
        self._broker = _Broker()

    def take(self, account_id: UUID, *, cap: int, on_recall: Callable[[], None]) -> Slot | None:
        """Return a slot, or None if all are taken or others come first.

        Whoever is refused comes forward in the line, as long as it asks again within
        `WANT_SECONDS`.
        """
        number = next(self._numbers)
        args = [cap, self._process, number]
        answer = self._broker.run(_TAKE, account_id, args)
        if answer is not None and not answer[0] and self._has_freed_dead(account_id, answer[1]):
            answer = self._broker.run(_TAKE, account_id, args)
        with self._lock:
            account = self._accounts.setdefault(account_id, _Account(cap))
            account.cap = cap
            if answer is not None and not answer[0]:
                return None
            if answer is not None:
                member = cast("bytes", answer[1]).decode()
            elif len(account.slots) < cap:
                member = f"{self._process}/{int(time.time() * 1000)}/{number}"
                account.is_unknown = True
            else:
                return None
            slot = Slot(account_id, member, on_recall)
            account.slots.append(slot)
            self._keep()
        return slot

    def release(self, slot: Slot) -> None:
        """Give a slot back; its connection is closed."""
        with self._telling:
            with self._lock:
                account = self._accounts.get(slot.account_id)
                if account is None or slot not in account.slots:
                    return
                account.slots.remove(slot)
            self._release(slot.account_id, [slot.member])

    def release_all(self) -> None:
        """Give all slots back: the process ends."""
        with self._telling:
            with self._lock:
                accounts, self._accounts = self._accounts, {}
            for account_id, account in accounts.items():
                self._release(account_id, [slot.member for slot in account.slots])
                self.forget_want(account_id)

    def forget_want(self, account_id: UUID) -> None:
        """Leave the line: this process has nothing to send there any more."""
        self._broker.run(_FORGET_WANT, account_id, [0, self._process])

    def _release(
        self, account_id: UUID, members: Sequence[str], *, after: float = GOODBYE_SECONDS
    ) -> None:
        wait = int(after * 1000)
        self._broker.run(_RELEASE, account_id, [0, self._process, wait, *members])

    def _has_freed_dead(self, account_id: UUID, members: Sequence[bytes]) -> bool:
        """Free the slots of this host's processes that are gone; True if there were any."""
        by_process: dict[str, list[str]] = {}
        for member in map(bytes.decode, members):
            by_process.setdefault(member.partition("/")[0], []).append(member)
        dead = [process for process in by_process if is_dead_neighbour(process)]
        for process in dead:
            logger.warning("Connections of a process that died come free: %s", process)
            self._release(account_id, by_process[process], after=0)
        return bool(dead)

    # --- the keeper -------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Start the thread that renews the slots, unless it runs. Called under the lock."""
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._run, name="connections", daemon=True)
            self._keeper.start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                self._accounts = {
                    key: account for key, account in self._accounts.items() if account.slots
                }
                if not self._accounts:
                    self._keeper = None
                    return
                held = list(self._accounts)
            for account_id in held:
                with self._telling:
                    self._look_after(account_id)

    def _look_after(self, account_id: UUID) -> None:
        """Renew an account's slots when it is time, and recall what others need."""
        now = time.monotonic()
        with self._lock:
            account = self._accounts.get(account_id)
            if account is None:
                return
            is_due = account.is_unknown or now - account.renewed_at >= RENEW_SECONDS
            members = [slot.member for slot in account.slots] if is_due else []
            account.is_unknown = False
        answer = self._broker.run(_LOOK, account_id, [account.cap, self._process, *members])
        if answer is None:
            account.is_unknown = True
            return
        if is_due:
            account.renewed_at = now
        known, too_many = map(int, answer)
        with self._lock:
            # A broker that starts afresh has forgotten them; those known beyond are on their way.
            account.is_unknown |= known < len(account.slots)
            too_many -= max(0, known - len(account.slots))
            too_many -= sum(slot.is_recalled for slot in account.slots)
            rest = [slot for slot in account.slots if not slot.is_recalled]
        rest.sort(key=lambda slot: not slot.is_idle)
        for slot in rest[: max(0, too_many)]:
            slot.is_recalled = True
            slot.on_recall()


class _Broker:
    """The broker, left alone for a while after it failed to answer."""

    def __init__(self) -> None:
        self._away_until = 0.0
        self._is_away = False
        #: Several threads may find it away, or back, at once; one of them says so.
        self._lock = threading.Lock()

    def run(self, body: str, account_id: UUID, args: Sequence[Any]) -> Sequence[Any] | None:
        """Run a script over an account's keys; None if the broker does not answer."""
        if time.monotonic() < self._away_until:
            return None
        # In braces: one cluster slot for both.
        keys = [f"connections:{{{account_id}}}:{name}" for name in ("held", "wanted")]
        try:
            answer = _script(body)(keys=keys, args=args)
        except (BrokerError, OSError) as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            if self._turns(is_away=True):
                logger.warning("Each process keeps to connection caps by itself: %s", error)
            return None
        if self._is_away and self._turns(is_away=False):
            logger.info("Connection caps are shared by all workers again")
        return answer if isinstance(answer, list) else [answer]

    def _turns(self, *, is_away: bool) -> bool:
        """Note whether it is away; tell whether that is news."""
        with self._lock:
            is_news = self._is_away is not is_away
            self._is_away = is_away
        return is_news


@lru_cache(maxsize=8)
def _script(body: str) -> Callable[..., Any]:
    text = _FACTS + body
    times = {"SLOT": SLOT_SECONDS, "WANT": WANT_SECONDS, "TURN": TURN_SECONDS}
    for name, seconds in times.items():
        text = text.replace(name, str(int(seconds * 1000)))
    return redis_client().register_script(text)


# --- who is who -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConnectionCap:
    """How many connections to one account all workers may have open at once."""

    account_id: UUID
    most: int

    def take(self, on_recall: Callable[[], None]) -> Slot | None:
        """Return a slot of this process; see `Connections.take`."""
        return own_connections().take(self.account_id, cap=self.most, on_recall=on_recall)

    def release(self, slot: Slot) -> None:
        """Give a slot of this process back; its connection is closed."""
        own_connections().release(slot)

    def forget_want(self) -> None:
        """See `Connections.forget_want`."""
        own_connections().forget_want(self.account_id)


class Uncapped:
    """As many connections as anybody likes."""

    def take(self, on_recall: Callable[[], None]) -> Slot:
        """Return a slot that nobody counts and that is never recalled."""
        return Slot(UUID(int=0), "", on_recall)

    def release(self, slot: Slot) -> None:
        """Have nothing to give back."""

    def forget_want(self) -> None:
        """Have never wanted."""


_own_lock = threading.Lock()
_own: dict[int, Connections] = {}


def own_connections() -> Connections:
    """Return this process's slots; a forked child has its own."""
    pid = os.getpid()
    own = _own.get(pid)
    if own is None:
        # Two that know of half the slots each would give none back, and number them alike.
        with _own_lock:
            own = _own.get(pid)
            if own is None:
                _own.clear()
                own = _own[pid] = Connections(name_of(pid))
    return own


def forget_connections() -> None:
    """Give all slots back and begin anew, as a process that knows nothing of the broker."""
    own = _own.pop(os.getpid(), None)
    if own is not None:
        own.release_all()
