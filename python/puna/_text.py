"""The text of a completion as its tokens come: from the engine, or from a tokenizer that the user brought."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

from ._engine import Outcome, Token


def held_bytes(text: bytes, stops: Sequence[bytes]) -> int:
    """Bytes at the end that may be the beginning of a stop text, or are a part of a character."""
    held = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), held, -1):
            if text.endswith(stop[:length]):
                held = length
                break
    for length in range(1, min(4, len(text)) + 1):
        byte = text[-length]
        if byte & 0xC0 == 0x80:
            continue
        needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return max(held, length) if needed > length else held
    return held


def cut_at_stops(text: bytes, stops: Sequence[bytes]) -> bytes:
    """The text before the first stop text."""
    return text[: min((place for place in map(text.find, stops) if place >= 0), default=len(text))]


class EngineText:
    """The engine's own text: complete characters, stop texts found and held back."""

    def __init__(self) -> None:
        self.parts: List[bytes] = []
        self.n_taken = 0

    def token(self, event: Token) -> bool:
        if event.text:
            self.parts.append(event.text)
        return False

    def end(self, outcome: Outcome, all_text: Optional[bytes]) -> None:
        """all_text: the text of all tokens, where the generation was stopped from outside the engine."""
        if all_text is None:
            self.parts.append(outcome.text)
        else:
            self.parts.append(all_text[sum(map(len, self.parts)) :])

    def whole(self) -> str:
        return b"".join(self.parts).decode("utf-8", "ignore")

    def new(self) -> str:
        """What has come since the last call."""
        parts = self.parts[self.n_taken :]
        self.n_taken = len(self.parts)
        return b"".join(parts).decode("utf-8", "ignore")


class TokenizerText:
    """The text that another tokenizer gives the tokens. Detokenizes everything for each token: such a tokenizer's text
    need not be the sum of its tokens' texts."""

    def __init__(self, tokenizer: Any, prompt_tokens: Sequence[int], stops: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.prompt_tokens = list(prompt_tokens)
        self.stops = [stop.encode("utf-8", "replace") for stop in stops]
        self.tokens: List[int] = []
        self.text = b""  # of all tokens, up to a stop text
        self.n_ready = 0  # bytes that no stop text and no half character can take back
        self.n_taken = 0
        self.stopped = False

    def token(self, event: Token) -> bool:
        """True when a stop text has come."""
        if self.stopped:
            return False
        self.tokens.append(event.id)
        self.text = self.tokenizer.detokenize(self.tokens, prev_tokens=self.prompt_tokens)
        cut = cut_at_stops(self.text, self.stops)
        if len(cut) < len(self.text):
            self.text = cut
            self.n_ready, self.stopped = len(cut), True
            return True
        self.n_ready = max(self.n_ready, len(self.text) - held_bytes(self.text, self.stops))
        return False

    def end(self, outcome: Outcome, all_text: Optional[bytes]) -> None:
        self.n_ready = len(self.text)

    def whole(self) -> str:
        return self.text.decode("utf-8", "ignore")

    def new(self) -> str:
        text = self.text[self.n_taken : self.n_ready]
        self.n_taken = max(self.n_taken, self.n_ready)
        return text.decode("utf-8", "ignore")
