"""How the sink behaves and misbehaves, so that tests can meet every kind of server."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from pathlib import Path


class Stage(StrEnum):
    """Where in a conversation a fault strikes."""

    #: Instead of the greeting.
    GREET = "greet"
    #: Instead of the answer to MAIL.
    MAIL = "mail"
    #: Instead of the answer to RCPT.
    RCPT = "rcpt"
    #: Instead of the 354 after DATA.
    DATA = "data"
    #: While the data arrive, before the final dot is read.
    BODY = "body"
    #: After the final dot; the mail is not taken.
    END = "end"
    #: After the final dot; the mail is taken and counted.
    TAKEN = "taken"


#: Close the connection without a word.
DROP = "drop"
#: Say nothing more on this connection.
HANG = "hang"


@dataclass(frozen=True, slots=True)
class Fault:
    """Every `every`th time that a conversation comes to `stage`, do `action`.

    `action` is `drop`, `hang`, or a reply such as `451 4.3.0 Try again`; 421 also closes.
    """

    stage: Stage
    every: int
    action: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `STAGE:N:ACTION`. Raises `ValueError`."""
        stage, every, action = text.split(":", 2)
        if int(every) < 1 or not action:
            raise ValueError(f"{text!r}: use STAGE:N:ACTION with N from 1.")
        return cls(Stage(stage), int(every), action)

    @property
    def reply(self) -> bytes:
        """Return the line to send, empty for `drop` and `hang`."""
        return b"" if self.action in {DROP, HANG} else f"{self.action}\r\n".encode()

    @property
    def is_closing(self) -> bool:
        """Tell whether the connection ends with it."""
        return self.action == DROP or self.action.startswith("421")


@dataclass(slots=True)
class Faults:
    """The faults of one sink, and how often each stage was reached."""

    faults: tuple[Fault, ...] = ()
    _counts: dict[Stage, int] = field(default_factory=dict)

    def next(self, stage: Stage) -> Fault | None:
        """Count one arrival at `stage`; return the fault that strikes there, if one does."""
        if not self.faults:
            return None
        count = self._counts[stage] = self._counts.get(stage, 0) + 1
        for fault in self.faults:
            if fault.stage is stage and count % fault.every == 0:
                return fault
        return None


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How the sink behaves."""

    host: str = "127.0.0.1"
    port: int = 0
    log: Path | None = None
    log_recipients: bool = False
    reply_delay_seconds: float = 0.0
    final_delay_seconds: float = 0.0
    pipelining: bool = True
    #: Close without a reply after each nth mail was taken; 0 never.
    drop_after_data: int = 0
    #: Answer 421 to MAIL after so many mails on one connection; 0 never.
    max_per_connection: int = 0
    #: (pattern, reply): the first pattern that matches a recipient gives the answer to its RCPT.
    recipient_replies: tuple[tuple[str, str], ...] = ()
    faults: tuple[Fault, ...] = ()


class Mail(NamedTuple):
    """One mail the sink took."""

    message_id: str
    recipients: tuple[str, ...]
    at: float

    def log_line(self, *, shows_recipients: bool) -> str:
        """Return the mail's line in the log."""
        line = f"{self.message_id}\t{len(self.recipients)}\t{self.at:.6f}"
        return f"{line}\t{','.join(self.recipients)}\n" if shows_recipients else f"{line}\n"
