"""The phases of a model's life as plain functions: paths in, small dicts of plain values out.

Each function runs whole on a cluster (``cluster.run(data.prepare, …)``), finds
what it needs below one run folder, and leaves there what the next phase needs.
The run folder must be visible to every node under the same path: a folder of
this machine with a local cluster, a shared volume on Kubernetes.
"""
