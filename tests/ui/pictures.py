"""The README's pictures of the panel, made of those that the scenario takes at each step.

``JUPYTER_KUBERAY_TEST_PICTURES`` names the folder for them; ``make pictures`` sets it to docs/pictures.
"""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

FOLDER = os.environ.get("JUPYTER_KUBERAY_TEST_PICTURES", "")
STILLS = {"new-cluster": "panel-new-cluster", "tried": "panel-tried"}
SCENES = (
    "nothing-yet",
    "new-cluster",
    "starting",
    "ready",
    "attached",
    "task",
    "worker-killed",
    "scaled",
    "publish",
    "published",
    "tried",
    "revisions",
    "rolled-back",
)
SCENE_MS, LAST_MS = 1600, 4000
COLOURS, OF_SCENES = 128, 64


def keep(steps: Path, folder: Path) -> None:
    """Write the stills, light and dark, and the animation into ``folder``, in so few colours that a clone stays small.

    Parameters
    ----------
    steps
        Where NN-name-light.png and NN-name-dark.png of each step are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, called in STILLS.items():
        for theme in ("light", "dark"):
            _reduced(_step(steps, name, theme)).save(folder / f"{called}-{theme}.png", optimize=True)
    # As they are: of smaller ones each letter is another, which takes more.
    first, *more = [_reduced(_step(steps, name, "light"), OF_SCENES) for name in SCENES]
    times = [SCENE_MS] * len(more) + [LAST_MS]
    first.save(folder / "panel.gif", save_all=True, append_images=more, duration=times, loop=0, optimize=True)


def _step(steps: Path, name: str, theme: str) -> Image.Image:
    """The first of its name."""
    return Image.open(min(steps.glob(f"[0-9][0-9]-{name}-{theme}.png"))).convert("RGB")


def _reduced(picture: Image.Image, colours: int = COLOURS) -> Image.Image:
    return picture.quantize(colours, dither=Image.Dither.NONE)
