"""Facts about TPUs and GPUs: names, memory, peak FLOP/s, topologies; and what a step costs on them."""
