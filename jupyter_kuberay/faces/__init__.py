"""Where people meet jupyter-kuberay: the command line and the magics, from one definition."""
