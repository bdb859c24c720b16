"""Draw docs/pictures/way-{light,dark}.svg, the README's picture: ``python tools/picture.py``.

Two files, because GitHub chooses by its own theme (``<picture>``), which a picture cannot see.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

WIDTH, HEIGHT = 960, 475
FONT = "-apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Helvetica, Arial, sans-serif"
PALETTES = {
    "light": {
        "text": "#1f2328",
        "soft": "#59636e",
        "line": "#8c959f",
        "box": "#ffffff",
        "room": "#f6f8fa",
        "blue": "#0969da",
        "green": "#1a7f37",
    },
    "dark": {
        "text": "#e6edf3",
        "soft": "#9198a1",
        "line": "#6e7681",
        "box": "#161b22",
        "room": "#0d1117",
        "blue": "#58a6ff",
        "green": "#3fb950",
    },
}


class Drawing:
    def __init__(self, colours: dict[str, str]) -> None:
        self.colours = colours
        self.parts: list[str] = []

    def text(
        self, x: float, y: float, words: str, *, size: int = 13, colour: str = "text", anchor: str = "middle", bold: bool = False
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{self.colours[colour]}"{weight}>{escape(words)}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, *, fill: str = "box", line: str = "line", dashed: bool = False) -> None:
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        colours = f'fill="{self.colours[fill]}" stroke="{self.colours[line]}"'
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" {colours}{dashes}/>')

    def thing(self, x: float, y: float, width: float, title: str, *lines: str, dashed: bool = False, line: str = "line") -> None:
        """A box with a bold title and small lines below it."""
        height = 34 + 17 * len(lines)
        self.box(x, y, width, height, dashed=dashed, line=line)
        self.text(x + width / 2, y + 22, title, bold=True)
        for number, words in enumerate(lines):
            self.text(x + width / 2, y + 40 + 17 * number, words, size=12, colour="soft")

    def arrow(self, *points: tuple[float, float], words: str = "", at: tuple[float, float] | None = None, colour: str = "blue") -> None:
        path = " ".join(f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(points))
        self.parts.append(f'<path d="{path}" fill="none" stroke="{self.colours[colour]}" stroke-width="1.6" marker-end="url(#{colour})"/>')
        if at:
            self.text(*at, words, size=12, colour=colour)

    def svg(self, title: str) -> str:
        heads = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{self.colours[name]}"/></marker>'
            for name in ("blue", "green")
        )
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'font-family="{FONT}" role="img">\n<title>{escape(title)}</title>\n<defs>{heads}</defs>\n{body}\n</svg>\n'
        )


def way(colours: dict[str, str]) -> str:
    """From a spec to a served model."""
    draw = Drawing(colours)

    # Above: asking.
    draw.thing(20, 20, 190, "You ask", "command line, Python,", "%kuberay, papermill")
    draw.thing(310, 20, 210, "A KubeRay resource", "RayCluster, RayJob, RayService", "checked before anything starts")
    draw.thing(660, 20, 280, "A backend makes it so", "local: Ray processes on this machine", "kuberay: Kubernetes (next step)")
    draw.arrow((210, 54), (306, 54), words="spec", at=(258, 46))
    draw.arrow((520, 54), (656, 54), words="create, patch", at=(588, 46))

    # Between: the cluster, with the notebooks on it.
    draw.box(20, 150, 920, 140, fill="room")
    draw.text(36, 172, "Your Ray cluster", bold=True, anchor="start")
    draw.text(924, 172, "one head, any number of workers, a token of its own", size=12, colour="soft", anchor="end")
    draw.arrow((800, 88), (800, 146), words="starts, keeps, restarts", at=(872, 122))
    stages = (
        ("Data", "Parquet, JSON", "Lines, CSV"),
        ("Training", "Ray Train,", "any seq2seq"),
        ("Evaluation", "ROUGE on", "held-out data"),
        ("Validation", "a gate: worse", "is not published"),
    )
    for number, (title, *lines) in enumerate(stages):
        x = 40 + 233 * number
        draw.thing(x, 196, 180, title, *lines)
        if number:
            draw.arrow((x - 53, 230), (x - 4, 230))
    draw.arrow((115, 88), (115, 146))
    draw.text(124, 122, "cluster.run(fn), notebooks with parameters", size=12, colour="blue", anchor="start")

    # Below: publishing.
    draw.thing(715, 340, 225, "A revision", "code by its digest,", "weights by URI, settings", line="green")
    draw.thing(400, 340, 225, "A RayService", "only serveConfigV2 changes:", "in place, no second cluster", line="green")
    draw.thing(20, 340, 290, "GET /summarize?text=…", "dynamic batching, 0 failed requests", "while a new revision goes in", line="green")
    draw.arrow((829, 264), (829, 336), words="publish", at=(862, 318), colour="green")
    draw.arrow((715, 374), (629, 374), words="tried out", at=(671, 366), colour="green")
    draw.arrow((400, 374), (314, 374), words="answers", at=(357, 366), colour="green")
    draw.arrow(
        (829, 408), (829, 445), (512, 445), (512, 412), words="roll back: an earlier revision goes in again", at=(670, 462), colour="green"
    )
    return draw.svg("From a spec to a served model")


def main() -> None:
    folder = Path(__file__).parent.parent / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, colours in PALETTES.items():
        (folder / f"way-{name}.svg").write_text(way(colours))


if __name__ == "__main__":
    main()
