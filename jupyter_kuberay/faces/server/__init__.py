"""The Jupyter Server extension: what JupyterLab's side panel asks."""
