"""Data builds on Flink, on Kubernetes."""
