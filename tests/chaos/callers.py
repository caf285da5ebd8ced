"""Callers of the open space, each in a thread of its own: the service dies and comes back for them.

They are less patient than a client has to be, and then go on with other events: so some stay
unknown for good, as they do where a caller gives up.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from unify_client import (
    Ack,
    Identifier,
    Outcome,
    ProfileNotFound,
    RetryPolicy,
    ServiceError,
)

from tests.chaos.people import People
from tests.chaos.spaces import delete_patiently, is_harmless
from tests.conformance.grpc_backend import to_wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_client import Event, EventResult, UnifyClient

    from tests.chaos.findings import Findings
    from tests.chaos.ledger import Ledger, Message
    from tests.chaos.spaces import ChaosSpace

PATIENCE: Final = RetryPolicy(deadline_s=4.0, pause_max_s=0.5)
IMPATIENCE: Final = RetryPolicy(deadline_s=0.3, pause_max_s=0.2)
"""Of those who do not wait for links: they soon give up, and go on with something else."""
_BATCH_MAX = 6
_WINDOW = 3
_STREAM_BATCHES = 60
_AGAIN_CHANCE = 0.12
_ALIAS_CHANCE = 0.06
_READ_CHANCE = 0.3
_FAILED_PAUSE_S = 1.0
"""While there is no service, callers would leave nothing but unknown events behind."""


class Caller(ABC):
    """Does something over and over until it is told to stop."""

    def __init__(self, name: str, findings: Findings) -> None:
        self.name = name
        self.answered_since = 0.0
        """When the last request that was answered had been sent, by `time.monotonic`."""
        self.findings = findings
        self.stopping = threading.Event()
        self._opened: list[UnifyClient] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Has it end after what it is at."""
        self.stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Waits for its end, and hangs up; False if it takes longer."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        for client in self._opened:
            client.close()
        return True

    def keep(self, client: UnifyClient) -> UnifyClient:
        """Takes a connection over, until the end."""
        self._opened.append(client)
        return client

    def pause(self, seconds: float) -> None:
        """Lets others go on for so long, unless it is to stop."""
        self.stopping.wait(seconds)

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
        except Exception as error:  # noqa: BLE001 - of a thread nobody else would hear
            self.findings.note("a caller broke off", f"{self.name}: {error!r}")

    @abstractmethod
    def step(self) -> None:
        """Does it once."""


class _Writer(Caller):
    """Writes into the open space."""

    def __init__(
        self,
        name: str,
        space: ChaosSpace,
        ledger: Ledger,
        findings: Findings,
        seed: str,
        ack: Ack = Ack.RESOLVED,
    ) -> None:
        super().__init__(name, findings)
        self.ack = ack
        self.source = random.Random(f"{seed} {name}")
        self.people = People(self.source, name)
        self.ledger = ledger
        self.client = self.keep(space.writer(PATIENCE if self.ack is Ack.RESOLVED else IMPATIENCE))
        self._known: list[str] = []
        """User ids of people that are there for certain."""

    def batch(self) -> list[Message]:
        """Returns events, and writes them down as sent: some again, one now and then twice."""
        messages = [self.people.next_message() for _ in range(self.source.randint(1, _BATCH_MAX))]
        if self._known and self.source.random() < _ALIAS_CHANCE:
            messages.append(self.people.alias_of(self.source.choice(self._known)))
        if self.source.random() < _AGAIN_CHANCE:
            again = self.ledger.sample(self.source)
            messages.extend([again] if again else messages[:1])
        self.ledger.sending(messages)
        return messages

    def answered(self, messages: list[Message], results: list[EventResult]) -> None:
        """Writes an answer down, and checks what it may say."""
        if len(messages) != len(results):
            text = f"{self.name}: {len(results)} answers to {len(messages)} events"
            self.findings.note("an answer is incomplete", text)
            return
        for message, result in zip(messages, results, strict=True):
            if not result.stored:
                text = f"{message['messageId']} ({self.name}): {result.reason}"
                self.findings.note("a good event is refused", text)
                continue
            # After its deadline a link is answered PENDING, also to those who asked for more.
            is_resolved = self.ack is Ack.RESOLVED and result.outcome is not Outcome.PENDING
            self.ledger.acked(message, result, is_resolved=is_resolved)
            if message["type"] == "identify" and len(self._known) < 50:
                self._known.append(message["userId"])

    def failed(self, error: ServiceError, messages: list[Message]) -> None:
        """Writes down that nobody knows, and checks that the failure is one to be expected."""
        self.ledger.failed(messages)
        self.pause(_FAILED_PAUSE_S)
        if not is_harmless(error):
            self.findings.note("a call fails for good", f"{self.name}: {error}")


