"""What a published service runs. It is shipped to the cluster, so it imports nothing of the rest of the package."""
