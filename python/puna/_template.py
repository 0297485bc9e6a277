"""puna_chat: a compiled way of writing conversations, and the prompts that it renders."""

from __future__ import annotations

import ctypes
import json
import weakref
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from . import _binding
from ._binding import PUNA_E_LIMIT, PunaError, PunaValueError, lib

if TYPE_CHECKING:
    from ._model import Model


def _call(function: Any, *arguments: Any) -> None:
    """As _binding.call, but a bound that a template or a conversation passes is a ValueError, too."""
    try:
        _binding.call(function, *arguments)
    except PunaError as error:
        if error.code == PUNA_E_LIMIT:
            raise PunaValueError(str(error), error.code) from None
        raise


class Prompt:
    """A rendered conversation: ids to feed, and the texts that end its answer. Without a model it has no ids."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._finalizer = weakref.finalize(self, lib.puna_prompt_free, handle)
        n_tokens = ctypes.c_int32()
        ids = lib.puna_prompt_tokens(handle, ctypes.byref(n_tokens))
        self.tokens: List[int] = ids[: n_tokens.value] if n_tokens.value else []
        self.stops: List[str] = []
        while (stop := lib.puna_prompt_stop(handle, len(self.stops))) is not None:
            self.stops.append(stop.decode("utf-8", "replace"))

    @property
    def text(self) -> str:
        n_bytes = ctypes.c_size_t()
        address = lib.puna_prompt_text(self.handle, ctypes.byref(n_bytes))
        return ctypes.string_at(address, n_bytes.value).decode("utf-8", "replace")


class Template:
    """A model's own template, one of its further templates (template_name), a named format, or the text of a template.
    Without a model one of the latter two, with the texts of the tokens that begin and end a text. ValueError when it
    cannot be compiled."""

    def __init__(
        self,
        model: Optional[Model] = None,
        format: Optional[str] = None,
        template_name: Optional[str] = None,
        text: Optional[str] = None,
        bos: Optional[str] = None,
        eos: Optional[str] = None,
    ) -> None:
        options = _binding.puna_chat_options()
        lib.puna_chat_options_init(ctypes.byref(options))
        if text is not None:
            data = _binding.as_bytes(text)
            options.template_text, options.template_bytes = data, len(data)
        for field, value in (("format", format), ("template_name", template_name), ("bos", bos), ("eos", eos)):
            if value is not None:
                setattr(options, field, _binding.as_bytes(value))
        handle = ctypes.c_void_p()
        opened = model.handle if model is not None else None
        _call(lib.puna_chat_open, opened, ctypes.byref(options), ctypes.byref(handle))
        self.handle = handle.value
        self._finalizer = weakref.finalize(self, lib.puna_chat_free, handle.value)
        self.source: str = lib.puna_chat_source(handle).decode()

    def render(
        self, messages: Sequence[Any], tools: Any = None, variables: Optional[Dict[str, Any]] = None, answer: bool = True
    ) -> Prompt:
        """variables: further ones for the template. answer: the prompt ends where the answer begins. ValueError for what
        the template refuses."""
        given = _binding.puna_chat_input()
        lib.puna_chat_input_init(ctypes.byref(given))
        given.no_generation_prompt = not answer
        for name, value in (("messages", list(messages)), ("tools", tools), ("vars", variables or None)):
            if value is not None:
                data = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
                setattr(given, name, data)
                setattr(given, name + "_bytes", len(data))
        prompt = ctypes.c_void_p()
        _call(lib.puna_chat_render, self.handle, ctypes.byref(given), ctypes.byref(prompt))
        assert prompt.value is not None
        return Prompt(prompt.value)

    def parse(self, prompt: Prompt, answer: str, is_partial: bool = False) -> Dict[str, Any]:
        """The message that an answer is: content, reasoning_content, tool_calls."""
        data, message = _binding.as_bytes(answer), ctypes.c_char_p()
        _binding.call(
            lib.puna_chat_parse, self.handle, prompt.handle, data, len(data), is_partial, ctypes.byref(message)
        )
        try:
            found: Dict[str, Any] = json.loads(message.value or b"{}")
            return found
        finally:
            lib.puna_free(ctypes.cast(message, ctypes.c_void_p))
