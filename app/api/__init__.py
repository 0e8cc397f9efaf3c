"""The doors for programs: each file here speaks one contract, and every call through them is a job in the queue."""
