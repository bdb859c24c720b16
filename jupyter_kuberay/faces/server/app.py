"""The Jupyter Server extension: REST under /jupyter-kuberay, and events of what changes.

It is loaded when a server starts, and costs that start next to nothing: what is
slow to load comes with the first request (`background`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyter_events import EventLogger
from jupyter_server.extension.application import ExtensionApp

from jupyter_kuberay.faces.server.background import Background
from jupyter_kuberay.faces.server.handlers import BACKGROUND, handlers

EVENT = Path(__file__).with_name("event.yaml")
EVENT_ID = "urn:jupyter-kuberay:change"
_END_S = 5.0


class KubeRayApp(ExtensionApp):
    """A Ray cluster of one's own from JupyterLab, and the model published from it."""

    name = "kuberay"
    extension_url = "/lab"
    load_other_extensions = True

    def initialize_settings(self) -> None:
        self._events.register_event_schema(EVENT)
        root = Path(self.settings.get("server_root_dir") or ".").expanduser().absolute()
        self.settings[BACKGROUND] = Background(self._tell, root)

    @property
    def _events(self) -> EventLogger:
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        return self.serverapp.event_logger

    def initialize_handlers(self) -> None:
        self.handlers.extend(handlers("/"))

    def _tell(self, event: dict[str, Any]) -> None:
        self._events.emit(schema_id=EVENT_ID, data=event)

    async def stop_extension(self) -> None:
        try:
            async with asyncio.timeout(_END_S):
                await self.settings[BACKGROUND].close()
        except TimeoutError:
            self.log.warning("jupyter-kuberay did not let go of its connections within %s s; the server goes on ending.", _END_S)
