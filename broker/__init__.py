"""The broker: one process that owns the queue and hands each job to a worker."""
