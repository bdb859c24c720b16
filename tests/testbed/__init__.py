"""A real Kubernetes node with the KubeRay operator, on one Linux machine: see README.md beside this file."""
