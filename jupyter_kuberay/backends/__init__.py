"""The substrates: a laptop's processes, and Kubernetes with KubeRay."""