class UnaryWriter(_Writer):
    """Sends batch after batch, each in a call of its own, and reads what it wrote."""

    def __init__(
        self,
        name: str,
        space: ChaosSpace,
        ledger: Ledger,
        findings: Findings,
        seed: str,
        ack: Ack = Ack.RESOLVED,
    ) -> None:
        super().__init__(name, space, ledger, findings, seed, ack)
        self._reader = self.keep(space.reader(PATIENCE))

    def step(self) -> None:
        """Sends a batch, and sometimes reads it back."""
        messages = self.batch()
        sent_at = time.monotonic()
        try:
            results = self.client.ingest(map(to_wire, messages), ack=self.ack)
        except ServiceError as error:
            self.failed(error, messages)
        else:
            self.answered(messages, results)
            if self.ack is Ack.ACCEPTED or results[0].outcome is not Outcome.PENDING:
                self.answered_since = sent_at
                if self.ack is Ack.RESOLVED and self.source.random() < _READ_CHANCE:
                    self._read_back(messages[0])
        self.pause(self.source.uniform(0, 0.2))

    def _read_back(self, message: Message) -> None:
        """What was acknowledged RESOLVED is seen by a read that begins now."""
        names = [
            f"{type_}:{message[key]}"
            for type_, key in (("anonymous_id", "anonymousId"), ("user_id", "userId"))
            if key in message
        ]
        if not names or message["type"] == "alias":
            return
        try:
            profile = self._reader.get_profile(names[0], parts=["external_ids"])
            events = self._reader.list_events(names[0], types=[message["type"]], page_size=100)
            is_listed = any(each.message_id == message["messageId"] for each in events)
        except ProfileNotFound:
            text = f"{message['messageId']} ({self.name}): nobody is found by its identifier"
            self.findings.note("RESOLVED is not seen", text)
            return
        except ServiceError as error:
            if not is_harmless(error):
                self.findings.note("a call fails for good", f"{self.name}: {error}")
            return
        shown = {f"{each.type}:{each.id}" for each in profile.external_ids}
        if not is_listed or not shown.issuperset(names):
            text = f"{message['messageId']} ({self.name}): listed {is_listed}"
            self.findings.note("RESOLVED is not seen", text)


class StreamWriter(_Writer):
    """Sends batches over one call for as long as that goes well."""

    def __init__(
        self,
        name: str,
        space: ChaosSpace,
        ledger: Ledger,
        findings: Findings,
        seed: str,
        ack: Ack = Ack.RESOLVED,
    ) -> None:
        super().__init__(name, space, ledger, findings, seed, ack)
        self._under_way: list[tuple[float, list[Message]]] = []

    def step(self) -> None:
        """Opens a stream, and writes some dozen batches over it."""
        self._under_way = []
        try:
            for results in self.client.ingest_stream(self._batches(), ack=self.ack, window=_WINDOW):
                sent_at, messages = self._under_way.pop(0)
                self.answered(messages, results)
                self.answered_since = sent_at
        except ServiceError as error:
            for _, messages in self._under_way:
                self.failed(error, messages)

    def _batches(self) -> Iterator[Iterator[Event]]:
        for _ in range(_STREAM_BATCHES):
            if self.stopping.is_set():
                return
            self.pause(self.source.uniform(0, 0.15))
            messages = self.batch()
            self._under_way.append((time.monotonic(), messages))
            yield map(to_wire, messages)


class Deleter(_Writer):
    """Gives people addresses that nobody else has, and takes them away again."""

    def __init__(
        self, name: str, space: ChaosSpace, ledger: Ledger, findings: Findings, seed: str
    ) -> None:
        super().__init__(name, space, ledger, findings, seed)
        self.client = self.keep(space.writer())
        self.deleted: list[str] = []
        """Addresses whose deletion was answered, as `type:value`."""
        self._owner = self.keep(space.reader())
        self._count = 0

    def step(self) -> None:
        """Sends an event and, once it is resolved, deletes an identifier of it."""
        self._count += 1
        address = f"gone-{self._count}@example.com"
        message = self.people.identify_with(address)
        self.ledger.sending([message])
        sent_at = time.monotonic()
        try:
            results = self.client.ingest([to_wire(message)])
        except ServiceError as error:
            self.failed(error, [message])
            return
        self.answered([message], results)
        if results[0].outcome is Outcome.PENDING:
            return
        request_id = str(uuid.UUID(int=self.source.getrandbits(128), version=4))
        user, gone = (
            Identifier("users", "user_id", message["userId"]),
            Identifier("users", "email", address),
        )
        delete_patiently(self._owner, user, gone, request_id)
        self.deleted.append(f"email:{address}")
        self.answered_since = sent_at
        self.pause(self.source.uniform(0.2, 0.8))
