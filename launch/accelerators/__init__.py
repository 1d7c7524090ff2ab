"""Facts about TPUs and GPUs: names, memory, peak FLOP/s, topologies."""
