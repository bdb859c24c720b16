"""axe-core in a page, over what is ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_INSTALLED = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
AXE = Path(os.environ.get("JUPYTER_KUBERAY_TEST_AXE") or _INSTALLED)
OURS = "#jupyter-kuberay-panel"
# What Lab writes on each of its toolbar's buttons is not ours to mend; what it is about is a state that those have.
_LABS = ("aria-allowed-attr", "<jp-button ")
_RUN = """async contexts => {
  const found = await axe.run({ include: contexts.map(each => [each]) }, { resultTypes: ['violations', 'incomplete'] });
  const told = (rules, kind) => rules.flatMap(rule => rule.nodes.map(node => ({
    kind, rule: rule.id, help: rule.help, where: node.target.join(' '), html: node.html.slice(0, 200), why: node.failureSummary ?? ''
  })));
  return { violations: told(found.violations, 'violation'), checked: found.passes.map(rule => rule.id) };
}"""


def violations(page: Page, *where: str) -> list[dict[str, Any]]:
    """What axe-core finds wrong within the selectors ``where`` (default: the panel).

    Raises
    ------
    AssertionError
        Contrast was not looked at, which axe-core does not say by itself.
    """
    assert AXE.exists(), f"{AXE} is missing: npm brings it (axe-core)"
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE.read_text())
    # Without a height of the body, everything is taken for covered, and contrast passes unseen.
    page.evaluate("document.body.style.height = '100vh'")
    found = page.evaluate(_RUN, [*(where or (OURS,))])
    assert "color-contrast" in [*found["checked"], *(each["rule"] for each in found["violations"])], "contrast was not looked at"
    return [each for each in found["violations"] if not (each["rule"] == _LABS[0] and each["html"].startswith(_LABS[1]))]


def told(found: list[dict[str, Any]]) -> str:
    """For whoever reads of a failure."""
    return "\n".join(f"{each['rule']}: {each['where']}\n    {each['html']}\n    {each['why']}" for each in found)
