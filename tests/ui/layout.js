// What of a panel lies outside of it, is cut without a sign, or lies under another, in words.
panel => {
  const side = panel.getBoundingClientRect();
  const wrong = new Set();
  const words = node => `${node.tagName.toLowerCase()}.${node.className.baseVal ?? node.className} "${node.textContent.slice(0, 40)}"`;
  const shown = node => node.checkVisibility() && !node.closest('.jp-kuberay-Heard') && !node.closest('svg');
  const boxed = nodes => [...nodes].filter(shown).map(node => [node, node.getBoundingClientRect()]).filter(([, box]) => box.width);

  for (const [node, box] of boxed(panel.querySelectorAll('button, input, p, h3, .jp-kuberay-Card *'))) {
    if (box.right > side.right + 0.5 || box.left < side.left - 0.5) {
      wrong.add(`outside: ${words(node)}`);
    }
    const card = node.closest('.jp-kuberay-Card');
    if (card && box.right > card.getBoundingClientRect().right - parseFloat(getComputedStyle(card).paddingRight) + 0.5) {
      wrong.add(`beyond its card: ${words(node)}`);
    }
    const style = getComputedStyle(node);
    const hides = style.overflowX !== 'visible' && style.textOverflow !== 'ellipsis' && style.display !== 'inline';
    if (hides && node.scrollWidth > node.clientWidth + 1) {
      wrong.add(`cut: ${words(node)}`);
    }
  }

  for (const row of panel.querySelectorAll('.jp-kuberay-Head, .jp-kuberay-Group, .jp-kuberay-Actions')) {
    const parts = boxed(row.children);
    parts.forEach(([node, box], at) => {
      for (const [other, its] of parts.slice(at + 1)) {
        const across = box.right > its.left + 0.5 && its.right > box.left + 0.5;
        if (across && box.bottom > its.top + 0.5 && its.bottom > box.top + 0.5) {
          wrong.add(`${words(node)} lies over ${words(other)}`);
        }
      }
    });
  }

  for (const name of panel.querySelectorAll('.jp-kuberay-Name')) {
    if (name.clientWidth < 40 && name.scrollWidth > name.clientWidth) {
      wrong.add(`nothing is left of: ${words(name)}`);
    }
  }
  if (panel.scrollWidth > panel.clientWidth) {
    wrong.add(`wider than it is: ${panel.scrollWidth} of ${panel.clientWidth}`);
  }
  return [...wrong];
}
