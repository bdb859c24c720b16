"""Sphinx's settings. Nothing here asks the network, and neither do the pages that come of it."""

import jupyter_kuberay

project = "jupyter-kuberay"
author = "The jupyter-kuberay developers"
copyright = f"2026, {author}"
release = version = jupyter_kuberay.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "pydata_sphinx_theme"
html_title = "jupyter-kuberay"
html_static_path = ["_static"]
html_css_files = ["examples.css"]
# Only the decisions have pages below them.
_LIFE = ("experimentation", "data", "training", "tuning", "evaluation", "validation", "registry", "serving", "publishing", "monitoring")
_PAGES = ("index", "panel", "magics", "widgets", "batch", *_LIFE, "reinforcement", "own-model", "json", "shared-namespaces")
html_sidebars = {page: [] for page in _PAGES}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
