"""The panel and its pieces as widgets: the JupyterLab panel's model, in any page that shows a notebook.

A widget here is one comm. Its page (``page/``) draws what it is told and sends
what is asked for; everything is done on the process's background loop, through
the same operations that the Jupyter Server extension offers to the Lab panel.
"""
