"""What ``import jupyter_kuberay`` costs over a bare interpreter. Goal: at most 50 ms."""

from __future__ import annotations

import subprocess
import sys

from _pairs import pairs, report, timed

NUMBER = 21


def interpreter(program: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", program], check=True))


def main() -> int:
    interpreter("import jupyter_kuberay")  # writes the bytecode
    found = pairs(lambda: interpreter("import jupyter_kuberay"), lambda: interpreter("pass"), NUMBER)
    cost = found.difference * 1000
    return not report(
        "import jupyter_kuberay",
        f"{cost:+.1f} ms over a bare interpreter",
        goal="at most 50 ms",
        met=cost <= 50,
        detail=f"ratio {found.ratio:.2f}",
    )


if __name__ == "__main__":
    sys.exit(main())
