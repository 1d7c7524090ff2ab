"""Record what the interpreter opens and imports."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Watch:
    """Record of what the interpreter opens and imports while it is on."""

    def __init__(self):
        self.is_on = False
        self.imports: list[str] = []
        self.opened: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple) -> None:
        if not self.is_on:
            return
        if event == "import":
            self.imports.append(str(args[0]))
        elif event == "open" and isinstance(args[0], (str, bytes)):
            self.opened.append(os.fsdecode(args[0]))
        elif event in ("os.system", "subprocess.Popen", "socket.connect"):
            self.imports.append(event)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Record within this context, from empty lists."""
        self.imports, self.opened, self.is_on = [], [], True
        try:
            yield
        finally:
            self.is_on = False
