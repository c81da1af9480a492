"""Payloads to an HTTP receiver, one POST each over one connection that stays open. Standard library only."""

from __future__ import annotations

import http.client
from collections.abc import Callable

from runtime.stream.voice import Voice
from runtime.stream.web import TROUBLES, Address, said

#: Says which frame a payload was made from.
FRAME_HEADER = "Splitport-Frame"
_TIMEOUT = 5.0
#: Seconds before the second attempt and the third.
_PAUSES = 0.2, 1.0
#: What a receiver says beyond this is not worth waiting for.
_ANSWER_LIMIT = 64 << 10


class Post:
    """Tries a few times where the receiver is away or in trouble. A receiver that refuses is not asked again."""

    first = 1

    def __init__(self, url: str, voice: Voice, wait: Callable[[float], None]) -> None:
        self.name = url
        self._address = Address.parse(url)
        self._connection = self._address.connection(_TIMEOUT)
        self._voice, self._wait = voice, wait

    def put(self, number: int, payload: bytes) -> bool:
        """Send it; what is wrong is told once until something arrives again."""
        why = ""
        for pause in (0.0, *_PAUSES):
            if pause:
                self._wait(pause)
            try:
                status, words = self._send(number, payload)
            except TROUBLES as trouble:
                self.close()
                why = said(trouble)
                continue
            if 200 <= status < 300:
                if self._voice.passed("receiver"):
                    self._voice.tell(f"{self.name} takes payloads again, from frame {number}")
                return True
            why = f"{status} {words}"
            if status < 500:
                self._voice.trouble(f"status {status}", f"{self.name} refuses frame {number}: {why}; told once")
                return False
        self._voice.trouble("receiver", f"{self.name} does not take frame {number}: {why}; going on without it")
        return False

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _send(self, number: int, payload: bytes) -> tuple[int, str]:
        headers = {"Content-Type": "application/octet-stream", FRAME_HEADER: str(number)}
        self._connection.request("POST", self._address.target, payload, headers)
        answer: http.client.HTTPResponse = self._connection.getresponse()
        answer.read(_ANSWER_LIMIT)
        if not answer.isclosed():  # the rest of it would stand before the next answer
            self.close()
        return answer.status, answer.reason
