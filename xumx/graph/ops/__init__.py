"""What computes a graph: functions of our own for CPUs, NNabla's for all else."""
